package service

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// maxBindings bounds the clients that a port remembers for session affinity.
const maxBindings = 10000

// Port is one port of a Service. It stays the same object while the Service
// changes around it.
type Port struct {
	mu       sync.Mutex
	targets  targets
	next     uint
	affinity time.Duration
	bindings map[netip.Addr]binding
}

type binding struct {
	to    netip.AddrPort
	until time.Time
}

func newPort() *Port { return &Port{next: uint(rand.Uint32()), bindings: map[netip.Addr]binding{}} }

func (p *Port) update(service *corev1.Service, t targets) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = t
	p.affinity = affinityOf(service)
	if p.affinity == 0 {
		clear(p.bindings)
	}
}

// Pick chooses the endpoint for a new connection of the client: a ready one
// that is not in avoid, in turn, or the client's own where the Service asks for
// that. As kube-proxy does, it falls back to endpoints that are draining but
// still serve when none is ready at all.
func (p *Port) Pick(client netip.Addr, avoid []netip.AddrPort) (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	candidates := p.candidates()
	if p.affinity > 0 {
		bound, ok := p.bindings[client]
		if ok && time.Now().Before(bound.until) && slices.Contains(candidates, bound.to) && !slices.Contains(avoid, bound.to) {
			p.bind(client, bound.to)
			return bound.to, true
		}
	}
	for range candidates {
		p.next++
		to := candidates[p.next%uint(len(candidates))]
		if !slices.Contains(avoid, to) {
			p.bind(client, to)
			return to, true
		}
	}
	return netip.AddrPort{}, false
}

// Candidates is how many endpoints Pick chooses from.
func (p *Port) Candidates() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.candidates())
}

// Serves says whether the endpoint may still get new traffic.
func (p *Port) Serves(to netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.candidates(), to)
}

func (p *Port) candidates() []netip.AddrPort {
	if len(p.targets.ready) > 0 {
		return p.targets.ready
	}
	return p.targets.draining
}

func (p *Port) bind(client netip.Addr, to netip.AddrPort) {
	if p.affinity == 0 {
		return
	}
	if len(p.bindings) >= maxBindings {
		p.forget()
	}
	p.bindings[client] = binding{to, time.Now().Add(p.affinity)}
}

// forget makes room: what ran out goes, and if that is nothing, anyone.
func (p *Port) forget() {
	now := time.Now()
	for client, bound := range p.bindings {
		if now.After(bound.until) {
			delete(p.bindings, client)
		}
	}
	for client := range p.bindings {
		if len(p.bindings) < maxBindings {
			return
		}
		delete(p.bindings, client)
	}
}
