package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// ServeUplinks joins every node that connects to the listener with the switch,
// until ctx ends or the listener is closed. It closes the listener and returns
// when all uplinks have ended.
func (n *Network) ServeUplinks(ctx context.Context, listener net.Listener) error {
	return n.accept(ctx, listener, "uplinks", func(ctx context.Context, conn net.Conn) {
		if err := n.wire.Serve(ctx, conn); err != nil {
			n.log.Warn("a node's uplink ended", "error", err)
		}
	})
}

// acceptPause is how long to wait when the process has no file descriptor left.
const acceptPause = 50 * time.Millisecond

// accept serves the connections of a listener until ctx ends, the listener is
// closed or the network is; then it ends the connections and waits for them.
func (n *Network) accept(ctx context.Context, listener net.Listener, what string, serve func(context.Context, net.Conn)) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			conns.Go(func() { serve(ctx, conn) })
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED):
			n.log.Warn("cannot accept", "what", what, "error", err)
			time.Sleep(acceptPause)
		default:
			_ = listener.Close()
			return fmt.Errorf("accept %s: %w", what, err)
		}
	}
}
