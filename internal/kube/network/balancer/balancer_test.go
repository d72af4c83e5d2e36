package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/m3o/platform/internal/kube/network/service"
)

var testPrefix = netip.MustParsePrefix("127.18.78.0/28")

// bench is a balancer whose endpoints are all the same server, which answers
// with the Service's port that was dialled.
type bench struct {
	*testing.T
	api    *fake.Clientset
	cancel context.CancelFunc
	done   chan error
}

func newBench(t *testing.T, services ...*corev1.Service) *bench {
	b := &bench{T: t, api: fake.NewClientset()}
	for _, svc := range services {
		if _, err := b.api.CoreV1().Services("default").Create(t.Context(), svc, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bench) start() {
	b.Helper()
	table := service.NewTable()
	factory := informers.NewSharedInformerFactory(b.api, 0)
	synced, err := table.Watch(factory)
	if err != nil {
		b.Fatal(err)
	}
	balancer, err := New(Config{
		Client: b.api, Services: factory.Core().V1().Services(), Prefix: testPrefix, Table: table, Dial: dialGreeter,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.done = cancel, make(chan error, 1)
	factory.Start(ctx.Done())
	go func() { b.done <- balancer.Run(ctx, synced...) }()
}

func (b *bench) stop() {
	b.Helper()
	b.cancel()
	select {
	case err := <-b.done:
		if err != nil {
			b.Error(err)
		}
		b.done <- nil
	case <-time.After(10 * time.Second):
		b.Error("the balancer does not end")
	}
}

// dialGreeter connects to a server that says hello and hangs up.
func dialGreeter(_ context.Context, protocol corev1.Protocol, _ *service.Port, _ netip.Addr) (net.Conn, func() bool, error) {
	if protocol == corev1.ProtocolUDP {
		return nil, nil, errors.New("no datagrams here")
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	server, err := listener.Accept()
	if err != nil {
		return nil, nil, err
	}
	_, _ = io.WriteString(server, "hello")
	_ = server.(*net.TCPConn).CloseWrite()
	go func() { _, _ = io.Copy(io.Discard, server); _ = server.Close() }()
	return conn, nil, nil
}

func newService(name string, ports ...int32) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	svc.Spec.Type = corev1.ServiceTypeLoadBalancer
	for _, port := range ports {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("p", port), Port: port, Protocol: corev1.ProtocolTCP})
	}
	return svc
}

func (b *bench) get(name string) *corev1.Service {
	b.Helper()
	svc, err := b.api.CoreV1().Services("default").Get(b.Context(), name, metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return svc
}

func (b *bench) change(name string, change func(*corev1.Service)) {
	b.Helper()
	svc := b.get(name)
	change(svc)
	if _, err := b.api.CoreV1().Services("default").Update(b.Context(), svc, metav1.UpdateOptions{}); err != nil {
		b.Fatal(err)
	}
}

// address waits for the Service's address.
func (b *bench) address(name string) string {
	b.Helper()
	var addr string
	b.eventually(name+" has an address", func() error {
		ingress := b.get(name).Status.LoadBalancer.Ingress
		if len(ingress) != 1 {
			return fmt.Errorf("the status is %v", ingress)
		}
		addr = ingress[0].IP
		return nil
	})
	return addr
}

func (b *bench) eventually(what string, check func() error) {
	b.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func greeting(addr string, port int) error {
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", addr, port), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	text, err := io.ReadAll(conn)
	if err == nil && string(text) != "hello" {
		err = fmt.Errorf("it says %q", text)
	}
	return err
}

func closed(addr string, port int) error {
	if err := greeting(addr, port); !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("the port is still open (%v)", err)
	}
	return nil
}

// event waits for a warning about the Service that says all of that.
func (b *bench) event(name string, words ...string) {
	b.Helper()
	b.eventually("a warning about "+name, func() error {
		events, err := b.api.CoreV1().Events("default").List(b.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, event := range events.Items {
			fits := event.InvolvedObject.Name == name && event.Type == corev1.EventTypeWarning
			for _, word := range words {
				fits = fits && strings.Contains(event.Message, word)
			}
			if fits {
				return nil
			}
		}
		return fmt.Errorf("the events are %v", events.Items)
	})
}

func TestAddressAndPortsFollowTheService(t *testing.T) {
	b := newBench(t, newService("web", 8080, 8081), newService("other", 8080))
	addr, other := b.address("web"), b.address("other")
	if addr == other || !testPrefix.Contains(netip.MustParseAddr(addr)) {
		t.Errorf("the addresses are %s and %s", addr, other)
	}
	for _, port := range []int{8080, 8081} {
		if err := greeting(addr, port); err != nil {
			t.Error(err)
		}
	}
	b.change("web", func(svc *corev1.Service) { svc.Spec.Ports[0].Port = 8090 })
	b.eventually("the port changes", func() error { return errors.Join(greeting(addr, 8090), closed(addr, 8080)) })
	if err := greeting(addr, 8081); err != nil {
		t.Error("the port that stays: ", err)
	}
	b.change("web", func(svc *corev1.Service) { svc.Spec.Type = corev1.ServiceTypeClusterIP })
	b.eventually("the address is taken back", func() error {
		if ingress := b.get("web").Status.LoadBalancer.Ingress; len(ingress) > 0 {
			return fmt.Errorf("the status is %v", ingress)
		}
		return closed(addr, 8090)
	})
	if err := b.api.CoreV1().Services("default").Delete(t.Context(), "other", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually("the port is closed", func() error { return closed(other, 8080) })
}

func TestAddressSurvivesRestart(t *testing.T) {
	b := newBench(t, newService("a", 8080), newService("b", 8080), newService("c", 8080))
	before := []string{b.address("a"), b.address("b"), b.address("c")}
	b.stop()
	for _, addr := range before {
		if err := closed(addr, 8080); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.api.CoreV1().Services("default").Create(t.Context(), newService("0-new", 8080), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.start()
	fresh := b.address("0-new")
	for i, name := range []string{"a", "b", "c"} {
		b.eventually("it is served again", func() error { return greeting(before[i], 8080) })
		if after := b.address(name); after != before[i] || fresh == after {
			t.Errorf("%s had %s and has %s; the new one has %s", name, before[i], after, fresh)
		}
	}
}

func TestWantedAddress(t *testing.T) {
	wanted := newService("wanted", 8080)
	wanted.Spec.LoadBalancerIP = "127.18.78.9"
	b := newBench(t, newService("any", 8080), wanted)
	if addr := b.address("wanted"); addr != "127.18.78.9" {
		t.Errorf("it has %s", addr)
	}
	second := newService("second", 8080)
	second.Spec.LoadBalancerIP = "127.18.78.9"
	foreign := newService("foreign", 8080)
	foreign.Spec.LoadBalancerIP = "10.0.0.1"
	for _, svc := range []*corev1.Service{second, foreign} {
		if _, err := b.api.CoreV1().Services("default").Create(t.Context(), svc, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.event("second", "127.18.78.9", "belongs to the service default/wanted")
	b.event("foreign", "10.0.0.1", "is not one of")
	b.change("any", func(svc *corev1.Service) { svc.Spec.LoadBalancerIP = "127.18.78.10" })
	b.eventually("it moves", func() error { return greeting("127.18.78.10", 8080) })
}

func TestPortInUse(t *testing.T) {
	squatter, err := net.Listen("tcp4", "127.18.78.5:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	svc := newService("web", 8080, 8081)
	svc.Spec.LoadBalancerIP = "127.18.78.5"
	b := newBench(t, svc)
	b.event("web", "127.18.78.5:8080", "another program")
	addr := b.address("web")
	if err := greeting(addr, 8081); err != nil {
		t.Error("the port that is free: ", err)
	}
	ports := b.get("web").Status.LoadBalancer.Ingress[0].Ports
	if len(ports) != 2 || ports[0].Error == nil || ports[1].Error != nil {
		t.Errorf("the status says %+v", ports)
	}
	_ = squatter.Close()
	b.eventually("the port is had once it is free", func() error {
		if len(b.get("web").Status.LoadBalancer.Ingress[0].Ports) != 0 {
			return errors.New("the status says that a port is missing")
		}
		return greeting(addr, 8080)
	})
}

func TestNoPortAtAll(t *testing.T) {
	squatter, err := net.Listen("tcp4", "127.18.78.5:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	svc := newService("web", 8080)
	svc.Spec.LoadBalancerIP = "127.18.78.5"
	b := newBench(t, svc)
	b.event("web", "another program")
	if ingress := b.get("web").Status.LoadBalancer.Ingress; len(ingress) != 0 {
		t.Errorf("nothing works, and the status says %v", ingress)
	}
}

func TestExplain(t *testing.T) {
	s := socket{corev1.ProtocolTCP, 80}
	if got := explain(s, "127.18.0.1:80", syscall.EACCES).Error(); !strings.Contains(got, "above 1023") {
		t.Error(got)
	}
}

func TestOtherClassesAreNotOurs(t *testing.T) {
	class := "example.org/other"
	svc := newService("web", 8080)
	svc.Spec.LoadBalancerClass = &class
	b := newBench(t, svc, newService("ours", 8080))
	b.address("ours")
	if ingress := b.get("web").Status.LoadBalancer.Ingress; len(ingress) != 0 {
		t.Errorf("the status says %v", ingress)
	}
}

func TestAllocator(t *testing.T) {
	a := newAllocator(netip.MustParsePrefix("127.18.1.0/29"))
	name := func(i int) types.NamespacedName { return types.NamespacedName{Name: fmt.Sprint(i)} }
	seen := map[netip.Addr]bool{}
	for i := range 6 {
		addr, err := a.allocate(name(i))
		if err != nil || seen[addr] {
			t.Fatalf("got %s %v", addr, err)
		}
		seen[addr] = true
	}
	if seen[netip.MustParseAddr("127.18.1.0")] || seen[netip.MustParseAddr("127.18.1.7")] {
		t.Errorf("the network's own addresses were given out: %v", seen)
	}
	if addr, err := a.allocate(name(7)); err == nil {
		t.Errorf("%s was given out of an empty prefix", addr)
	}
	had := a.addrs[name(3)]
	a.release(name(3))
	a.release(name(3))
	if addr, err := a.allocate(name(7)); err != nil || addr != had {
		t.Errorf("got %s %v, want %s", addr, err, had)
	}
}
