package cluster

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/m3o/platform/internal/region"
)

const (
	gatewayKeysPath    = "/etc/m3o/keys"
	gatewayKeysFile    = "keys.json"
	gatewayMetricsPort = 9090
	gatewayGrace       = 60 // seconds: it drains by itself, which takes less
)

// gateway is the region's entrypoint: it finds services through the API server and etcd, and shows logs to whoever has a
// permit. Two of them where there are two nodes.
func gateway(spec region.Spec, in Parts, _ survey) []object {
	labels := partLabels(spec.Key(), region.API, gatewayName)
	account := &corev1.ServiceAccount{ObjectMeta: meta(NetworkNamespace, gatewayName, labels), AutomountServiceAccountToken: new(false)}
	file := &corev1.ConfigMap{ObjectMeta: meta(NetworkNamespace, gatewayName, labels), Data: map[string]string{gatewayKeysFile: string(in.Gateway.Keys)}}
	budget := oneAtATime(meta(NetworkNamespace, gatewayName, labels), theGateway)
	rights, binding := gatewayRights(labels)
	all := []object{account, rights, binding, file, gatewayService(spec, labels), budget, gatewayDeployment(spec, in, labels)}
	if port := tracePort(in.Gateway.Traces); port != 0 {
		all = append(all, gatewayTraces(port).object(labels))
	}
	return all
}

// gatewayRights are read-only: what routes and logs need, in all namespaces.
func gatewayRights(labels map[string]string) (*rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding) {
	name := "m3o-" + gatewayName
	look := []string{"get", "list", "watch"}
	role := &rbacv1.ClusterRole{ObjectMeta: meta("", name, labels), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{discoveryv1.GroupName}, Resources: []string{"endpointslices"}, Verbs: look},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"pods"}, Verbs: look},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
	}}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: meta("", name, labels),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: NetworkNamespace, Name: gatewayName}}}
	return role, binding
}

// gatewayService is the region's address. Clouds that name their load balancers get a name that says whose it is.
func gatewayService(spec region.Spec, labels map[string]string) *corev1.Service {
	object := meta(NetworkNamespace, gatewayName, labels)
	if spec.Provider == region.DigitalOcean {
		object.Annotations = map[string]string{"service.beta.kubernetes.io/do-loadbalancer-name": spec.Key().ResourceName()}
	}
	return &corev1.Service{ObjectMeta: object, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Selector: theGateway, Ports: []corev1.ServicePort{open("http", gatewayPort)}}}
}

func gatewayDeployment(spec region.Spec, in Parts, labels map[string]string) *appsv1.Deployment {
	container := corev1.Container{
		Name: gatewayName, Image: in.Images[region.API], Command: []string{programs[region.API]}, Args: gatewayFlags(spec, in), Env: gatewayEnv(in),
		Ports:          []corev1.ContainerPort{port("http", gatewayPort), port("metrics", gatewayMetricsPort)},
		Resources:      size("100m", "96Mi", "2", "512Mi"),
		VolumeMounts:   []corev1.VolumeMount{{Name: "keys", MountPath: gatewayKeysPath, ReadOnly: true}},
		ReadinessProbe: asks("/-/readyz", "http", 1, 3),
		LivenessProbe:  asks("/-/healthz", "http", 10, 6),
	}
	pod := restricted(corev1.PodSpec{ServiceAccountName: gatewayName, AutomountServiceAccountToken: new(true),
		Containers: []corev1.Container{container}, Volumes: []corev1.Volume{fromConfigMap("keys", gatewayName)}})
	pod.TerminationGracePeriodSeconds = new(int64(gatewayGrace))
	pod.TopologySpreadConstraints = apart(theGateway)
	replicas := min(2, max(1, spec.Kubernetes.Nodes.Count))
	return &appsv1.Deployment{ObjectMeta: meta(NetworkNamespace, gatewayName, labels), Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(replicas)), Selector: &metav1.LabelSelector{MatchLabels: theGateway},
		Strategy: neverFewer(replicas), RevisionHistoryLimit: new(int32(2)), ProgressDeadlineSeconds: new(int32(600)),
		Template: corev1.PodTemplateSpec{Spec: pod, ObjectMeta: metav1.ObjectMeta{Labels: labels}},
	}}
}

// gatewayFlags are the arguments of the command "m3o gateway". It reads the file of keys again when it changes, so new keys
// need no new pods.
func gatewayFlags(spec region.Spec, in Parts) []string {
	flags := []string{
		"gateway",
		"--region=" + spec.Key().String(),
		"--domain=" + spec.Domain,
		fmt.Sprintf("--listen=:%d", gatewayPort),
		fmt.Sprintf("--metrics-listen=:%d", gatewayMetricsPort),
		fmt.Sprintf("--etcd=http://%s.%s.svc:%d", region.Etcd, ResourceNamespace, etcdPort),
	}
	if len(in.Gateway.Keys) > 0 {
		flags = append(flags, "--keys="+gatewayKeysPath+"/"+gatewayKeysFile)
	}
	return flags
}

// gatewayEnv is what the command "m3o gateway" reads from its environment, as every process of the platform does.
func gatewayEnv(in Parts) []corev1.EnvVar {
	if in.Gateway.Traces == "" {
		return nil
	}
	return []corev1.EnvVar{{Name: "M3O_OTLP_ENDPOINT", Value: in.Gateway.Traces}}
}

// tracePort is the port that the URL of a collector names, 0 without one.
func tracePort(endpoint string) int32 {
	u, err := url.Parse(endpoint)
	if err != nil || endpoint == "" {
		return 0
	}
	port, err := strconv.ParseInt(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]), 10, 32)
	if err != nil {
		return 0
	}
	return int32(port)
}

// neverFewer rolls a Deployment without a moment in which fewer pods answer than are wanted: a few at once, a quarter of many.
func neverFewer(replicas int) appsv1.DeploymentStrategy {
	surge := min(replicas, max(4, (replicas+3)/4))
	return appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
		MaxUnavailable: new(intstr.FromInt32(0)), MaxSurge: new(intstr.FromInt(surge))}}
}
