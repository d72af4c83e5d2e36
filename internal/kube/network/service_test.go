package network_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/kube/network"
)

func TestPodReachesService(t *testing.T) {
	l := newLab(t, 2)
	client, one, two := l.startPod(1, "client"), l.startPod(1, "one"), l.startPod(2, "two")
	l.service("app", "10.96.3.4")
	l.endpoints("app", endpoint(one, true), endpoint(two, true))
	l.answering(client, "10.96.3.4:81", "one", "two")

	client.must(Exchange{Network: "tcp", Address: "10.96.3.4:80", Bytes: 10 << 20})
	client.must(Exchange{Network: "tcp", Address: "10.96.3.4:82", Bytes: 20 << 20, Hash: true})
	client.must(Exchange{Network: "tcp", Address: "10.96.3.4:80", Bytes: 20000, Parallel: 200})
	client.must(Exchange{Network: "udp", Address: "10.96.3.4:80", Bytes: 1400})
	client.must(Exchange{Network: "udp", Address: "10.96.3.4:80", Bytes: 9000})
	// A pod may be behind the Service that it asks.
	one.must(Exchange{Network: "tcp", Address: "10.96.3.4:80", Bytes: 1 << 20, Parallel: 4})
	if got := client.must(Exchange{Network: "udp", Address: "10.96.3.4:81", Bytes: 1, Text: true}).Text; got != "one" && got != "two" {
		t.Errorf("the service's name over UDP is %q", got)
	}
}

// answering waits until exactly these pods answer at the address.
func (l *lab) answering(from *sandbox, address string, names ...string) {
	l.Helper()
	l.eventually(address+" is answered by "+strings.Join(names, " and "), func() error {
		var got []string
		for range 8 {
			r := from.try(Exchange{Network: "tcp", Address: address, Text: true})
			if r.Err != "" {
				return fmt.Errorf("%s", r.Err)
			}
			if !slices.Contains(got, r.Text) {
				got = append(got, r.Text)
			}
		}
		if slices.Sort(got); !slices.Equal(got, names) {
			return fmt.Errorf("answers came from %v", got)
		}
		return nil
	})
}

func TestServiceWithoutEndpoints(t *testing.T) {
	l := newLab(t, 1)
	client := l.startPod(1, "client")
	l.service("empty", "10.96.3.5")
	for _, c := range []struct{ network, address, want string }{
		{"tcp", "10.96.3.5:80", "connection refused"},
		{"tcp", "10.96.3.5:99", "connection refused"},
		{"udp", "10.96.3.5:80", "connection refused"},
		{"tcp", "10.96.9.9:80", "no route to host"},
		{"udp", "10.96.9.9:80", "connection refused"},
		{"tcp", "10.244.0.1:80", "connection refused"},
		{"tcp", "169.254.169.254:80", "no route to host"},
	} {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			l.eventually("the right refusal", func() error {
				r := client.try(Exchange{Network: c.network, Address: c.address, Bytes: 10})
				if !strings.Contains(r.Err, c.want) || r.Took > time.Second {
					return fmt.Errorf("got %q after %s, want %q at once", r.Err, r.Took, c.want)
				}
				return nil
			})
		})
	}
}

// While an endpoint ends, new connections go elsewhere and old ones live on.
func TestEndpointLeaves(t *testing.T) {
	l := newLab(t, 2)
	one, two := l.startPod(1, "one"), l.startPod(2, "two")
	client := l.startPod(1, "client")
	l.service("app", "10.96.3.4")
	l.endpoints("app", endpoint(one, true))
	l.answering(client, "10.96.3.4:81", "one")
	old, err := l.net.DialContext(t.Context(), "tcp", "10.96.3.4:80")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()

	l.endpoints("app", endpoint(one, false), endpoint(two, true))
	l.answering(client, "10.96.3.4:81", "two")
	for range 50 {
		if r := client.must(Exchange{Network: "tcp", Address: "10.96.3.4:81", Text: true}); r.Text != "two" {
			t.Fatalf("a new connection went to %q", r.Text)
		}
	}
	if err := echo(old, 1<<20); err != nil {
		t.Error("the connection from before: ", err)
	}
}

// An endpoint that died without a word is still listed: others are tried.
func TestEndpointDies(t *testing.T) {
	l := newLab(t, 2)
	one, two, client := l.startPod(1, "one"), l.startPod(2, "two"), l.startPod(1, "client")
	l.service("app", "10.96.3.4")
	l.endpoints("app", endpoint(one, true), endpoint(two, true))
	l.answering(client, "10.96.3.4:81", "one", "two")
	if err := l.nodes[1].Call("Lab.KillPod", "one", &struct{}{}); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		r := client.must(Exchange{Network: "tcp", Address: "10.96.3.4:81", Text: true})
		if r.Text != "two" || r.Took > 5*time.Second {
			t.Errorf("got %q after %s", r.Text, r.Took)
		}
	}
}

func TestNodeDies(t *testing.T) {
	l := newLab(t, 2)
	one, two, client := l.startPod(2, "one"), l.startPod(1, "two"), l.startPod(1, "client")
	l.service("app", "10.96.3.4")
	l.endpoints("app", endpoint(one, true), endpoint(two, true))
	l.answering(client, "10.96.3.4:81", "one", "two")
	_ = l.nodes[2].cmd.Process.Kill()
	for range 4 {
		r := client.must(Exchange{Network: "tcp", Address: "10.96.3.4:81", Text: true})
		if r.Text != "two" || r.Took > 5*time.Second {
			t.Errorf("got %q after %s", r.Text, r.Took)
		}
	}
	// A node of the same index may join again.
	l.startNode(2)
	three := l.startPod(2, "three")
	client.must(Exchange{Network: "tcp", Address: three.at(echoPort), Bytes: 1 << 20})
}

func TestSessionAffinity(t *testing.T) {
	l := newLab(t, 1)
	one, two, client := l.startPod(1, "one"), l.startPod(1, "two"), l.startPod(1, "client")
	l.service("app", "10.96.3.4", func(svc *corev1.Service) { svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP })
	l.endpoints("app", endpoint(one, true), endpoint(two, true))
	l.eventually("the service answers", func() error {
		if r := client.try(Exchange{Network: "tcp", Address: "10.96.3.4:81", Text: true}); r.Err != "" {
			return fmt.Errorf("%s", r.Err)
		}
		return nil
	})
	first := client.must(Exchange{Network: "tcp", Address: "10.96.3.4:81", Text: true}).Text
	for range 20 {
		if got := client.must(Exchange{Network: "tcp", Address: "10.96.3.4:81", Text: true}).Text; got != first {
			t.Fatalf("the client was with %q and came to %q", first, got)
		}
	}
}

func TestPodReachesAPIServer(t *testing.T) {
	var l *lab
	port := (&lab{TB: t}).server(func(c *net.TCPConn) { _, _ = c.Write([]byte("the API server")) })
	l = newLab(t, 1, func(c *network.Config) { c.APIServer = "127.0.0.1:" + port })
	client := l.startPod(1, "client")
	if got := client.must(Exchange{Network: "tcp", Address: "10.96.0.1:443", Text: true}).Text; got != "the API server" {
		t.Errorf("10.96.0.1:443 says %q", got)
	}
}

func TestPodReachesOutside(t *testing.T) {
	l := newLab(t, 1)
	client := l.startPod(1, "client")
	addr := outsideAddr(t)
	listener, err := net.Listen("tcp4", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); _ = echoBack(conn.(*net.TCPConn)) }()
		}
	}()
	client.must(Exchange{Network: "tcp", Address: listener.Addr().String(), Bytes: 1 << 20})
	packets, err := net.ListenPacket("udp4", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(buf[:n], from)
		}
	}()
	client.must(Exchange{Network: "udp", Address: packets.LocalAddr().String(), Bytes: 1400})
	port := closedPort(t, addr)
	if r := client.try(Exchange{Network: "tcp", Address: net.JoinHostPort(addr, port), Bytes: 1}); !strings.Contains(r.Err, "refused") {
		t.Errorf("a closed port outside: %q", r.Err)
	}
}

// outsideAddr is an address of the machine that is not loopback.
func outsideAddr(t *testing.T) string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if ip, ok := addr.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			return ip.IP.String()
		}
	}
	t.Fatal("this machine has no address but loopback")
	return ""
}

func closedPort(t *testing.T, addr string) string {
	listener, err := net.Listen("tcp4", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	return port
}

func TestDialContext(t *testing.T) {
	l := newLab(t, 2)
	a, b := l.startPod(1, "a"), l.startPod(2, "b")
	l.service("app", "10.96.3.4")
	l.endpoints("app", endpoint(b, true))
	for _, address := range []string{a.at(hashPort), b.at(hashPort)} {
		if _, err := exchange(l.net.DialContext, Exchange{Network: "tcp", Address: address, Bytes: 50 << 20, Hash: true}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := exchange(l.net.DialContext, Exchange{Network: "tcp", Address: a.at(echoPort), Bytes: 100 << 10, Parallel: 100}); err != nil {
		t.Error(err)
	}
	if _, err := exchange(l.net.DialContext, Exchange{Network: "udp", Address: a.at(echoPort), Bytes: 5000}); err != nil {
		t.Error(err)
	}
	if _, err := exchange(l.net.DialContext, Exchange{Network: "tcp", Address: "10.244.2.1:7000", Bytes: 1000}); err != nil {
		t.Error("the node's own address: ", err)
	}
	l.eventually("the service by name", func() error {
		text, err := exchange(l.net.DialContext, Exchange{Network: "tcp", Address: "app.default.svc:81", Text: true})
		if err == nil && text != "b" {
			err = fmt.Errorf("got %q", text)
		}
		return err
	})
}

func TestDialContextRefuses(t *testing.T) {
	l := newLab(t, 1)
	a := l.startPod(1, "a")
	for address, want := range map[string]string{
		a.at("9"):         "refused",
		"10.244.1.77:80":  "", // nobody there: the wording is the stack's
		"10.96.9.9:80":    "no route",
		"10.244.0.2:22":   "not open to pods",
		"127.0.0.1:22":    "no route",
		"192.0.2.1:80":    "not an address of the cluster",
		"nowhere.svc:80":  "no such name",
		"no-port":         "missing port",
		"[2001:db8::1]:1": "no route",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		conn, err := l.net.DialContext(ctx, "tcp", address)
		cancel()
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s was dialled", address)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
		if ctx.Err() == context.DeadlineExceeded {
			t.Errorf("%s took too long to fail: %v", address, err)
		}
	}
}

func TestServiceDeleted(t *testing.T) {
	l := newLab(t, 1)
	one, client := l.startPod(1, "one"), l.startPod(1, "client")
	l.service("app", "10.96.3.4")
	l.endpoints("app", endpoint(one, true))
	l.answering(client, "10.96.3.4:81", "one")
	if err := l.api.CoreV1().Services("default").Delete(t.Context(), "app", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.eventually("the address is unreachable", func() error {
		if r := client.try(Exchange{Network: "tcp", Address: "10.96.3.4:81", Text: true}); !strings.Contains(r.Err, "no route") {
			return fmt.Errorf("got %q %s", r.Text, r.Err)
		}
		return nil
	})
}
