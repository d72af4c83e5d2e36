// Package hooks is what providers call of their own accord: requests to the platform's API, kept on disk until they are made, so that
// a killed sandbox makes them after it has started again. A kill between a request and its commit makes it twice, as providers do.
//
// It signs nothing: the provider gives it whole requests. It calls this machine's loopback alone, which its dialer sees to. Only the
// packages of channels below internal/sandbox import it.
package hooks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Timeout is how long the other side may take to answer, as with Twilio.
const Timeout = 15 * time.Second

const (
	kind      = "call"
	together  = 8         // calls at the same time
	maxAnswer = 256 << 10 // bytes of an answer that are looked at
)

// Call is one request to be made.
type Call struct {
	ID       string            `json:"id"` // of the provider's calls
	Provider string            `json:"provider"`
	URL      string            `json:"url"`
	Header   map[string]string `json:"header,omitempty"`
	Body     string            `json:"body"`
	Due      time.Time         `json:"due"`
	Tries    int               `json:"tries"` // that are left
	// Insist tries again after a refusal too, and not only where nobody answered.
	Insist bool `json:"insist,omitempty"`
	// Message is the message of the inbox whose last action it tells of, if any.
	Message string `json:"message,omitempty"`
}

func (c Call) ref() world.Ref { return world.Ref{Provider: c.Provider, Kind: kind, ID: c.ID} }

// Enqueue has a call made when it is due, in the commit of tx.
func Enqueue(tx *world.Tx, c Call) error { return tx.Put(c.ref(), world.Meta{Name: c.Message}, c) }

// Done is told how a call ended: its answer's status, or why there is none.
type Done func(tx *world.Tx, c Call, status int, problem error) error

// Caller makes a provider's calls.
type Caller struct {
	Provider string
	World    *world.World
	Done     Done
	Logger   *slog.Logger
}

// Client calls the loopback alone, whatever a URL says and a name resolves to, and follows no redirect.
func Client() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !at.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("%s is not this machine's loopback: the sandbox calls nothing else", address)
		}
		return nil
	}}
	return &http.Client{Timeout: Timeout, Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: together},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Run makes calls when they are due, until ctx ends.
func (c Caller) Run(ctx context.Context) error {
	client := Client()
	defer client.CloseIdleConnections()
	changed := c.World.Watch(ctx)
	for ctx.Err() == nil {
		next, err := c.round(ctx, client)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("calls of %s: %w", c.Provider, err)
		}
		timer := time.NewTimer(max(time.Millisecond, next.Sub(c.World.Clock.Now())))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// round makes the calls that are due, and says when to look again.
func (c Caller) round(ctx context.Context, client *http.Client) (next time.Time, err error) {
	var all []Call
	if err := c.World.View(ctx, func(tx *world.Tx) (err error) {
		all, err = world.List[Call](tx, world.Ref{Provider: c.Provider, Kind: kind})
		return err
	}); err != nil {
		return next, err
	}
	now := c.World.Clock.Now()
	next = now.Add(time.Hour)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(together)
	for _, one := range all {
		if one.Due.After(now) {
			if one.Due.Before(next) {
				next = one.Due
			}
			continue
		}
		group.Go(func() error { return c.make(ctx, client, one) })
	}
	return next, group.Wait()
}

// make makes one call, and forgets it unless it is to be tried again.
func (c Caller) make(ctx context.Context, client *http.Client, one Call) error {
	status, problem := one.send(ctx, client)
	if ctx.Err() != nil {
		return ctx.Err() // it stays, for the next start
	}
	one.Tries--
	failed := problem != nil || one.Insist && status >= http.StatusBadRequest
	if failed && one.Tries > 0 {
		one.Due = c.World.Clock.Now().Add(time.Second)
		return c.World.Update(ctx, func(tx *world.Tx) error { return Enqueue(tx, one) })
	}
	if failed {
		c.Logger.WarnContext(ctx, "sandbox: a call to the platform failed", "provider", c.Provider, "status", status, "error", problem)
	}
	return c.World.Update(ctx, func(tx *world.Tx) error {
		if err := tx.Delete(one.ref()); err != nil {
			return err
		}
		if c.Done == nil {
			return nil
		}
		return c.Done(tx, one, status, problem)
	})
}

func (c Call) send(ctx context.Context, client *http.Client) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, strings.NewReader(c.Body))
	if err != nil {
		return 0, err
	}
	for name, value := range c.Header {
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}
