package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/gateway/podlog"
	"github.com/m3o/platform/internal/ticket"
)

// Limits of logs.
const (
	maxTail     = 10_000
	maxInstance = 253 // bytes of a pod's name
)

// streamLogs sends the lines of a service's instances as JSON, one to a line.
func (g *Gateway) streamLogs(w http.ResponseWriter, r *http.Request) {
	key, p := serviceOf(r)
	if p == nil {
		p = g.permitted(r, func(t ticket.Ticket) bool { return t.May(ticket.Logs, key.Project, key.Name) })
	}
	if p == nil && g.mirror.Suspended(key.Project) {
		p = suspended(key.Project)
	}
	if p != nil {
		g.say(w, r, p)
		return
	}
	query, err := logQuery(r.URL.Query(), time.Now())
	if err != nil {
		g.say(w, r, refusal(http.StatusBadRequest, "%s", fault.Message(err)))
		return
	}
	query.Service = key
	if route, _ := g.table.Find(key); route == nil && len(g.mirror.Pods(key)) == 0 {
		g.say(w, r, refusal(http.StatusNotFound, "the project %q has no service %q here", key.Project, key.Name))
		return
	}
	if p := g.streams.take(key.Project); p != nil {
		g.say(w, r, p)
		return
	}
	defer g.streams.leave(key.Project)
	g.writeLines(w, r, query)
}

// writeLines begins the answer with the first line or, for those who follow, at once. A failure before that is a problem
// document, one after it breaks the answer off.
func (g *Gateway) writeLines(w http.ResponseWriter, r *http.Request, query podlog.Query) {
	control, encoder, begun := http.NewResponseController(w), json.NewEncoder(w), false
	begin := func() {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Accel-Buffering", "no")
			w.WriteHeader(http.StatusOK)
		}
	}
	if query.Follow {
		begin()
		_ = control.Flush() // one that cannot be flushed sends when it is full
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go g.whileActive(ctx, query.Service.Project, cancel)
	err := g.logs.Stream(ctx, query, func(line podlog.Line, more bool) error {
		begin()
		if err := encoder.Encode(line); err != nil || more {
			return err
		}
		return control.Flush()
	})
	switch {
	case err == nil || ctx.Err() != nil:
		begin()
	case !begun:
		g.config.Logger.WarnContext(ctx, "logs cannot be read", "service", query.Service.String(), "error", err.Error())
		g.say(w, r, refusal(http.StatusBadGateway, "the cluster does not give the logs"))
	default:
		g.config.Logger.WarnContext(ctx, "logs broke off", "service", query.Service.String(), "error", err.Error())
		panic(http.ErrAbortHandler)
	}
}

// logQuery reads ?follow&since&tail&release&instance. since is a time (RFC 3339) or how long ago ("10m").
func logQuery(values url.Values, now time.Time) (podlog.Query, error) {
	var q podlog.Query
	var wrong fault.Checker
	if values.Has("follow") {
		word := values.Get("follow")
		follow, err := strconv.ParseBool(word)
		q.Follow = follow || word == ""
		wrong.Check(err == nil || word == "", "follow", "%.80q is neither true nor false", word)
	}
	if since := values.Get("since"); since != "" {
		if ago, err := time.ParseDuration(since); err == nil && ago >= 0 {
			q.Since = now.Add(-ago)
		} else if at, err := time.Parse(time.RFC3339Nano, since); err == nil {
			q.Since = at
		} else {
			wrong.Check(false, "since", "%.80q is neither a time such as 2026-01-02T15:04:05Z nor a duration such as 10m", since)
		}
	}
	q.Tail = -1
	if tail := values.Get("tail"); tail != "" {
		n, err := strconv.Atoi(tail)
		q.Tail = n
		wrong.Check(err == nil && n >= 0 && n <= maxTail, "tail", "%.80q is not a number between 0 and %d", tail, maxTail)
	}
	if number := values.Get("release"); number != "" {
		n, err := strconv.Atoi(number)
		q.Release = n
		wrong.Check(err == nil && n >= 1, "release", "%.80q is not the number of a release", number)
	}
	q.Instance = values.Get("instance") // it is looked for among those there are
	wrong.Check(len(q.Instance) <= maxInstance, "instance", "%d bytes are more than the %d of an instance's name", len(q.Instance), maxInstance)
	return q, wrong.Err()
}
