package network_test

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/kube/network"
)

func TestPodsReachEachOther(t *testing.T) {
	l := newLab(t, 2)
	a, b, c := l.startPod(1, "a"), l.startPod(1, "b"), l.startPod(2, "c")
	for _, to := range []*sandbox{b, c} {
		t.Run("from a to "+to.name, func(t *testing.T) {
			a.must(Exchange{Network: "tcp", Address: to.at(echoPort), Bytes: 5 << 20})
			a.must(Exchange{Network: "tcp", Address: to.at(hashPort), Bytes: 50 << 20, Hash: true})
			for _, size := range []int{1, 1472, 1473, 9000, 60000} {
				a.must(Exchange{Network: "udp", Address: to.at(echoPort), Bytes: size})
			}
			a.must(Exchange{Network: "tcp", Address: to.at(echoPort), Bytes: 10000, Parallel: 100})
		})
	}
	if got := a.must(Exchange{Network: "tcp", Address: c.at(namePort), Text: true}).Text; got != "c" {
		t.Errorf("pod c says its name is %q", got)
	}
}

func TestPodReachesMachine(t *testing.T) {
	machine := &lab{TB: t}
	port, echoAt := machine.server(hashStream), machine.server(func(c *net.TCPConn) { _ = echoBack(c) })
	a := newLab(t, 1, opened(port, echoAt)).startPod(1, "a")
	a.must(Exchange{Network: "tcp", Address: "10.244.0.2:" + port, Bytes: 100 << 20, Hash: true})
	a.must(Exchange{Network: "tcp", Address: "10.244.0.2:" + echoAt, Bytes: 20 << 20})
	a.must(Exchange{Network: "tcp", Address: "10.244.0.2:" + echoAt, Bytes: 10000, Parallel: 200})
}

// The machine's loopback is closed to pods, but for what was opened.
func TestPodsReachOnlyOpenPortsOfTheMachine(t *testing.T) {
	machine := &lab{TB: t}
	hello := func(c *net.TCPConn) { _, _ = io.WriteString(c, "hello") }
	closed, open := machine.server(hello), machine.server(hello)
	datagrams, err := net.ListenPacket("udp4", "127.0.0.1:"+closed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = datagrams.Close() })
	go echoDatagrams(datagrams)
	a := newLab(t, 1, opened(open)).startPod(1, "a")
	if got := a.must(Exchange{Network: "tcp", Address: "10.244.0.2:" + open, Text: true}).Text; got != "hello" {
		t.Errorf("the open port says %q", got)
	}
	for _, protocol := range []string{"tcp", "udp"} {
		r := a.try(Exchange{Network: protocol, Address: "10.244.0.2:" + closed, Bytes: 1})
		if !strings.Contains(r.Err, "connection refused") || r.Took > 2*time.Second {
			t.Errorf("a closed %s port: %q after %s", protocol, r.Err, r.Took)
		}
	}
	// The pod's own loopback is its own, and the machine's has no other way in.
	for address, want := range map[string]string{"127.0.0.1:" + open: "refused", "10.244.0.1:" + open: "refused", "10.244.1.1:" + open: "refused"} {
		if r := a.try(Exchange{Network: "tcp", Address: address, Text: true}); !strings.Contains(r.Err, want) {
			t.Errorf("%s: %q %q", address, r.Text, r.Err)
		}
	}
}

// opened lets pods reach ports of the machine.
func opened(ports ...string) func(*network.Config) {
	return func(c *network.Config) {
		for _, port := range ports {
			number, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				panic(err)
			}
			c.OpenPorts = append(c.OpenPorts, uint16(number))
		}
	}
}

func echoDatagrams(conn net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(buf[:n], from)
	}
}

// The kernel leaves it to the interface to cut such datagrams; the wire cannot.
func TestSegmentedDatagrams(t *testing.T) {
	l := newLab(t, 2)
	a, b, c := l.startPod(1, "a"), l.startPod(1, "b"), l.startPod(2, "c")
	l.service("app", "10.96.3.4")
	l.endpoints("app", endpoint(c, true))
	l.answering(a, "10.96.3.4:81", "c")
	for _, to := range []string{b.at(echoPort), c.at(echoPort), "10.96.3.4:80"} {
		var count int
		if err := a.Call("Lab.Segments", to, &count); err != nil || count != 10 {
			t.Errorf("%s: %d of 10 datagrams came back, %v", to, count, err)
		}
	}
}

func TestPodAsksForNames(t *testing.T) {
	l := newLab(t, 2)
	a, b := l.startPod(1, "a"), l.startPod(2, "b")
	l.service("app", "10.96.3.4")
	l.service("db", "None")
	hostname := "db-0"
	behind := endpoint(b, true)
	behind.Hostname = &hostname
	l.endpoints("db", behind)
	l.eventually("the names are known", func() error {
		_, err := exchange(l.net.DialContext, Exchange{Network: "tcp", Address: "db-0.db.default.svc:7003", Text: true})
		return err
	})
	for name, want := range map[string]string{
		"app.default.svc.cluster.local.":        "10.96.3.4",
		"db.default.svc.cluster.local.":         b.addr,
		"db-0.db.default.svc.cluster.local.":    b.addr,
		"host.m3o.internal.":                    "10.244.0.2",
		"kubernetes.default.svc.cluster.local.": "10.96.0.1",
	} {
		var addrs []string
		if err := a.Call("Lab.Lookup", name, &addrs); err != nil || len(addrs) != 1 || addrs[0] != want {
			t.Errorf("%s is %v %v, want %s", name, addrs, err, want)
		}
	}
	if err := a.Call("Lab.Lookup", "none.default.svc.cluster.local.", &[]string{}); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("an unknown name: %v", err)
	}
}

// Connections through the stack must not slow down or stop over time, whatever
// else the machine does.
func TestManyLargeTransfers(t *testing.T) {
	l := newLab(t, 2)
	client, far := l.startPod(1, "client"), l.startPod(2, "far")
	l.service("app", "10.96.3.4")
	l.endpoints("app", endpoint(far, true))
	l.answering(client, "10.96.3.4:81", "far")
	for range 40 {
		if r := client.must(Exchange{Network: "tcp", Address: "10.96.3.4:80", Bytes: 10 << 20}); r.Err != "" {
			return
		}
	}
}
