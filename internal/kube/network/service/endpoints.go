package service

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Endpoint is one address behind a Service.
type Endpoint struct {
	Addr     netip.Addr
	Hostname string // empty if it has none of its own
	Ready    bool
	// Draining endpoints are told to end, but still answer.
	Draining bool
	Ports    []EndpointPort
}

// EndpointPort is a port of an endpoint; the name is that of the Service's port.
type EndpointPort struct {
	Name     string
	Protocol corev1.Protocol
	Number   uint16
}

// rebuild computes endpoints and ports anew. Ports that stay keep their state:
// whose turn it is, and who is bound to whom.
func (e *entry) rebuild() {
	e.endpoints = e.collect()
	ports := map[portKey]*Port{}
	if e.service != nil && e.service.Spec.Type != corev1.ServiceTypeExternalName {
		for _, wanted := range e.service.Spec.Ports {
			key := portKey{protocolOf(wanted.Protocol), wanted.Port}
			port := e.ports[key]
			if port == nil {
				port = newPort()
			}
			port.update(e.service, e.targets(wanted))
			ports[key] = port
		}
	}
	for key, port := range e.ports {
		if ports[key] == nil {
			port.update(nil, targets{})
		}
	}
	e.ports = ports
}

// collect lists the endpoints of all slices. An address may be in two of them
// while the controller moves it: then the better news counts.
func (e *entry) collect() []Endpoint {
	var all []Endpoint
	for _, slice := range e.slices {
		ports := portsOf(slice)
		for _, endpoint := range slice.Endpoints {
			for _, address := range endpoint.Addresses {
				addr, err := netip.ParseAddr(address)
				if err != nil || !addr.Is4() {
					continue
				}
				all = append(all, newEndpoint(addr, endpoint, ports))
			}
		}
	}
	// In a fixed order, the turns of round robin are fair.
	slices.SortFunc(all, func(a, b Endpoint) int {
		if c := a.Addr.Compare(b.Addr); c != 0 {
			return c
		}
		return strings.Compare(a.Hostname, b.Hostname)
	})
	return all
}

func newEndpoint(addr netip.Addr, endpoint discoveryv1.Endpoint, ports []EndpointPort) Endpoint {
	conditions := endpoint.Conditions
	terminating := conditions.Terminating != nil && *conditions.Terminating
	serving := conditions.Serving != nil && *conditions.Serving
	e := Endpoint{
		Addr: addr, Ports: ports,
		Ready:    conditions.Ready == nil || *conditions.Ready,
		Draining: terminating && serving,
	}
	if endpoint.Hostname != nil {
		e.Hostname = *endpoint.Hostname
	}
	return e
}

func portsOf(slice *discoveryv1.EndpointSlice) []EndpointPort {
	var ports []EndpointPort
	for _, port := range slice.Ports {
		if port.Port == nil || *port.Port < 1 || *port.Port > 65535 {
			continue
		}
		p := EndpointPort{Protocol: corev1.ProtocolTCP, Number: uint16(*port.Port)}
		if port.Name != nil {
			p.Name = *port.Name
		}
		if port.Protocol != nil {
			p.Protocol = *port.Protocol
		}
		ports = append(ports, p)
	}
	return ports
}

// targets are the addresses that a Service's port leads to.
type targets struct{ ready, draining []netip.AddrPort }

func (e *entry) targets(wanted corev1.ServicePort) targets {
	var t targets
	for _, endpoint := range e.endpoints {
		for _, port := range endpoint.Ports {
			if port.Name != wanted.Name || port.Protocol != protocolOf(wanted.Protocol) {
				continue
			}
			to := netip.AddrPortFrom(endpoint.Addr, port.Number)
			switch {
			case endpoint.Ready && !slices.Contains(t.ready, to):
				t.ready = append(t.ready, to)
			case endpoint.Draining && !endpoint.Ready:
				t.draining = append(t.draining, to)
			}
		}
	}
	return t
}

func protocolOf(protocol corev1.Protocol) corev1.Protocol {
	if protocol == "" {
		return corev1.ProtocolTCP
	}
	return protocol
}

// affinityOf is how long a client stays with its endpoint; 0 is not at all.
func affinityOf(service *corev1.Service) time.Duration {
	if service == nil || service.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	config := service.Spec.SessionAffinityConfig
	if config != nil && config.ClientIP != nil && config.ClientIP.TimeoutSeconds != nil {
		return time.Duration(*config.ClientIP.TimeoutSeconds) * time.Second
	}
	return time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second
}
