package cluster

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/m3o/platform/internal/region"
)

// policy is one rule of who may talk to whom. in and out are nil where it says nothing of that direction.
type policy struct {
	namespace, name string
	pods            map[string]string // whose traffic it is about; nil: every pod of the namespace
	in              []networkingv1.NetworkPolicyIngressRule
	out             []networkingv1.NetworkPolicyEgressRule
	denies          bool // both directions are closed, where no other policy opens them
}

func (p policy) object(labels map[string]string) *networkingv1.NetworkPolicy {
	spec := networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: p.pods}, Ingress: p.in, Egress: p.out}
	if p.in != nil || p.denies {
		spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	}
	if p.out != nil || p.denies {
		spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
	return &networkingv1.NetworkPolicy{ObjectMeta: meta(p.namespace, p.name, labels), Spec: spec}
}

// The ports that services and the gateway use of the parts.
const (
	etcdPort      = 2379
	natsPort      = 4222
	cockroachPort = 26257
	gatewayPort   = 8080
)

var (
	theGateway  = map[string]string{LabelPart: string(region.API)}
	anyProject  = networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{LabelRole: "project"}}}
	fromGateway = peer(NetworkNamespace, theGateway)
	toResources = peer(ResourceNamespace, nil)
	resources   = tcp(etcdPort, natsPort, cockroachPort)

	// private are the ranges that services never reach by address: other tenants, the nodes, the cloud's metadata.
	private = []string{"10.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}

	resourcesServe = policy{namespace: ResourceNamespace, name: "serve", in: []networkingv1.NetworkPolicyIngressRule{
		{From: []networkingv1.NetworkPolicyPeer{anyProject, fromGateway}, Ports: resources}}}
	resourcesPeer = policy{namespace: ResourceNamespace, name: "peer",
		in:  []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{neighbours}}},
		out: []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{neighbours}}}}
	gatewayServes = policy{namespace: NetworkNamespace, name: "serve", pods: theGateway,
		in: []networkingv1.NetworkPolicyIngressRule{{Ports: tcp(gatewayPort)}}}
	// The API server is no pod and its address is the provider's: only its ports can be named.
	gatewayCalls = policy{namespace: NetworkNamespace, name: "call", pods: theGateway, out: []networkingv1.NetworkPolicyEgressRule{
		{To: []networkingv1.NetworkPolicyPeer{toResources}, Ports: resources},
		{To: []networkingv1.NetworkPolicyPeer{anyProject}},
		{Ports: tcp(443, 6443)},
	}}

	neighbours = networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}}
)

// gatewayTraces lets the gateway send its traces. The collector may be anywhere: only its port can be named.
func gatewayTraces(port int32) policy {
	return policy{namespace: NetworkNamespace, name: "trace", pods: theGateway, out: []networkingv1.NetworkPolicyEgressRule{{Ports: tcp(port)}}}
}

// denyAll closes a namespace: what is allowed is said by the other policies.
func denyAll(namespace string) policy {
	return policy{namespace: namespace, name: "deny", denies: true}
}

// allowDNS lets a namespace ask DNS: the cluster's pods, and the address that node-local caches listen at.
func allowDNS(namespace string) policy {
	both := []networkingv1.NetworkPolicyPort{
		{Protocol: new(corev1.ProtocolUDP), Port: new(intstr.FromInt32(53))}, {Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(53))}}
	return policy{namespace: namespace, name: "names", out: []networkingv1.NetworkPolicyEgressRule{
		{To: []networkingv1.NetworkPolicyPeer{peer("kube-system", nil), block("169.254.20.10/32")}, Ports: both}}}
}

// projectPolicies let a project's services answer the gateway and each other, and call the parts, the gateway and the
// world outside, but no other project.
func projectPolicies(namespace string) []policy {
	return []policy{
		{namespace: namespace, name: "serve", in: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{fromGateway, neighbours}}}},
		{namespace: namespace, name: "call", out: []networkingv1.NetworkPolicyEgressRule{
			{To: []networkingv1.NetworkPolicyPeer{neighbours}},
			{To: []networkingv1.NetworkPolicyPeer{toResources}, Ports: resources},
			{To: []networkingv1.NetworkPolicyPeer{fromGateway}, Ports: tcp(gatewayPort)},
			{To: []networkingv1.NetworkPolicyPeer{block("0.0.0.0/0", private...), block("::/0", "fc00::/7", "fe80::/10")}},
		}},
	}
}

func peer(namespace string, pods map[string]string) networkingv1.NetworkPolicyPeer {
	p := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}}
	if pods != nil {
		p.PodSelector = &metav1.LabelSelector{MatchLabels: pods}
	}
	return p
}

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
}

func tcp(ports ...int32) []networkingv1.NetworkPolicyPort {
	list := make([]networkingv1.NetworkPolicyPort, len(ports))
	for i, p := range ports {
		list[i] = networkingv1.NetworkPolicyPort{Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(p))}
	}
	return list
}
