package hooks_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/hooks"
	"github.com/m3o/platform/internal/sandbox/world"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheClientCallsTheLoopbackAlone: neither another address, nor a redirect to one.
func TestTheClientCallsTheLoopbackAlone(t *testing.T) {
	_, err := hooks.Client().Get("http://192.0.2.1:80/")
	if err == nil || !strings.Contains(err.Error(), "not this machine's loopback") {
		t.Errorf("it calls another address: %v", err)
	}
	server := httptest.NewServer(http.RedirectHandler("http://192.0.2.1/", http.StatusFound))
	defer server.Close()
	answer, err := hooks.Client().Get(server.URL)
	must(t, err)
	must(t, answer.Body.Close())
	if answer.StatusCode != http.StatusFound {
		t.Errorf("it follows a redirect: %d", answer.StatusCode)
	}
}

// ended are calls that ended, as the Caller tells.
type ended struct {
	id      string
	status  int
	problem error
}

// run makes the calls until so many have ended.
func run(t *testing.T, dir string, calls ...hooks.Call) []ended {
	t.Helper()
	w, err := world.Open(dir, world.Clock{Scale: 0.01})
	must(t, err)
	defer func() { must(t, w.Close()) }()
	must(t, w.Update(t.Context(), func(tx *world.Tx) error {
		var problems []error
		for _, c := range calls {
			problems = append(problems, hooks.Enqueue(tx, c))
		}
		return errors.Join(problems...)
	}))
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	var all []ended
	caller := hooks.Caller{Provider: "p", World: w, Logger: slog.New(slog.DiscardHandler), Done: func(_ *world.Tx, c hooks.Call, status int, problem error) error {
		if all = append(all, ended{c.ID, status, problem}); len(all) >= max(1, len(calls)) {
			stop()
		}
		return nil
	}}
	must(t, caller.Run(ctx))
	return all
}

// TestCallsAreTriedAgainAsTheyWant: one whose receiver refuses once is taken at the second try, if it insists.
func TestCallsAreTriedAgainAsTheyWant(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	got := run(t, t.TempDir(), hooks.Call{ID: "1", Provider: "p", URL: server.URL, Tries: 3, Insist: true})
	if len(got) != 1 || got[0].status != http.StatusOK || calls.Load() != 2 {
		t.Errorf("%+v after %d calls", got, calls.Load())
	}
	calls.Store(0)
	got = run(t, t.TempDir(), hooks.Call{ID: "1", Provider: "p", URL: server.URL, Tries: 3})
	if len(got) != 1 || got[0].status != http.StatusServiceUnavailable || calls.Load() != 1 {
		t.Errorf("one that does not insist: %+v after %d calls", got, calls.Load())
	}
}

// TestACallOutlivesAKill: it is made after the next start.
func TestACallOutlivesAKill(t *testing.T) {
	dir := t.TempDir()
	w, err := world.Open(dir, world.Clock{Scale: 1})
	must(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	must(t, w.Update(t.Context(), func(tx *world.Tx) error {
		return hooks.Enqueue(tx, hooks.Call{ID: "1", Provider: "p", URL: server.URL, Tries: 1})
	}))
	must(t, w.Close())
	if got := run(t, dir); len(got) != 1 || got[0].status != http.StatusOK {
		t.Errorf("after the start: %+v", got)
	}
}
