// Package flow moves the bytes of one connection to another: TCP with half
// closes, UDP with idle limits. It knows neither clusters nor Services; which
// connections belong together is its callers' business. Only the packages of
// internal/kube/network may import it.
package flow

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is a connection whose two directions end one by one.
type Stream interface {
	net.Conn
	CloseWrite() error
}

// Limit bounds how many flows there are at once.
type Limit struct{ slots chan struct{} }

// NewLimit makes a limit of n flows.
func NewLimit(n int) *Limit { return &Limit{slots: make(chan struct{}, n)} }

// Take takes a slot if there is one. Whoever got it gives it back with Release.
func (l *Limit) Take() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release gives a slot back.
func (l *Limit) Release() { <-l.slots }

// InUse is the number of flows.
func (l *Limit) InUse() int { return len(l.slots) }

// A stream starts with a small buffer, which is all that most ever need and
// what the many idle ones hold, and gets a large one while it moves a lot.
const (
	smallBuffer = 16 << 10
	largeBuffer = 128 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

// Splice joins two connections until both directions have ended, one fails,
// or ctx ends, and closes them. The end of one direction is passed on, the other
// goes on; a failure resets both, so that nobody takes half an answer for a
// whole one.
func Splice(ctx context.Context, a, b Stream) {
	stop := context.AfterFunc(ctx, func() { Abort(a); Abort(b) })
	defer stop()
	back := make(chan error, 1)
	go func() { back <- pass(a, b) }()
	err := pass(b, a)
	if errors.Join(err, <-back) != nil {
		Abort(a)
		Abort(b)
		return
	}
	_ = a.Close()
	_ = b.Close()
}

// pass copies from src to dst until src ends, and tells dst.
func pass(dst, src Stream) error {
	err := transfer(dst, src)
	if err == nil {
		err = dst.CloseWrite()
	}
	if err != nil {
		// Wakes up the other direction.
		Abort(dst)
		Abort(src)
	}
	return err
}

func transfer(dst io.Writer, src io.Reader) error {
	pool := &smallBuffers
	buf := pool.Get().(*[]byte)
	defer func() { pool.Put(buf) }()
	for {
		n, err := src.Read(*buf)
		if n > 0 {
			if _, err := dst.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		wanted := pool
		if n == len(*buf) {
			wanted = &largeBuffers
		} else if n < smallBuffer/2 {
			wanted = &smallBuffers
		}
		if wanted != pool {
			pool.Put(buf)
			pool, buf = wanted, wanted.Get().(*[]byte)
		}
	}
}

// Abort closes a connection with a reset where it can.
func Abort(c net.Conn) {
	switch c := c.(type) {
	case interface{ Abort() }:
		c.Abort()
	case *net.TCPConn:
		_ = c.SetLinger(0)
		_ = c.Close()
	default:
		_ = c.Close()
	}
}

const maxDatagram = 65535

var datagrams = sync.Pool{New: func() any { b := make([]byte, maxDatagram); return &b }}

// Relay passes datagrams between two connected sockets until nothing came
// either way for idle, one fails, ctx ends, or valid (may be nil) says that the
// server should no longer be talked to. It closes both.
func Relay(ctx context.Context, client, server net.Conn, idle time.Duration, valid func() bool) {
	stop := context.AfterFunc(ctx, func() { _ = client.Close(); _ = server.Close() })
	defer stop()
	r := relay{idle: idle}
	r.touch()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.pass(client, server, nil)
		_ = client.Close()
	}()
	r.pass(server, client, valid)
	_ = server.Close()
	_ = client.Close()
	<-done
}

type relay struct {
	idle time.Duration
	last atomic.Int64
}

func (r *relay) touch() { r.last.Store(time.Now().UnixNano()) }

// left is how long nothing may come before the flow is idle.
func (r *relay) left() time.Duration {
	return r.idle - time.Since(time.Unix(0, r.last.Load()))
}

// pass copies datagrams from src to dst for as long as the flow is not idle and
// valid, if given, agrees.
func (r *relay) pass(dst, src net.Conn, valid func() bool) {
	buf := datagrams.Get().(*[]byte)
	defer datagrams.Put(buf)
	for {
		left := r.left()
		if left <= 0 {
			return
		}
		_ = src.SetReadDeadline(time.Now().Add(left))
		n, err := src.Read(*buf)
		if isTimeout(err) {
			continue
		}
		if err != nil || (valid != nil && !valid()) {
			return
		}
		r.touch()
		if _, err := dst.Write((*buf)[:n]); err != nil {
			return
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
