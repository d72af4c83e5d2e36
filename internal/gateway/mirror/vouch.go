package mirror

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/gateway/registry"
	"github.com/m3o/platform/internal/release"
)

// byAddress is the index of pods by namespace and address.
const byAddress = "address"

// addresses are the places of a pod in that index. A pod that has ended has given its address back, and one in the network
// of its node has none of its own.
func addresses(object any) ([]string, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil, nil
	}
	var places []string
	for _, a := range pod.Status.PodIPs {
		if ip, err := netip.ParseAddr(a.IP); err == nil {
			places = append(places, place(pod.Namespace, ip))
		}
	}
	return places, nil
}

func place(namespace string, ip netip.Addr) string { return namespace + "/" + ip.Unmap().String() }

// Vouch says whether an instance that registered itself is a pod of the project it registers in, and who may call it: no more
// than the pod's own mark allows.
//
// Every project can write to etcd, and the gateway reaches what no project can: without this, an entry could have it call
// another project's pods, or parts of the platform, or open what is closed. An entry that is marked as mirrored is nobody's
// word: what Kubernetes runs we know from Kubernetes.
func (m *Mirror) Vouch(i registry.Instance) (registry.Instance, bool) {
	at, err := netip.ParseAddrPort(i.Address)
	if err != nil || i.Mirrored {
		return i, false
	}
	pods, err := m.pods.GetIndexer().ByIndex(byAddress, place(i.Service.Namespace(), at.Addr()))
	if err != nil { // only for an index that is not there
		m.logger.Error("pods cannot be looked up", "error", err.Error())
	}
	for _, object := range pods {
		may := registry.Admission{Access: release.ByKey, Preflight: release.ByKey}
		if pod, ok := object.(*corev1.Pod); ok {
			may = admission(pod.Labels, pod.Annotations)
		}
		i.Access, i.Preflight = stricter(i.Access, may.Access), stricter(i.Preflight, may.Preflight)
	}
	return i, len(pods) > 0
}

func stricter(a, b release.Access) release.Access {
	if a == release.Public {
		return b
	}
	return a
}
