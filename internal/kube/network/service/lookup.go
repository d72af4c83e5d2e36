package service

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Get returns a Service and all its endpoints. Neither may be changed.
func (t *Table) Get(name types.NamespacedName) (*corev1.Service, []Endpoint, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.services[name]
	if e == nil || e.service == nil {
		return nil, nil, false
	}
	return e.service, e.endpoints, true
}

// HasNamespace says whether there is a Service in the namespace.
func (t *Table) HasNamespace(namespace string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for name, e := range t.services {
		if name.Namespace == namespace && e.service != nil {
			return true
		}
	}
	return false
}

// Owner returns the Service whose ClusterIP the address is.
func (t *Table) Owner(addr netip.Addr) (types.NamespacedName, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	name, ok := t.byAddr[addr]
	return name, ok
}

// Behind returns the headless Services that the address is an endpoint of, with
// the endpoint.
func (t *Table) Behind(addr netip.Addr) map[types.NamespacedName]Endpoint {
	t.mu.RLock()
	defer t.mu.RUnlock()
	found := map[types.NamespacedName]Endpoint{}
	for name, e := range t.services {
		if e.service == nil || !Headless(e.service) {
			continue
		}
		for _, endpoint := range e.endpoints {
			if endpoint.Addr == addr {
				found[name] = endpoint
			}
		}
	}
	return found
}

// Headless says whether a Service stands for its endpoints by name only.
func Headless(service *corev1.Service) bool {
	return service.Spec.ClusterIP == corev1.ClusterIPNone && service.Spec.Type != corev1.ServiceTypeExternalName
}
