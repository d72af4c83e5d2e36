package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"
)

const relayDialLimit = 5 * time.Second

// relay passes connections to a unix socket on to a TCP address of this machine.
// Nodes, which are in network namespaces of their own, reach the API server so.
type relay struct {
	target string
	logger *slog.Logger
}

// serve accepts connections at path until ctx ends.
func (r relay) serve(ctx context.Context, path string) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen for nodes: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a node's connection: %w", err)
		}
		go r.pass(ctx, conn)
	}
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
