package cluster

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

const (
	serviceLinger  = 3  // seconds between "nobody new" and SIGTERM
	serviceGrace   = 30 // seconds a pod has to end, lingering included
	lastSystemPort = 1023
)

// ApplyService makes the cluster run the release: the project's namespace, and a Service and a Deployment of the service's
// name in it. It does not wait (ServiceState tells). It is server-side apply: repeating it changes nothing, and applying
// another release rolls the pods over to it without a gap.
func (c *Client) ApplyService(ctx context.Context, r release.Release) error {
	where, err := c.where(ctx)
	if err != nil {
		return err
	}
	if err := c.applyAll(ctx, append(project(where, r.Service.Project), service(where, r)...)); err != nil {
		return err
	}
	if r.Spec.Replicas > 1 {
		return nil
	}
	return c.removeOwned(ctx, budgets, r.Service)
}

// where is the region this cluster is, as ApplyFoundations wrote it down.
func (c *Client) where(ctx context.Context) (region.Key, error) {
	space, err := c.typed.CoreV1().Namespaces().Get(ctx, NetworkNamespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return region.Key{}, fault.New(fault.Failed, "the cluster has no namespace %s: the region was not applied to it", NetworkNamespace)
	}
	if err != nil {
		return region.Key{}, explain(err, "read namespace %s", NetworkNamespace)
	}
	return region.Key{Platform: space.Labels[LabelPlatform], Name: space.Labels[LabelRegion]}, nil
}

// project is a project's namespace and its walls.
func project(where region.Key, name string) []object {
	space := release.Namespace(name)
	labels := with(whereLabels(where), map[string]string{release.LabelProject: name, release.LabelManaged: "true"})
	all := namespace(space, "project", labels, projectLimit)
	for _, p := range projectPolicies(space) {
		all = append(all, p.object(labels))
	}
	return all
}

func service(where region.Key, r release.Release) []object {
	space, labels := release.Namespace(r.Service.Project), with(serviceLabels(r.Service), map[string]string{release.LabelRelease: strconv.Itoa(r.Number)})
	front := meta(space, r.Service.Name, with(labels, admission(r.Spec)))
	all := []object{
		&corev1.Service{ObjectMeta: front, Spec: corev1.ServiceSpec{Selector: serviceSelector(r.Service), Ports: []corev1.ServicePort{open("http", 80)}}},
		deployment(where, r, space, labels),
	}
	if r.Spec.Replicas > 1 {
		all = append(all, oneAtATime(meta(space, r.Service.Name, serviceLabels(r.Service)), serviceSelector(r.Service)))
	}
	return all
}

func deployment(where region.Key, r release.Release, space string, labels map[string]string) *appsv1.Deployment {
	container := corev1.Container{
		Name: r.Service.Name, Image: r.Image, Args: literals(r.Spec.Args), Env: environment(where, r),
		Ports:          []corev1.ContainerPort{port("http", int32(r.Spec.Port))},
		Resources:      size("50m", "64Mi", "1", "512Mi"),
		ReadinessProbe: answers(r.Spec),
		Lifecycle:      linger(serviceLinger),
	}
	pod := restricted(corev1.PodSpec{Containers: []corev1.Container{container}})
	pod.TerminationGracePeriodSeconds = new(int64(serviceGrace))
	pod.TopologySpreadConstraints = apart(serviceSelector(r.Service))
	if r.Spec.Port <= lastSystemPort {
		pod.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}
	}
	return &appsv1.Deployment{ObjectMeta: meta(space, r.Service.Name, labels), Spec: appsv1.DeploymentSpec{
		Replicas: new(int32(r.Spec.Replicas)), Selector: &metav1.LabelSelector{MatchLabels: serviceSelector(r.Service)},
		Strategy: neverFewer(r.Spec.Replicas), MinReadySeconds: 1, RevisionHistoryLimit: new(int32(2)), ProgressDeadlineSeconds: new(int32(r.Spec.Deadline().Seconds())),
		Template: corev1.PodTemplateSpec{Spec: pod, ObjectMeta: metav1.ObjectMeta{
			Labels: labels, Annotations: asked(r.Spec)}},
	}}
}

// admission is what gateways hold callers to, on Services and pods.
func admission(s release.Spec) map[string]string {
	marks := map[string]string{release.LabelAccess: string(s.Access)}
	if s.Preflight != "" {
		marks[release.LabelPreflight] = string(s.Preflight)
	}
	return marks
}

// asked is what a release asks of gateways, on its pods.
func asked(s release.Spec) map[string]string {
	marks := admission(s)
	if s.Timeout > 0 {
		marks[release.MarkTimeout] = s.Timeout.String()
	}
	if s.MaxBody > 0 {
		marks[release.MarkMaxBody] = strconv.FormatInt(s.MaxBody, 10)
	}
	if s.Protocol == release.H2C {
		marks[release.MarkProtocol] = string(s.Protocol)
	}
	return marks
}

// answers is what makes an instance ready: its health path answers, or, without one, its port takes a connection. So it does where the
// program speaks HTTP/2 alone, which kubelets do not: there the gateway asks the health path.
func answers(s release.Spec) *corev1.Probe {
	if s.Health != "" && s.Protocol != release.H2C {
		probe := asks(s.Health, "http", 1, 3)
		probe.HTTPGet.HTTPHeaders = []corev1.HTTPHeader{{Name: "X-Forwarded-Proto", Value: "https"}} // many send whoever comes without TLS elsewhere
		return probe
	}
	probe := asks("", "http", 1, 3)
	probe.ProbeHandler = corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("http")}}
	return probe
}

// environment is what the program is told: its port, who it is, and the developer's settings, which win.
func environment(where region.Key, r release.Release) []corev1.EnvVar {
	settings := map[string]string{
		"M3O_PLATFORM": where.Platform, "M3O_REGION": where.Name, "M3O_PROJECT": r.Service.Project, "M3O_SERVICE": r.Service.Name,
		"M3O_RELEASE": strconv.Itoa(r.Number), "PORT": strconv.Itoa(r.Spec.Port),
	}
	maps.Copy(settings, r.Spec.Env)
	var list []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		list = append(list, corev1.EnvVar{Name: name, Value: literal(settings[name])})
	}
	return list
}

// literal keeps Kubernetes from taking "$(NAME)" in a developer's text for a variable.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

func literals(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = literal(t)
	}
	return out
}
