package rest

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// Limits of what an audit entry keeps of a request, and how long writing one may take.
const (
	maxTarget  = 256
	maxProject = 64
	auditWait  = 10 * time.Second
)

// audited does a change between two writes to the audit log: before, that it is asked for, and after, what came of it. A
// change that the log cannot hold is not made. An entry without a status is one of a process that died, or could not write
// again: the change may have been made.
func (a *API) audited(action string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seq, err := a.append(r.Context(), action, r.URL.Path, 0)
		if err != nil {
			writeProblem(w, r, err)
			return
		}
		seen, returned := &statusWriter{ResponseWriter: w, status: http.StatusOK}, false
		defer func() {
			if !returned { // a panic is on its way to the server, which breaks the answer off
				seen.status = http.StatusInternalServerError
			}
			a.conclude(r.Context(), seq, seen.status)
		}()
		next.ServeHTTP(seen, r)
		returned = true
	})
}

// append keeps who does what, even when the caller has gone away meanwhile.
func (a *API) append(ctx context.Context, action, target string, status int) (int64, error) {
	known := here(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWait)
	defer cancel()
	project := cmp.Or(shorten(known.project.Name, maxProject), known.caller.Project)
	seq, err := a.AuditLog.AppendAudit(ctx, event.Audit{Time: time.Now().UTC(), Subject: known.caller.Subject, Kind: string(known.caller.Kind), Project: project,
		Action: action, Target: shorten(target, maxTarget), From: known.from, RequestID: known.id, Status: status})
	if err != nil {
		return 0, fault.Wrap(fault.Unavailable, err, "the audit log cannot be written, so nothing was done")
	}
	return seq, nil
}

// conclude adds to an entry what came of it, and to what it was done if that got its name only then.
func (a *API) conclude(ctx context.Context, seq int64, status int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWait)
	defer cancel()
	if err := a.AuditLog.ConcludeAudit(ctx, seq, status, shorten(here(ctx).target, maxTarget)); err != nil {
		slog.ErrorContext(ctx, "an audit entry stays without its status", "error", err, "seq", seq, "status", status, "request_id", requestOf(ctx))
	}
}

func shorten(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// strangers counts requests without a good token, and logs one of them now and then.
type strangers struct {
	count atomic.Int64
	say   rate.Sometimes
}

func (s *strangers) note(r *http.Request) {
	count := s.count.Add(1)
	s.say.Do(func() {
		slog.WarnContext(r.Context(), "requests without a good token are refused", "so_far", count, "from", peer(r), "method", r.Method,
			"path", shorten(r.URL.Path, maxTarget), "request_id", requestOf(r.Context()))
	})
}

// statusWriter remembers the status for the audit log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what this wraps.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush passes on what is written so far.
func (w *statusWriter) Flush() {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // a writer that cannot flush sends later
}
