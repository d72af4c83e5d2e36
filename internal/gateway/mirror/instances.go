package mirror

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/m3o/platform/internal/gateway/registry"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// Services says where everything runs that Kubernetes runs: the ready instances, and all services there are with who may
// call them, since one without a ready instance is known all the same. False until the cluster has been read.
func (m *Mirror) Services() (instances []registry.Instance, known map[release.Key]registry.Admission, synced bool) {
	all := m.allSlices()
	// The same pod may be in two slices for a moment, and in one of each address family for good: the first one counts.
	slices.SortFunc(all, func(a, b *discoveryv1.EndpointSlice) int {
		return cmp.Or(cmp.Compare(a.AddressType, b.AddressType), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	seen := map[string]bool{}
	known = map[release.Key]registry.Admission{}
	for _, slice := range all {
		key, ok := owner(slice)
		if !ok {
			continue
		}
		known[key] = admission(slice.Labels, slice.Annotations)
		for _, i := range m.ready(key, slice) {
			if id := i.Key(); !seen[id] {
				seen[id], instances = true, append(instances, i)
			}
		}
	}
	return instances, known, m.Synced()
}

// admission reads who may call from marks, of which the first that says something counts.
func admission(marks ...map[string]string) registry.Admission {
	return registry.Admission{Access: registry.Access(mark(marks, release.LabelAccess)), Preflight: registry.Access(mark(marks, release.LabelPreflight))}
}

// owner is the service a slice speaks for, if it may.
func owner(slice *discoveryv1.EndpointSlice) (release.Key, bool) {
	key := release.Key{Project: slice.Labels[release.LabelProject], Name: slice.Labels[release.LabelService]}
	ok := region.IsLabel(key.Project) && region.IsLabel(key.Name) && slice.Namespace == key.Namespace() &&
		slice.AddressType != discoveryv1.AddressTypeFQDN
	return key, ok
}

// ready lists the endpoints of a slice that can take requests.
func (m *Mirror) ready(key release.Key, slice *discoveryv1.EndpointSlice) []registry.Instance {
	port, ok := portOf(slice)
	if !ok {
		return nil
	}
	var instances []registry.Instance
	for _, e := range slice.Endpoints {
		if len(e.Addresses) == 0 || !serving(e.Conditions) {
			continue
		}
		address := net.JoinHostPort(e.Addresses[0], strconv.Itoa(port))
		id, pod := strings.NewReplacer(":", "-", "[", "", "]", "").Replace(address), (*corev1.Pod)(nil)
		if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
			pod = m.pod(slice.Namespace, e.TargetRef.Name)
			if pod == nil || (e.TargetRef.UID != "" && pod.UID != e.TargetRef.UID) || !takes(pod) {
				continue
			}
			id = pod.Name
		}
		instances = append(instances, instance(key, id, address, slice, pod))
	}
	return instances
}

func instance(key release.Key, id, address string, slice *discoveryv1.EndpointSlice, pod *corev1.Pod) registry.Instance {
	marks := []map[string]string{slice.Labels, slice.Annotations}
	if pod != nil {
		marks = []map[string]string{pod.Labels, pod.Annotations, slice.Labels, slice.Annotations}
	}
	may := admission(marks...)
	i := registry.Instance{Service: key, ID: id, Address: address, Mirrored: true, Access: may.Access, Preflight: may.Preflight,
		Timeout: registry.Timeout(mark(marks, release.MarkTimeout)),
		MaxBody: registry.MaxBody(mark(marks, release.MarkMaxBody)),
		HTTP2:   mark(marks, release.MarkProtocol) == string(release.H2C),
	}
	if n, err := strconv.Atoi(mark(marks, release.LabelRelease)); err == nil && n > 0 {
		i.Release = n
	}
	return i
}

func mark(marks []map[string]string, name string) string {
	for _, m := range marks {
		if v, ok := m[name]; ok {
			return v
		}
	}
	return ""
}

// serving reads the conditions of an endpoint; Kubernetes says to take an unknown readiness for ready.
func serving(c discoveryv1.EndpointConditions) bool {
	return (c.Ready == nil || *c.Ready) && (c.Terminating == nil || !*c.Terminating)
}

// takes reports whether a pod takes requests: it is ready, and nobody has asked it to go.
func takes(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// portOf picks the port of a slice: the one named "http", else the only one, else the first TCP port.
func portOf(slice *discoveryv1.EndpointSlice) (int, bool) {
	first := 0
	for _, p := range slice.Ports {
		if p.Port == nil || (p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP) {
			continue
		}
		if p.Name != nil && *p.Name == PortName {
			return int(*p.Port), true
		}
		if first == 0 {
			first = int(*p.Port)
		}
	}
	return first, first != 0
}
