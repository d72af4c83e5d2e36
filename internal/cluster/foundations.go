package cluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/m3o/platform/internal/region"
)

// limit is what one namespace may hold, and what a container in it gets that says nothing itself.
type limit struct {
	pods, services, balancers, volumes string
	storage, cpu, memory               string
}

// The limits of namespaces. They keep one project from taking a region, and a mistake from becoming a bill: only the
// gateway may have a load balancer.
var (
	controlLimit  = limit{pods: "20", services: "20", balancers: "0", volumes: "10", storage: "100Gi", cpu: "20", memory: "40Gi"}
	resourceLimit = limit{pods: "40", services: "40", balancers: "0", volumes: "40", storage: "1Ti", cpu: "64", memory: "128Gi"}
	networkLimit  = limit{pods: "40", services: "10", balancers: "2", volumes: "4", storage: "10Gi", cpu: "64", memory: "64Gi"}
	projectLimit  = limit{pods: "500", services: "200", balancers: "0", volumes: "0", storage: "0", cpu: "200", memory: "400Gi"}
)

// ApplyFoundations makes the region's namespaces exist, with their limits, their Pod Security labels and the rules of who
// may talk to whom. It is server-side apply: repeating it changes nothing.
func (c *Client) ApplyFoundations(ctx context.Context, spec region.Spec) error {
	return c.applyAll(ctx, foundations(spec.Key()))
}

func foundations(key region.Key) []object {
	labels := whereLabels(key)
	var all []object
	all = append(all, namespace(ControlNamespace, "control", labels, controlLimit)...)
	all = append(all, namespace(ResourceNamespace, "resource", labels, resourceLimit)...)
	all = append(all, namespace(NetworkNamespace, "network", labels, networkLimit)...)
	for _, p := range []policy{resourcesServe, resourcesPeer, gatewayServes, gatewayCalls} {
		all = append(all, p.object(labels))
	}
	return all
}

// namespace is a namespace with everything that bounds it. Nothing in it can talk to anything yet but DNS.
func namespace(name, role string, labels map[string]string, l limit) []object {
	space := &corev1.Namespace{ObjectMeta: meta("", name, with(labels, map[string]string{
		LabelRole:                            role,
		"pod-security.kubernetes.io/enforce": "restricted",
		"pod-security.kubernetes.io/warn":    "restricted",
		"pod-security.kubernetes.io/audit":   "restricted",
	}))}
	return []object{space, quota(name, labels, l), defaults(name, labels), denyAll(name).object(labels), allowDNS(name).object(labels)}
}

func quota(namespace string, labels map[string]string, l limit) *corev1.ResourceQuota {
	hard := corev1.ResourceList{}
	for name, amount := range map[corev1.ResourceName]string{
		corev1.ResourcePods: l.pods, corev1.ResourceServices: l.services, corev1.ResourceServicesLoadBalancers: l.balancers,
		corev1.ResourceServicesNodePorts: l.balancers, corev1.ResourcePersistentVolumeClaims: l.volumes,
		corev1.ResourceRequestsStorage: l.storage, corev1.ResourceRequestsCPU: l.cpu, corev1.ResourceRequestsMemory: l.memory,
	} {
		hard[name] = resource.MustParse(amount)
	}
	return &corev1.ResourceQuota{ObjectMeta: meta(namespace, manager, labels), Spec: corev1.ResourceQuotaSpec{Hard: hard}}
}

// defaults are for pods that others put into our namespaces: a quota refuses pods that ask for nothing.
func defaults(namespace string, labels map[string]string) *corev1.LimitRange {
	given := size("50m", "64Mi", "1", "512Mi")
	return &corev1.LimitRange{ObjectMeta: meta(namespace, manager, labels), Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, DefaultRequest: given.Requests, Default: given.Limits},
	}}}
}
