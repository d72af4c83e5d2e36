package service

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

var (
	web     = types.NamespacedName{Namespace: "shop", Name: "web"}
	webAddr = netip.MustParseAddr("10.96.1.1")
	client  = netip.MustParseAddr("10.244.9.9")
)

func webService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: web.Namespace, Name: web.Name},
		Spec: corev1.ServiceSpec{ClusterIP: webAddr.String(), Ports: []corev1.ServicePort{
			{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
		}},
	}
}

// ready, ending (serves on), gone (serves no more) and unready endpoints.
func ready(addr string) discoveryv1.Endpoint {
	return conditions(addr, ptr.To(true), ptr.To(true), ptr.To(false))
}

func ending(addr string) discoveryv1.Endpoint {
	return conditions(addr, ptr.To(false), ptr.To(true), ptr.To(true))
}

func gone(addr string) discoveryv1.Endpoint {
	return conditions(addr, ptr.To(false), ptr.To(false), ptr.To(true))
}

func unready(addr string) discoveryv1.Endpoint {
	return conditions(addr, ptr.To(false), ptr.To(false), ptr.To(false))
}

func conditions(addr string, ready, serving, terminating *bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{addr}, Conditions: discoveryv1.EndpointConditions{
		Ready: ready, Serving: serving, Terminating: terminating,
	}}
}

func webSlice(name string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: web.Namespace, Name: name, Labels: map[string]string{
			discoveryv1.LabelServiceName: web.Name,
		}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		Ports: []discoveryv1.EndpointPort{
			{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)},
			{Name: ptr.To("dns"), Port: ptr.To[int32](5353), Protocol: ptr.To(corev1.ProtocolUDP)},
		},
	}
}

// picked are the endpoints that a number of new connections go to.
func picked(p *Port) []string {
	var all []string
	for range 20 {
		if to, ok := p.Pick(client, nil); ok && !slices.Contains(all, to.String()) {
			all = append(all, to.String())
		}
	}
	slices.Sort(all)
	return all
}

func TestWhoGetsConnections(t *testing.T) {
	none := conditions("10.244.1.9", nil, nil, nil)
	for name, c := range map[string]struct {
		endpoints []discoveryv1.Endpoint
		want      []string
	}{
		"all that are ready":             {[]discoveryv1.Endpoint{ready("10.244.1.2"), ready("10.244.1.3")}, []string{"10.244.1.2:8080", "10.244.1.3:8080"}},
		"no condition means ready":       {[]discoveryv1.Endpoint{none}, []string{"10.244.1.9:8080"}},
		"not those that end":             {[]discoveryv1.Endpoint{ready("10.244.1.2"), ending("10.244.1.3")}, []string{"10.244.1.2:8080"}},
		"not those that are unready":     {[]discoveryv1.Endpoint{ready("10.244.1.2"), unready("10.244.1.3")}, []string{"10.244.1.2:8080"}},
		"those that end, if none else":   {[]discoveryv1.Endpoint{ending("10.244.1.3"), unready("10.244.1.4")}, []string{"10.244.1.3:8080"}},
		"nobody, if all ended":           {[]discoveryv1.Endpoint{gone("10.244.1.3"), unready("10.244.1.4")}, nil},
		"nobody, without endpoints":      {nil, nil},
		"an address that is none at all": {[]discoveryv1.Endpoint{ready("fe80::1"), ready("nonsense")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			table := NewTable()
			table.SetSlice(webSlice("a", c.endpoints...)) // before its Service
			table.SetService(webService())
			port, err := table.Find(corev1.ProtocolTCP, netip.AddrPortFrom(webAddr, 80))
			if err != nil {
				t.Fatal(err)
			}
			if got := picked(port); !slices.Equal(got, c.want) {
				t.Errorf("connections go to %v, want %v", got, c.want)
			}
		})
	}
}

func TestPortKeepsUpWithChanges(t *testing.T) {
	table := NewTable()
	table.SetService(webService())
	port, err := table.Port(web, corev1.ProtocolUDP, 53)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want ...string) {
		t.Helper()
		if got := picked(port); !slices.Equal(got, want) {
			t.Errorf("connections go to %v, want %v", got, want)
		}
	}
	expect()
	table.SetSlice(webSlice("a", ready("10.244.1.2")))
	table.SetSlice(webSlice("b", ready("10.244.1.3"), ready("10.244.1.2")))
	expect("10.244.1.2:5353", "10.244.1.3:5353")
	table.DeleteSlice(webSlice("a"))
	table.SetSlice(webSlice("b", ready("10.244.1.4")))
	expect("10.244.1.4:5353")
	changed := webService()
	changed.Spec.Ports = changed.Spec.Ports[:1]
	table.SetService(changed)
	expect()
	if _, err := table.Port(web, corev1.ProtocolUDP, 53); !errors.Is(err, ErrUnknownPort) {
		t.Errorf("a port that was removed: %v", err)
	}
}

func TestAddressFollowsService(t *testing.T) {
	table := NewTable()
	table.SetService(webService())
	moved := webService()
	moved.Spec.ClusterIP = "10.96.1.2"
	table.SetService(moved)
	if _, err := table.Find(corev1.ProtocolTCP, netip.AddrPortFrom(webAddr, 80)); !errors.Is(err, ErrUnknownAddress) {
		t.Errorf("the old address: %v", err)
	}
	if _, err := table.Find(corev1.ProtocolTCP, netip.MustParseAddrPort("10.96.1.2:80")); err != nil {
		t.Errorf("the new address: %v", err)
	}
	table.DeleteService(web)
	if _, err := table.Find(corev1.ProtocolTCP, netip.MustParseAddrPort("10.96.1.2:80")); !errors.Is(err, ErrUnknownAddress) {
		t.Errorf("after deletion: %v", err)
	}
	if len(table.services) != 0 || len(table.byAddr) != 0 {
		t.Errorf("after deletion %v and %v are left", table.services, table.byAddr)
	}
}

func TestSuspectsComeLast(t *testing.T) {
	table := NewTable()
	table.SetService(webService())
	table.SetSlice(webSlice("a", ready("10.244.1.2"), ready("10.244.1.3")))
	port, _ := table.Port(web, corev1.ProtocolTCP, 80)
	two, three := netip.MustParseAddrPort("10.244.1.2:8080"), netip.MustParseAddrPort("10.244.1.3:8080")
	port.Suspect(two)
	if got := picked(port); !slices.Equal(got, []string{three.String()}) {
		t.Errorf("connections go to %v", got)
	}
	if to, ok := port.Pick(client, []netip.AddrPort{three}); !ok || to != two {
		t.Errorf("when the other failed too: %v %v", to, ok)
	}
	if _, ok := port.Pick(client, []netip.AddrPort{two, three}); ok {
		t.Error("an endpoint was picked that was to be avoided")
	}
}

func TestAffinity(t *testing.T) {
	table := NewTable()
	svc := webService()
	svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	table.SetService(svc)
	table.SetSlice(webSlice("a", ready("10.244.1.2"), ready("10.244.1.3"), ready("10.244.1.4")))
	port, _ := table.Port(web, corev1.ProtocolTCP, 80)
	mine := picked(port)
	if len(mine) != 1 {
		t.Fatalf("one client came to %v", mine)
	}
	others := map[string]bool{}
	for i := range 60 {
		to, _ := port.Pick(netip.AddrFrom4([4]byte{10, 244, 2, byte(i)}), nil)
		others[to.String()] = true
	}
	if len(others) != 3 {
		t.Errorf("60 clients came to %v only", others)
	}
	// A client whose endpoint leaves gets another, and stays with that.
	bound, _ := port.Pick(client, nil)
	table.SetSlice(webSlice("a", slices.DeleteFunc([]discoveryv1.Endpoint{
		ready("10.244.1.2"), ready("10.244.1.3"), ready("10.244.1.4"),
	}, func(e discoveryv1.Endpoint) bool { return e.Addresses[0] == bound.Addr().String() })...))
	if again := picked(port); len(again) != 1 || again[0] == bound.String() {
		t.Errorf("after its endpoint left, the client came to %v", again)
	}
}

func TestBindingsAreBounded(t *testing.T) {
	port := newPort()
	svc := webService()
	svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	port.update(svc, targets{ready: []netip.AddrPort{netip.MustParseAddrPort("10.244.1.2:1")}})
	for i := range maxBindings + 500 {
		port.Pick(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), nil)
	}
	if len(port.bindings) > maxBindings {
		t.Errorf("%d clients are remembered, at most %d may be", len(port.bindings), maxBindings)
	}
}
