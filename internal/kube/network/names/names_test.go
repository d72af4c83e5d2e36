package names

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/m3o/platform/internal/kube/network/service"
)

func newTable() *service.Table {
	table := service.NewTable()
	http := []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}
	table.SetService(newService("web", corev1.ServiceSpec{ClusterIP: "10.96.1.1", Ports: http}))
	table.SetService(newService("etcd", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{
		{Name: "peer", Port: 2380, Protocol: corev1.ProtocolTCP}, {Name: "client", Port: 2379},
	}}))
	table.SetSlice(newSlice("etcd",
		discoveryv1.Endpoint{Addresses: []string{"10.244.1.2"}, Hostname: ptr.To("etcd-0")},
		discoveryv1.Endpoint{Addresses: []string{"10.244.2.2"}, Hostname: ptr.To("etcd-1")},
		discoveryv1.Endpoint{Addresses: []string{"10.244.3.2"}, Hostname: ptr.To("etcd-2"), Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false)}},
		discoveryv1.Endpoint{Addresses: []string{"10.244.1.9"}},
	))
	table.SetService(newService("nobody", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}))
	external := func(to string) corev1.ServiceSpec {
		return corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: to}
	}
	table.SetService(newService("shop", external("web.prod.svc.cluster.local")))
	table.SetService(newService("away", external("www.example.org")))
	table.SetService(newService("loop", external("loop.prod.svc.cluster.local")))
	return table
}

func newService(name string, spec corev1.ServiceSpec) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: name}, Spec: spec}
}

func newSlice(service string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: service + "-1", Labels: map[string]string{
			discoveryv1.LabelServiceName: service,
		}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		Ports: []discoveryv1.EndpointPort{
			{Name: ptr.To("peer"), Port: ptr.To[int32](2380), Protocol: ptr.To(corev1.ProtocolTCP)},
			{Name: ptr.To("client"), Port: ptr.To[int32](2379), Protocol: ptr.To(corev1.ProtocolTCP)},
		},
	}
}

// newServer answers on a loopback socket; resolvers are the outside's.
func newServer(t testing.TB, resolvers ...string) (*Server, string) {
	t.Helper()
	s := New(Config{
		Domain: "cluster.local", Table: newTable(), Resolvers: resolvers,
		Networks: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("10.96.0.0/16")},
		Hosts: map[string]netip.Addr{
			"host.m3o.internal":                    netip.MustParseAddr("10.244.0.2"),
			"kubernetes.default.svc.cluster.local": netip.MustParseAddr("10.96.0.1"),
		},
	})
	packets, listener := sockets(t)
	s.Serve(packets, listener)
	t.Cleanup(s.Close)
	return s, packets.LocalAddr().String()
}

// sockets are a UDP and a TCP socket on the same port.
func sockets(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp4", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		_ = packets.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

func ask(t testing.TB, network, server, name string, kind uint16) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network, Timeout: 8 * time.Second}
	answer, _, err := client.Exchange((&dns.Msg{}).SetQuestion(dns.Fqdn(name), kind), server)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return answer
}

// brief is an answer in a line: the code, then the records, sorted.
func brief(answer *dns.Msg) string {
	records := []string{}
	for _, record := range answer.Answer {
		text := strings.TrimPrefix(record.String(), record.Header().String())
		records = append(records, dns.TypeToString[record.Header().Rrtype]+" "+text)
	}
	slices.Sort(records)
	return strings.Join(append([]string{dns.RcodeToString[answer.Rcode]}, records...), ", ")
}

func TestAnswers(t *testing.T) {
	outside := newOutside(t)
	_, server := newServer(t, outside)
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"web.prod.svc.cluster.local", dns.TypeA, "NOERROR, A 10.96.1.1"},
		{"WEB.Prod.svc.Cluster.Local", dns.TypeA, "NOERROR, A 10.96.1.1"},
		{"web.prod.svc.cluster.local", dns.TypeAAAA, "NOERROR"},
		{"web.prod.svc.cluster.local", dns.TypeMX, "NOERROR"},
		{"kubernetes.default.svc.cluster.local", dns.TypeA, "NOERROR, A 10.96.0.1"},
		{"host.m3o.internal", dns.TypeA, "NOERROR, A 10.244.0.2"},
		{"host.m3o.internal", dns.TypeAAAA, "NOERROR"},
		{"other.m3o.internal", dns.TypeA, "NXDOMAIN"},

		{"etcd.prod.svc.cluster.local", dns.TypeA, "NOERROR, A 10.244.1.2, A 10.244.1.9, A 10.244.2.2"},
		{"etcd-0.etcd.prod.svc.cluster.local", dns.TypeA, "NOERROR, A 10.244.1.2"},
		{"etcd-0.etcd.prod.svc.cluster.local", dns.TypeAAAA, "NOERROR"},
		{"etcd-2.etcd.prod.svc.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"10-244-1-9.etcd.prod.svc.cluster.local", dns.TypeA, "NOERROR, A 10.244.1.9"},
		{"nobody.prod.svc.cluster.local", dns.TypeA, "NOERROR"},
		{"etcd-0.web.prod.svc.cluster.local", dns.TypeA, "NXDOMAIN"},

		{"_http._tcp.web.prod.svc.cluster.local", dns.TypeSRV, "NOERROR, SRV 0 100 80 web.prod.svc.cluster.local."},
		{"_http._tcp.web.prod.svc.cluster.local", dns.TypeA, "NOERROR"},
		{"_tcp.web.prod.svc.cluster.local", dns.TypeSRV, "NOERROR"},
		{"_http._udp.web.prod.svc.cluster.local", dns.TypeSRV, "NXDOMAIN"},
		{"_nope._tcp.web.prod.svc.cluster.local", dns.TypeSRV, "NXDOMAIN"},
		{"_client._tcp.etcd.prod.svc.cluster.local", dns.TypeSRV, "NOERROR, SRV 0 100 2379 10-244-1-9.etcd.prod.svc.cluster.local., " +
			"SRV 0 100 2379 etcd-0.etcd.prod.svc.cluster.local., SRV 0 100 2379 etcd-1.etcd.prod.svc.cluster.local."},

		{"10-244-7-8.prod.pod.cluster.local", dns.TypeA, "NOERROR, A 10.244.7.8"},
		{"10-244-7-8.prod.pod.cluster.local", dns.TypeAAAA, "NOERROR"},
		{"192-0-2-1.prod.pod.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"10-244-7.prod.pod.cluster.local", dns.TypeA, "NXDOMAIN"},

		{"shop.prod.svc.cluster.local", dns.TypeA, "NOERROR, A 10.96.1.1, CNAME web.prod.svc.cluster.local."},
		{"shop.prod.svc.cluster.local", dns.TypeCNAME, "NOERROR, CNAME web.prod.svc.cluster.local."},
		{"away.prod.svc.cluster.local", dns.TypeA, "NOERROR, A 192.0.2.80, CNAME www.example.org."},
		{"loop.prod.svc.cluster.local", dns.TypeA, "NOERROR, CNAME loop.prod.svc.cluster.local."},

		{"cluster.local", dns.TypeA, "NOERROR"},
		{"svc.cluster.local", dns.TypeA, "NOERROR"},
		{"prod.svc.cluster.local", dns.TypeA, "NOERROR"},
		{"pod.cluster.local", dns.TypeA, "NOERROR"},
		{"none.svc.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"none.prod.svc.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"x.y.z.prod.svc.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"www.example.org.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"www.example.org.prod.svc.cluster.local", dns.TypeA, "NXDOMAIN"},
		{"dns-version.cluster.local", dns.TypeTXT, `NOERROR, TXT "1.1.0"`},

		{"1.1.96.10.in-addr.arpa", dns.TypePTR, "NOERROR, PTR web.prod.svc.cluster.local."},
		{"2.1.244.10.in-addr.arpa", dns.TypePTR, "NOERROR, PTR etcd-0.etcd.prod.svc.cluster.local."},
		{"9.9.244.10.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
		{"2.0.244.10.in-addr.arpa", dns.TypePTR, "NOERROR, PTR host.m3o.internal."},

		{"www.example.org", dns.TypeA, "NOERROR, A 192.0.2.80"},
		{"missing.example.org", dns.TypeA, "NXDOMAIN"},
		{"broken.example.org", dns.TypeA, "SERVFAIL"},
	} {
		t.Run(c.name+" "+dns.TypeToString[c.kind], func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				answer := ask(t, network, server, c.name, c.kind)
				if got := brief(answer); got != c.want {
					t.Errorf("%s: got %s, want %s", network, got, c.want)
				}
				if !answer.RecursionAvailable {
					t.Errorf("%s: recursion is not offered", network)
				}
				if negative := len(answer.Answer) == 0 && answer.Authoritative; negative && len(answer.Ns) != 1 {
					t.Errorf("%s: a negative answer without the zone's authority", network)
				}
			}
		})
	}
}

// newOutside is a resolver of the outside.
func newOutside(t testing.TB) string {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, request *dns.Msg) {
		answer := (&dns.Msg{}).SetReply(request)
		switch name := request.Question[0].Name; name {
		case "www.example.org.":
			answer.Answer = append(answer.Answer, record(name+" 60 IN A 192.0.2.80"))
		case "large.example.org.":
			for i := range 400 {
				answer.Answer = append(answer.Answer, record(fmt.Sprintf("%s 60 IN A 192.0.2.%d", name, i%250)))
			}
			if w.LocalAddr().Network() == "udp" {
				answer.Truncate(dns.MinMsgSize)
			}
		case "broken.example.org.":
			answer.Rcode = dns.RcodeServerFailure
		default:
			answer.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(answer)
	})
	packets, listener := sockets(t)
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return packets.LocalAddr().String()
}

func record(text string) dns.RR {
	r, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return r
}

func TestLargeAnswers(t *testing.T) {
	_, server := newServer(t, newOutside(t))
	over := ask(t, "udp", server, "large.example.org", dns.TypeA)
	over.Compress = true // as it was sent
	if !over.Truncated || over.Len() > dns.MinMsgSize {
		t.Errorf("over UDP: %d bytes, truncated %v", over.Len(), over.Truncated)
	}
	if whole := ask(t, "tcp", server, "large.example.org", dns.TypeA); len(whole.Answer) != 400 || whole.Truncated {
		t.Errorf("over TCP: %d records, truncated %v", len(whole.Answer), whole.Truncated)
	}
	request := (&dns.Msg{}).SetQuestion("large.example.org.", dns.TypeA).SetEdns0(2000, false)
	client := dns.Client{Net: "udp", UDPSize: 4096}
	answer, _, err := client.Exchange(request, server)
	if err != nil {
		t.Fatal(err)
	}
	answer.Compress = true
	if answer.Len() > 2000 || answer.Len() < 1000 || answer.IsEdns0() == nil {
		t.Errorf("with room for 2000 bytes the answer has %d", answer.Len())
	}
}

func TestResolversFail(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, listener := sockets(t)
	_, _ = closed.Close(), listener.Close()

	t.Run("the next one is asked", func(t *testing.T) {
		for _, first := range []string{silent.LocalAddr().String(), closed.LocalAddr().String()} {
			_, server := newServer(t, first, newOutside(t))
			if got := brief(ask(t, "udp", server, "www.example.org", dns.TypeA)); got != "NOERROR, A 192.0.2.80" {
				t.Errorf("got %s", got)
			}
		}
	})
	t.Run("none is left", func(t *testing.T) {
		_, server := newServer(t, silent.LocalAddr().String(), closed.LocalAddr().String())
		start := time.Now()
		if got := brief(ask(t, "udp", server, "www.example.org", dns.TypeA)); got != "SERVFAIL" {
			t.Errorf("got %s", got)
		}
		if took := time.Since(start); took > answerTimeout+time.Second {
			t.Errorf("the answer took %s", took)
		}
	})
}

func TestOddQuestions(t *testing.T) {
	s, _ := newServer(t)
	update := (&dns.Msg{}).SetUpdate("cluster.local.")
	if got := s.Answer(t.Context(), update).Rcode; got != dns.RcodeNotImplemented {
		t.Errorf("an update: %s", dns.RcodeToString[got])
	}
	if got := s.Answer(t.Context(), &dns.Msg{}).Rcode; got != dns.RcodeNotImplemented {
		t.Errorf("no question: %s", dns.RcodeToString[got])
	}
	chaos := (&dns.Msg{}).SetQuestion("version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	if got := s.Answer(t.Context(), chaos).Rcode; got != dns.RcodeRefused {
		t.Errorf("another class: %s", dns.RcodeToString[got])
	}
}

func TestLookup(t *testing.T) {
	s, _ := newServer(t)
	for name, want := range map[string]string{
		"web.prod.svc": "10.96.1.1", "web.prod.svc.cluster.local": "10.96.1.1", "web.prod.svc.cluster.local.": "10.96.1.1",
		"kubernetes.default.svc": "10.96.0.1", "etcd-1.etcd.prod.svc": "10.244.2.2",
	} {
		if addr, err := s.Lookup(name); err != nil || addr.String() != want {
			t.Errorf("%s: %v %v, want %s", name, addr, err, want)
		}
	}
	for _, name := range []string{"www.example.org", "none.prod.svc", "nobody.prod.svc", ""} {
		if addr, err := s.Lookup(name); err == nil {
			t.Errorf("%q: %v", name, addr)
		}
	}
}

// Whatever is asked, there is an answer that can be sent.
func FuzzAnswer(f *testing.F) {
	s, _ := newServer(f, "127.0.0.1:1")
	for _, name := range []string{"web.prod.svc.cluster.local.", ".", "1.1.96.10.in-addr.arpa.", "_http._tcp.web.prod.svc.cluster.local."} {
		packed, _ := (&dns.Msg{}).SetQuestion(name, dns.TypeA).Pack()
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		request := &dns.Msg{}
		if request.Unpack(packed) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		answer := s.Answer(ctx, request)
		answer.Truncate(dns.MinMsgSize)
		if answer.Id != request.Id || !answer.Response {
			t.Errorf("%v was answered by %v", request, answer)
		}
		if _, err := answer.Pack(); err != nil {
			t.Errorf("%v cannot be sent: %v", answer, err)
		}
	})
}
