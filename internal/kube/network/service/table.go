// Package service knows the cluster's Services: which address and port leads to
// which endpoints, and which of these is ready. It is kept up to date by
// informers and answers from memory. It opens no connections and answers
// no names; those who do (the forwarders, the load balancer, the name server)
// ask it. Only the packages of internal/kube/network may import it.
package service

import (
	"errors"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Why Find found nothing.
var (
	ErrUnknownAddress = errors.New("no service has this address")
	ErrUnknownPort    = errors.New("the service has no such port")
)

// Table is the cluster's Services and their endpoints. It is safe for
// concurrent use.
type Table struct {
	mu       sync.RWMutex
	services map[types.NamespacedName]*entry
	byAddr   map[netip.Addr]types.NamespacedName
}

// entry holds what is known of a Service. Slices may come before their Service.
type entry struct {
	service   *corev1.Service
	slices    map[string]*discoveryv1.EndpointSlice
	ports     map[portKey]*Port
	endpoints []Endpoint
}

type portKey struct {
	protocol corev1.Protocol
	number   int32
}

// NewTable makes an empty table.
func NewTable() *Table {
	return &Table{services: map[types.NamespacedName]*entry{}, byAddr: map[netip.Addr]types.NamespacedName{}}
}

// SetService notes a new or changed Service.
func (t *Table) SetService(service *corev1.Service) {
	name := types.NamespacedName{Namespace: service.Namespace, Name: service.Name}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(name)
	t.dropAddress(name, e)
	e.service = service
	if addr, ok := ClusterIP(service); ok {
		t.byAddr[addr] = name
	}
	e.rebuild()
}

// DeleteService forgets a Service.
func (t *Table) DeleteService(name types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.services[name]
	if e == nil {
		return
	}
	t.dropAddress(name, e)
	e.service = nil
	t.settle(name, e)
}

// SetSlice notes a new or changed EndpointSlice.
func (t *Table) SetSlice(slice *discoveryv1.EndpointSlice) {
	name, ok := sliceOwner(slice)
	if !ok || slice.AddressType != discoveryv1.AddressTypeIPv4 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(name)
	e.slices[slice.Name] = slice
	e.rebuild()
}

// DeleteSlice forgets an EndpointSlice.
func (t *Table) DeleteSlice(slice *discoveryv1.EndpointSlice) {
	name, ok := sliceOwner(slice)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.services[name]; e != nil {
		delete(e.slices, slice.Name)
		t.settle(name, e)
	}
}

func (t *Table) entry(name types.NamespacedName) *entry {
	e := t.services[name]
	if e == nil {
		e = &entry{slices: map[string]*discoveryv1.EndpointSlice{}, ports: map[portKey]*Port{}}
		t.services[name] = e
	}
	return e
}

// settle rebuilds an entry, or forgets it when nothing is left of it.
func (t *Table) settle(name types.NamespacedName, e *entry) {
	e.rebuild()
	if e.service == nil && len(e.slices) == 0 {
		delete(t.services, name)
	}
}

func (t *Table) dropAddress(name types.NamespacedName, e *entry) {
	if e.service == nil {
		return
	}
	if addr, ok := ClusterIP(e.service); ok && t.byAddr[addr] == name {
		delete(t.byAddr, addr)
	}
}

// Find returns the port of the Service that has the address as its ClusterIP.
func (t *Table) Find(protocol corev1.Protocol, to netip.AddrPort) (*Port, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	name, ok := t.byAddr[to.Addr()]
	if !ok {
		return nil, ErrUnknownAddress
	}
	return t.port(name, protocol, int32(to.Port()))
}

// Port returns a port of a Service.
func (t *Table) Port(name types.NamespacedName, protocol corev1.Protocol, number int32) (*Port, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.port(name, protocol, number)
}

func (t *Table) port(name types.NamespacedName, protocol corev1.Protocol, number int32) (*Port, error) {
	if e := t.services[name]; e != nil {
		if port := e.ports[portKey{protocol, number}]; port != nil {
			return port, nil
		}
	}
	return nil, ErrUnknownPort
}

// ClusterIP is the Service's address, if it has one. Headless Services and
// names for the outside have none.
func ClusterIP(service *corev1.Service) (netip.Addr, bool) {
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(service.Spec.ClusterIP)
	return addr, err == nil && addr.Is4()
}

func sliceOwner(slice *discoveryv1.EndpointSlice) (types.NamespacedName, bool) {
	name := slice.Labels[discoveryv1.LabelServiceName]
	return types.NamespacedName{Namespace: slice.Namespace, Name: name}, name != ""
}
