package service

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// maxBindings bounds the clients that a port remembers for session affinity.
	maxBindings = 10000
	// suspicion is how long an endpoint that did not answer comes last. The
	// cluster takes longer to notice that a node is gone.
	suspicion = 5 * time.Second
)

// Port is one port of a Service. It stays the same object while the Service
// changes around it.
type Port struct {
	mu       sync.Mutex
	targets  targets
	next     uint
	affinity time.Duration
	bindings map[netip.Addr]binding
	suspects map[netip.AddrPort]time.Time
}

type binding struct {
	to    netip.AddrPort
	until time.Time
}

func newPort() *Port {
	return &Port{
		next: uint(rand.Uint32()), bindings: map[netip.Addr]binding{}, suspects: map[netip.AddrPort]time.Time{},
	}
}

func (p *Port) update(service *corev1.Service, t targets) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = t
	p.affinity = affinityOf(service)
	for to := range p.suspects {
		if !slices.Contains(t.ready, to) {
			delete(p.suspects, to)
		}
	}
	if p.affinity == 0 {
		clear(p.bindings)
	}
}

// Pick chooses the endpoint for a new connection of the client: a ready one
// that is not in avoid, in turn, or the client's own where the Service asks for
// that. Endpoints that just failed come last. As kube-proxy does, it falls back
// to endpoints that are draining but still serve when none is ready at all.
func (p *Port) Pick(client netip.Addr, avoid []netip.AddrPort) (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	candidates, now := p.candidates(), time.Now()
	fine := func(to netip.AddrPort) bool {
		return !slices.Contains(avoid, to) && !now.Before(p.suspects[to])
	}
	if bound, ok := p.bindings[client]; ok && now.Before(bound.until) && slices.Contains(candidates, bound.to) && fine(bound.to) {
		p.bind(client, bound.to)
		return bound.to, true
	}
	to, ok := p.turn(candidates, fine)
	if !ok {
		to, ok = p.turn(candidates, func(to netip.AddrPort) bool { return !slices.Contains(avoid, to) })
	}
	if ok {
		p.bind(client, to)
	}
	return to, ok
}

// turn is the next of the candidates that is fine.
func (p *Port) turn(candidates []netip.AddrPort, fine func(netip.AddrPort) bool) (netip.AddrPort, bool) {
	for range candidates {
		p.next++
		if to := candidates[p.next%uint(len(candidates))]; fine(to) {
			return to, true
		}
	}
	return netip.AddrPort{}, false
}

// Suspect notes that an endpoint did not answer.
func (p *Port) Suspect(to netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.candidates(), to) {
		p.suspects[to] = time.Now().Add(suspicion)
	}
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
