package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"
)

const (
	relayDialLimit = 5 * time.Second
	// relayPause is how long to wait when the process or the machine has too few
	// file descriptors or too little memory to accept a connection.
	relayPause = 50 * time.Millisecond
)

// relay passes connections to a unix socket on to a TCP address of this machine.
// Nodes, which are in network namespaces of their own, reach the API server so.
type relay struct {
	target string
	logger *slog.Logger
}

// serve accepts connections at path until ctx ends.
func (r relay) serve(ctx context.Context, path string) error {
	listener, err := listenForNodes(path)
	if err != nil {
		return err
	}
	return r.accept(ctx, listener)
}

func (r relay) accept(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case err == nil:
			go r.pass(ctx, conn)
		case passes(err):
			r.logger.Warn("relay: cannot accept a node's connection", "error", err)
			time.Sleep(relayPause)
		default:
			return fmt.Errorf("accept a node's connection: %w", err)
		}
	}
}

// passes says whether the next connection may well be accepted.
func passes(err error) bool {
	for _, shortage := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.ECONNABORTED} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}

func (r relay) pass(ctx context.Context, node net.Conn) {
	defer func() { _ = node.Close() }()
	dialer := net.Dialer{Timeout: relayDialLimit}
	server, err := dialer.DialContext(ctx, "tcp", r.target)
	if err != nil {
		r.logger.Debug("relay: the API server does not answer", "error", err)
		return
	}
	defer func() { _ = server.Close() }()
	done := make(chan error, 2)
	go func() { done <- copyHalf(server, node) }()
	go func() { done <- copyHalf(node, server) }()
	for range 2 {
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, net.ErrClosed) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// copyHalf copies one direction and then tells the other side that it ended.
func copyHalf(to, from net.Conn) error {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return errors.Join(err, half.CloseWrite())
	}
	return err
}
