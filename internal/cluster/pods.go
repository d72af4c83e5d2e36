package cluster

import (
	"crypto/sha256"
	"encoding/hex"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// nobody is the user and group every container runs as, whatever its image says: distroless images call it nonroot.
const nobody int64 = 65532

// restricted makes a pod that the "restricted" Pod Security Standard admits: no root, no capabilities, a root file system
// that cannot be written, no token for the API server.
func restricted(pod corev1.PodSpec) corev1.PodSpec {
	pod.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(nobody), RunAsGroup: new(nobody), FSGroup: new(nobody),
		FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch),
		SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if pod.AutomountServiceAccountToken == nil {
		pod.AutomountServiceAccountToken = new(false)
	}
	pod.EnableServiceLinks = new(false)
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "tmp", VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse("256Mi"))}}})
	for i := range pod.Containers {
		c := &pod.Containers[i]
		c.SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "tmp", MountPath: "/tmp"})
		c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	}
	return pod
}

// size is what a container asks for and what it may take.
func size(cpu, memory, maxCPU, maxMemory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(maxCPU), corev1.ResourceMemory: resource.MustParse(maxMemory)},
	}
}

// apart asks the scheduler to put the pods on different nodes and zones, where there are any.
func apart(selector map[string]string) []corev1.TopologySpreadConstraint {
	var spread []corev1.TopologySpreadConstraint
	for _, key := range []string{corev1.LabelHostname, corev1.LabelTopologyZone} {
		spread = append(spread, corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: selector}})
	}
	return spread
}

// oneAtATime lets whoever drains nodes take one of the pods at a time; those that are not ready are in nobody's way.
func oneAtATime(object metav1.ObjectMeta, selector map[string]string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{ObjectMeta: object, Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: selector},
		UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow)}}
}

// port is a named TCP port of a container.
func port(name string, number int32) corev1.ContainerPort {
	return corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolTCP}
}

// open is a Service's port that leads to the container's port of the same name.
func open(name string, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, TargetPort: intstr.FromString(name), Protocol: corev1.ProtocolTCP}
}

// asks is a probe over HTTP every few seconds.
func asks(path, portName string, every, failures int32) *corev1.Probe {
	return &corev1.Probe{PeriodSeconds: every, TimeoutSeconds: 3, SuccessThreshold: 1, FailureThreshold: failures,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString(portName), Scheme: corev1.URISchemeHTTP}}}
}

// linger keeps a pod answering for a while after it was told to end, until nobody routes to it any more.
func linger(seconds int64) *corev1.Lifecycle {
	return &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}}}
}

// fromPod is a setting whose value is a field of the pod.
func fromPod(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
}

// fingerprint changes when what it is made of changes: in a pod's annotations it makes a roll of it.
func fingerprint(parts ...[]byte) string {
	sum := sha256.New()
	for _, p := range parts {
		inner := sha256.Sum256(p)
		sum.Write(inner[:])
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}
