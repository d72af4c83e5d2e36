package network_test

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/m3o/platform/internal/kube/network"
)

// A network that was used and closed leaves no goroutine behind, and nothing
// of it hangs on connections that were open.
func TestCloseLeavesNothing(t *testing.T) {
	runtime.GC()
	before := runtime.NumGoroutine()
	n, err := network.New(network.Config{APIServer: "127.0.0.1:1", LoadBalancerCIDR: netip.MustParsePrefix("127.18.79.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	uplinks, egress := listen(t, filepath.Join(dir, "uplink")), listen(t, filepath.Join(dir, "egress"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	go func() { ended <- n.ServeUplinks(ctx, uplinks) }()
	go func() { ended <- n.ServeEgress(ctx, egress) }()
	go func() { ended <- n.Run(ctx, fake.NewClientset()) }()
	for _, path := range []string{"uplink", "egress"} {
		conn, err := net.Dial("unix", filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	dialling := make(chan struct{})
	go func() {
		defer close(dialling)
		if conn, err := n.DialContext(context.Background(), "tcp", "10.244.1.2:80"); err == nil {
			_ = conn.Close()
			t.Error("nobody was dialled")
		}
	}()
	time.Sleep(50 * time.Millisecond)
	cancel()
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	n.Close()
	<-dialling
	deadline := time.Now().Add(15 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
}

// Streams and datagram flows end with their connections.
func TestFlowsEnd(t *testing.T) {
	echoAt := (&lab{TB: t}).server(func(c *net.TCPConn) { _ = echoBack(c) })
	l := newLab(t, 1, opened(echoAt))
	a := l.startPod(1, "a")
	a.must(Exchange{Network: "tcp", Address: "10.244.0.2:" + echoAt, Bytes: 1000, Parallel: 300})
	l.eventually("no stream is left", func() error {
		if n := l.net.Stats().Streams; n != 0 {
			return errStreams(n)
		}
		return nil
	})
}

type errStreams int

func (e errStreams) Error() string { return "streams are left" }
