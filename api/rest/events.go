package rest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// How the event stream behaves: it looks for other processes' events every second, asks every two who its reader is now, and
// says something at least every fifteen, so that proxies keep it open and a dead peer is noticed.
const (
	lookEvery = time.Second
	askEvery  = 2 * time.Second
	pingEvery = 15 * time.Second
	atOnce    = 200
	patience  = 30 * time.Second // with a reader that does not read
)

// streamEvents sends events as they happen (server-sent events). Last-Event-ID goes on after that event; after=0 begins
// with the first; without either it begins with what happens next. It ends when its caller may no longer read it.
func (a *API) streamEvents(w http.ResponseWriter, r *http.Request) {
	after, err := a.position(r)
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	who := caller(r.Context()).ID
	if err := a.streams.take(who); err != nil {
		writeProblem(w, r, err)
		return
	}
	defer a.streams.leave(who)
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	s := stream{api: a, w: w, after: after, request: here(r.Context())}
	s.run(r)
}

func (a *API) position(r *http.Request) (int64, error) {
	text := cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after"))
	if text == "" {
		return a.Events.LastEvent(r.Context())
	}
	after, err := strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, fault.New(fault.Invalid, "Last-Event-ID: %q is not the id of an event", text)
	}
	last, err := a.Events.LastEvent(r.Context())
	return min(after, last), err // an id of another database than this one must not silence the stream
}

type stream struct {
	api     *API
	w       http.ResponseWriter
	after   int64
	request *request
	spoke   time.Time

	readable []string // the projects whose events are sent, as of asked; nil: of all, and the platform's own
	asked    time.Time
}

// ask finds out whose events may be sent, unless it did a moment ago: every commit wakes every stream.
func (s *stream) ask(r *http.Request) (err error) {
	if time.Since(s.asked) < askEvery {
		return nil
	}
	s.asked = time.Now()
	s.readable, err = s.projects(r)
	return err
}

// projects asks again who the caller is, and names the projects whose events it may read now: nil is all of them, and the
// platform's own. A token that was revoked or expired, and a role that was taken away, end a stream that is open.
func (s *stream) projects(r *http.Request) ([]string, error) {
	p, err := s.api.Accounts.Principal(r.Context(), s.request.token)
	if err != nil {
		return nil, err
	}
	if name := s.request.project.Name; name != "" {
		return []string{name}, allowed(p, account.ReadEvents, name)
	}
	within, all := p.Within(account.ReadEvents)
	if len(within) == 0 && !all {
		return nil, allowed(p, account.ReadEvents, "")
	}
	return within, nil
}

func (s *stream) run(r *http.Request) {
	news, stop := s.api.Events.Watch()
	defer stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if err := s.send(r); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-news:
		case <-look.C:
		}
	}
}

func (s *stream) send(r *http.Request) error {
	_ = http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(patience)) // where there is none, the connection's own limits hold
	if err := s.ask(r); err != nil {
		return err
	}
	for {
		events, err := s.api.Events.Events(r.Context(), s.after, s.readable, atOnce)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := s.write(e); err != nil {
				return err
			}
		}
		if len(events) < atOnce {
			break
		}
	}
	if time.Since(s.spoke) > pingEvery {
		if _, err := fmt.Fprint(s.w, ": still here\n\n"); err != nil {
			return err
		}
		s.spoke = time.Now()
	}
	return http.NewResponseController(s.w).Flush()
}

func (s *stream) write(e event.Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	s.after, s.spoke = e.Seq, time.Now()
	_, err = fmt.Fprintf(s.w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, data)
	return err
}
