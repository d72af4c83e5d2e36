package bridge

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/m3o/platform/internal/kube/addresses"
)

const (
	firstHost = 2
	lastHost  = 254
)

// pool hands out the addresses of one node's pods. Addresses that come back
// wait at the end of the line, so that none is used again while others still
// talk to its last holder. A node that comes back goes on where it was: until
// its pods are known again, EndpointSlices lead to the addresses of before,
// and whoever had one of these would be taken for another.
type pool struct {
	index int
	free  []byte
	taken map[byte]bool
	last  string // Config.LastReserved
}

// newPool goes on behind the host that the file last names, if it does.
func newPool(index int, last string) *pool {
	p := &pool{index: index, taken: map[byte]bool{}, last: last}
	for host := firstHost; host <= lastHost; host++ {
		p.free = append(p.free, byte(host))
	}
	if i := slices.Index(p.free, lastGiven(last)); i >= 0 {
		p.free = append(p.free[i+1:], p.free[:i+1]...)
	}
	return p
}

// lastGiven is 0 when the file tells nothing: then there is nothing to avoid.
func lastGiven(file string) byte {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	host, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return 0
	}
	return byte(host)
}

func (p *pool) take() (netip.Addr, error) {
	if len(p.free) == 0 {
		return netip.Addr{}, fmt.Errorf("all %d pod addresses of the node are in use", lastHost-firstHost+1)
	}
	host := p.free[0]
	if p.last != "" {
		if err := p.note(host); err != nil {
			return netip.Addr{}, fmt.Errorf("note the address that is given: %w", err)
		}
	}
	p.free = p.free[1:]
	p.taken[host] = true
	return addresses.Pod(p.index, host), nil
}

// note replaces the file as a whole: a node may be killed at any moment.
func (p *pool) note(host byte) error {
	next := p.last + ".next"
	if err := os.WriteFile(next, []byte(strconv.Itoa(int(host))), 0o600); err != nil {
		return err
	}
	return os.Rename(next, p.last)
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
