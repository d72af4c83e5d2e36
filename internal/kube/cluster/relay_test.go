package cluster

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// shortOfFiles is a listener that at first cannot accept.
type shortOfFiles struct {
	net.Listener
	left int
}

func (l *shortOfFiles) Accept() (net.Conn, error) {
	if l.left > 0 {
		l.left--
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestRelayOutlivesAShortageOfFiles(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	r := relay{target: target.Addr().String(), logger: slog.New(slog.DiscardHandler)}
	go func() { ended <- r.accept(ctx, &shortOfFiles{Listener: listener, left: 3}) }()
	node, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	go func() {
		if server, err := target.Accept(); err == nil {
			_, _ = server.Write([]byte("ready"))
			_ = server.Close()
		}
	}()
	_ = node.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(node); string(got) != "ready" {
		t.Errorf("the node hears %q, %v", got, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the relay ended with %v", err)
	}
}
