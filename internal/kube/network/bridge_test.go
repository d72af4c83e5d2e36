package network_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/kube/network"
)

func (m *machine) interfaces(t *testing.T) []string {
	t.Helper()
	var names []string
	if err := m.Call("Lab.Interfaces", struct{}{}, &names); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestAttach(t *testing.T) {
	l := newLab(t, 1)
	a, b := l.startPod(1, "a"), l.startPod(1, "b")
	node := l.nodes[1]
	if a.addr != "10.244.1.2" || b.addr != "10.244.1.3" {
		t.Errorf("the pods have %s and %s", a.addr, b.addr)
	}
	before := node.interfaces(t)
	var again string
	if err := node.Call("Lab.Attach", [2]string{"a", "a"}, &again); err != nil || again != a.addr {
		t.Errorf("attached again: %s %v, want %s", again, err, a.addr)
	}
	if err := node.Call("Lab.Attach", [2]string{"b", "a"}, &again); err == nil || !strings.Contains(err.Error(), "detach it first") {
		t.Errorf("a pod in another namespace: %v", err)
	}
	// What cannot work leaves nothing behind: not the pair, not the address.
	if err := node.Call("Lab.Attach", [2]string{"b", "b again"}, &again); err == nil {
		t.Error("a namespace was attached twice")
	}
	for _, path := range []string{"/nowhere", "/proc/self/ns/uts", "/dev/null"} {
		if err := node.Call("Lab.AttachPath", path, &again); err == nil {
			t.Errorf("%s was attached", path)
		}
	}
	if after := node.interfaces(t); !slices.Equal(before, after) {
		t.Errorf("the interfaces were %v and are %v", before, after)
	}
	a.must(Exchange{Network: "tcp", Address: b.at(echoPort), Bytes: 1000})
}

func TestDetach(t *testing.T) {
	l := newLab(t, 1)
	a, b := l.startPod(1, "a"), l.startPod(1, "b")
	node := l.nodes[1]
	before := node.interfaces(t)
	if err := node.Call("Lab.Detach", "a", &struct{}{}); err != nil {
		t.Fatal(err)
	}
	if after := node.interfaces(t); len(after) != len(before)-1 {
		t.Errorf("the interfaces were %v and are %v", before, after)
	}
	if r := a.try(Exchange{Network: "tcp", Address: b.at(echoPort), Bytes: 1}); r.Err == "" {
		t.Error("a detached pod reaches others")
	}
	if err := node.Call("Lab.KillPod", "b", &struct{}{}); err != nil {
		t.Fatal(err)
	}
	if err := node.Call("Lab.Detach", "b", &struct{}{}); err != nil {
		t.Error("a pod whose namespace is gone: ", err)
	}
	if err := node.Call("Lab.Detach", "never was", &struct{}{}); err != nil {
		t.Error(err)
	}
	// The address rests before it is used again.
	if c := l.startPod(1, "c"); c.addr == a.addr || c.addr == b.addr {
		t.Errorf("%s was used again at once", c.addr)
	}
	if err := node.Call("Lab.Close", struct{}{}, &struct{}{}); err != nil {
		t.Error(err)
	}
	if left := node.interfaces(t); !slices.Equal(left, []string{"lo"}) {
		t.Errorf("after Close there is %v", left)
	}
}

// The gateway must not answer ARP for pods, least of all for those that are
// not there.
func TestNobodyAnswersForAbsentPods(t *testing.T) {
	l := newLab(t, 1)
	a := l.startPod(1, "a")
	r := a.try(Exchange{Network: "tcp", Address: "10.244.1.77:80", Bytes: 1})
	if !strings.Contains(r.Err, "no route to host") {
		t.Errorf("an absent pod: %q", r.Err)
	}
}

func TestNetworkConfig(t *testing.T) {
	for want, cfg := range map[string]network.Config{
		"address of the API server":  {},
		"want a part of 127.0.0.0/8": {APIServer: "127.0.0.1:1", LoadBalancerCIDR: prefix("10.0.0.0/24")},
		"too small":                  {APIServer: "127.0.0.1:1", LoadBalancerCIDR: prefix("127.18.0.0/31")},
		"want 127.18.4.0/24":         {APIServer: "127.0.0.1:1", LoadBalancerCIDR: prefix("127.18.4.7/24")},
		"the machine's own":          {APIServer: "127.0.0.1:1", LoadBalancerCIDR: prefix("127.0.0.0/24")},
		"resolver":                   {APIServer: "127.0.0.1:1", Resolvers: []string{"localhost"}},
	} {
		n, err := network.New(cfg)
		if err == nil {
			n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

// A cluster process that goes away is noticed by the node.
func TestUplinkEnds(t *testing.T) {
	l := newLab(t, 1)
	l.net.Close()
	if err := l.nodes[1].cmd.Wait(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the node's process ended with %v", err)
	}
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }
