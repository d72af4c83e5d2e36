package names

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/m3o/platform/internal/kube/network/service"
)

// found is what is known of one name. A name may exist without any record of
// the kind that was asked for.
type found struct {
	exists   bool
	addrs    []netip.Addr
	servers  []target
	alias    string
	pointers []string
	text     string
}

// target is what an SRV record points to.
type target struct {
	name string
	addr netip.Addr
	port uint16
}

var exists = found{exists: true}

// specification is the version of the Kubernetes DNS specification followed here.
const specification = "1.1.0"

// find looks a canonical name up. ours is false for names that others answer.
func (s *Server) find(name string) (f found, ours bool) {
	if addr, ok := s.hosts[name]; ok {
		if f, _ := s.findInDomain(name); f.exists {
			return f, true
		}
		return found{exists: true, addrs: []netip.Addr{addr}}, true
	}
	if dns.IsSubDomain(s.domain, name) {
		return s.findInDomain(name)
	}
	if addr, ok := reverse(name); ok && s.own(addr) {
		return s.findPointer(addr), true
	}
	for host := range s.hosts {
		if !dns.IsSubDomain(s.domain, host) && dns.IsSubDomain(parent(host), name) {
			return found{exists: dns.IsSubDomain(name, host)}, true
		}
	}
	return found{}, false
}

func (s *Server) findInDomain(name string) (found, bool) {
	if !dns.IsSubDomain(s.domain, name) {
		return found{}, false
	}
	labels := dns.SplitDomainName(strings.TrimSuffix(name, s.domain))
	slices.Reverse(labels)
	if len(labels) == 0 {
		return exists, true
	}
	switch labels[0] {
	case "svc":
		return s.findService(labels[1:]), true
	case "pod":
		return s.findPod(labels[1:]), true
	case "dns-version":
		return found{exists: len(labels) == 1, text: specification}, true
	}
	return found{}, true
}

// findService looks up what is below svc: the labels are namespace, service,
// and what is below it, in this order.
func (s *Server) findService(labels []string) found {
	switch len(labels) {
	case 0:
		return exists
	case 1:
		return found{exists: s.table.HasNamespace(labels[0])}
	}
	name := types.NamespacedName{Namespace: labels[0], Name: labels[1]}
	svc, endpoints, ok := s.table.Get(name)
	if !ok {
		return found{}
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return found{exists: len(labels) == 2, alias: dns.CanonicalName(svc.Spec.ExternalName)}
	}
	switch below := labels[2:]; {
	case len(below) == 0:
		return found{exists: true, addrs: serviceAddrs(svc, endpoints)}
	case strings.HasPrefix(below[0], "_"):
		return s.findServers(svc, endpoints, below)
	case len(below) == 1 && service.Headless(svc):
		return findHost(below[0], endpoints)
	}
	return found{}
}

// serviceAddrs are the Service's own address, or those of its ready endpoints
// when it is headless.
func serviceAddrs(svc *corev1.Service, endpoints []service.Endpoint) []netip.Addr {
	if addr, ok := service.ClusterIP(svc); ok {
		return []netip.Addr{addr}
	}
	var addrs []netip.Addr
	for _, endpoint := range endpoints {
		if endpoint.Ready && !slices.Contains(addrs, endpoint.Addr) {
			addrs = append(addrs, endpoint.Addr)
		}
	}
	return addrs
}

// findHost looks up one endpoint of a headless Service by its name.
func findHost(host string, endpoints []service.Endpoint) found {
	var f found
	for _, endpoint := range endpoints {
		if endpoint.Ready && hostOf(endpoint) == host && !slices.Contains(f.addrs, endpoint.Addr) {
			f.exists, f.addrs = true, append(f.addrs, endpoint.Addr)
		}
	}
	return f
}

// hostOf is the endpoint's name below its Service: its own, or one made of its
// address.
func hostOf(endpoint service.Endpoint) string {
	if endpoint.Hostname != "" {
		return endpoint.Hostname
	}
	return strings.ReplaceAll(endpoint.Addr.String(), ".", "-")
}

// findServers looks up _port._protocol below a Service; the labels are in
// reverse: protocol first.
func (s *Server) findServers(svc *corev1.Service, endpoints []service.Endpoint, labels []string) found {
	protocol := corev1.Protocol(strings.ToUpper(strings.TrimPrefix(labels[0], "_")))
	zone := fmt.Sprintf("%s.%s.svc.%s", svc.Name, svc.Namespace, s.domain)
	var f found
	for _, port := range svc.Spec.Ports {
		if port.Protocol != protocol && !(port.Protocol == "" && protocol == corev1.ProtocolTCP) {
			continue
		}
		if len(labels) == 1 {
			return exists
		}
		if len(labels) != 2 || labels[1] != "_"+port.Name || port.Name == "" {
			continue
		}
		f.exists = true
		if addr, ok := service.ClusterIP(svc); ok {
			f.servers = append(f.servers, target{zone, addr, uint16(port.Port)})
			continue
		}
		f.servers = append(f.servers, endpointServers(zone, port.Name, protocol, endpoints)...)
	}
	return f
}

func endpointServers(zone, port string, protocol corev1.Protocol, endpoints []service.Endpoint) []target {
	var servers []target
	for _, endpoint := range endpoints {
		for _, p := range endpoint.Ports {
			if endpoint.Ready && p.Name == port && p.Protocol == protocol {
				servers = append(servers, target{hostOf(endpoint) + "." + zone, endpoint.Addr, p.Number})
			}
		}
	}
	return servers
}

// findPod looks up a-b-c-d.namespace.pod, which is an address in disguise.
func (s *Server) findPod(labels []string) found {
	switch len(labels) {
	case 0, 1:
		return exists
	case 2:
		addr, err := netip.ParseAddr(strings.ReplaceAll(labels[1], "-", "."))
		if err == nil && addr.Is4() && s.own(addr) {
			return found{exists: true, addrs: []netip.Addr{addr}}
		}
	}
	return found{}
}

// findPointer names an address of the cluster.
func (s *Server) findPointer(addr netip.Addr) found {
	var f found
	if name, ok := s.table.Owner(addr); ok {
		f.pointers = append(f.pointers, fmt.Sprintf("%s.%s.svc.%s", name.Name, name.Namespace, s.domain))
	}
	for name, endpoint := range s.table.Behind(addr) {
		f.pointers = append(f.pointers, fmt.Sprintf("%s.%s.%s.svc.%s", hostOf(endpoint), name.Name, name.Namespace, s.domain))
	}
	for host, at := range s.hosts {
		if at == addr && !slices.Contains(f.pointers, host) {
			f.pointers = append(f.pointers, host)
		}
	}
	slices.Sort(f.pointers)
	f.exists = len(f.pointers) > 0
	return f
}

func (s *Server) own(addr netip.Addr) bool {
	return slices.ContainsFunc(s.networks, func(network netip.Prefix) bool { return network.Contains(addr) })
}

const reverseZone = ".in-addr.arpa."

// reverse is the address that a name of the reverse zone stands for.
func reverse(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(name, reverseZone)
	labels := strings.Split(digits, ".")
	if !ok || len(labels) != 4 {
		return netip.Addr{}, false
	}
	slices.Reverse(labels)
	addr, err := netip.ParseAddr(strings.Join(labels, "."))
	return addr, err == nil && addr.Is4()
}

// parent is a name without its first label.
func parent(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}
