package bridge

import (
	"fmt"
	"net/netip"
)

const (
	firstHost = 2
	lastHost  = 254
)

// pool hands out the addresses of one node's pods. Addresses that come back
// wait at the end of the line, so that none is used again while others still
// talk to its last holder.
type pool struct {
	index int
	free  []byte
	taken map[byte]bool
}

func newPool(index int) *pool {
	p := &pool{index: index, taken: map[byte]bool{}}
	for host := firstHost; host <= lastHost; host++ {
		p.free = append(p.free, byte(host))
	}
	return p
}

func (p *pool) take() (netip.Addr, error) {
	if len(p.free) == 0 {
		return netip.Addr{}, fmt.Errorf("all %d pod addresses of the node are in use", lastHost-firstHost+1)
	}
	host := p.free[0]
	p.free = p.free[1:]
	p.taken[host] = true
	return netip.AddrFrom4([4]byte{10, 244, byte(p.index), host}), nil
}

func (p *pool) release(addr netip.Addr) error {
	host := addr.As4()[3]
	if !p.taken[host] {
		return fmt.Errorf("the address %s is not in use", addr)
	}
	delete(p.taken, host)
	p.free = append(p.free, host)
	return nil
}
