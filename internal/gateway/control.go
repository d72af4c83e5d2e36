package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/gateway/upstream"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// Limits of a check of a release.
const (
	probeTimeout = 3 * time.Second
	maxProbes    = 16 // at once
	maxHealth    = 256
)

// newControl serves what is about the gateway itself, and what it tells of a service to those who may know.
func (g *Gateway) newControl() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/-/healthz", g.reading(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	}))
	mux.HandleFunc("/-/readyz", g.reading(g.ready))
	mux.HandleFunc("/-/release/{project}/{service}/{number}", g.reading(g.checkRelease))
	mux.HandleFunc("/-/instances", g.reading(g.reportInstances))
	mux.HandleFunc("/-/logs/{project}/{service}", g.reading(g.streamLogs))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		g.say(w, r, refusal(http.StatusNotFound, "there is no control route %q", shorten(r.URL.Path)))
	})
	return mux
}

// reading lets GET and HEAD through.
func (g *Gateway) reading(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			g.say(w, r, refusal(http.StatusMethodNotAllowed, "%s is not served here", r.Method))
			return
		}
		next(w, r)
	}
}

func (g *Gateway) say(w http.ResponseWriter, r *http.Request, p *problem) {
	p.RequestID = w.Header().Get(requestID)
	p.write(w, r)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone needs no answer
}

// readiness says whether requests should come here. Once the registry and the cluster have been read, an etcd or an API
// server that is away is reported but changes nothing: the gateway serves what it knows, which is better than nothing.
type readiness struct {
	Ready      bool   `json:"ready"`
	Region     string `json:"region"`
	Etcd       string `json:"etcd"`       // "watched", "unread", "away since …"
	Kubernetes string `json:"kubernetes"` // "synced", "unread"
	Registry   string `json:"registry"`   // "written", "unwritten", "refused since …", with ": etcd is full" where it is: what other programs find in etcd
	Draining   bool   `json:"draining,omitempty"`
}

func (g *Gateway) ready(w http.ResponseWriter, _ *http.Request) {
	watched, away := g.watcher.Watched()
	state := readiness{Region: g.config.Region, Etcd: "unread", Kubernetes: "unread", Draining: g.draining.Load()}
	switch {
	case watched && away.IsZero():
		state.Etcd = "watched"
	case watched:
		state.Etcd = "away since " + away.UTC().Format(time.RFC3339)
	}
	if g.mirror.Synced() {
		state.Kubernetes = "synced"
	}
	state.Registry = g.registryState()
	// The table, not its sources: it must have taken over what was read.
	_, complete := g.table.Find(release.Key{})
	state.Ready = complete && !state.Draining
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, state)
}

// registryState says whether this gateway could write what Kubernetes runs into etcd. Requests do not depend on it.
func (g *Gateway) registryState() string {
	written, since, reason := g.registrar.Written()
	switch {
	case written:
		return "written"
	case reason == nil:
		return "unwritten"
	}
	state := "refused since " + since.UTC().Format(time.RFC3339)
	if errors.Is(reason, rpctypes.ErrNoSpace) {
		state += ": etcd is full"
	}
	return state // the log has the rest: anybody may ask here
}

// permitted checks the ticket of a control route; nil when it permits.
func (g *Gateway) permitted(r *http.Request, may func(ticket.Ticket) bool) *problem {
	if _, ok := bearer(r); !ok {
		return refusal(http.StatusUnauthorized, "this needs a ticket, sent as a bearer token")
	}
	c := &call{}
	if p := g.recognise(c, r); p != nil {
		return p
	}
	if c.ticket == nil {
		return refusal(http.StatusUnauthorized, "the bearer token is not a ticket")
	}
	if !may(*c.ticket) {
		return refusal(http.StatusForbidden, "the ticket does not permit this")
	}
	return nil
}

// serviceOf reads the service from the path of a control route.
func serviceOf(r *http.Request) (release.Key, *problem) {
	key := release.Key{Project: r.PathValue("project"), Name: r.PathValue("service")}
	if !region.IsLabel(key.Project) || !region.IsLabel(key.Name) {
		return key, refusal(http.StatusBadRequest, "project and service %s", region.LabelRule)
	}
	return key, nil
}

type releaseCheck struct {
	Release   int             `json:"release"`
	Ready     bool            `json:"ready"`
	Endpoints []endpointCheck `json:"endpoints"`
}

type endpointCheck struct {
	Instance string `json:"instance"`
	Address  string `json:"address"`
	OK       bool   `json:"ok"`
	Error    string `json:"error,omitempty"`
}

// checkRelease answers whether a release is ready here: whether every ready endpoint of it answers when it is asked the way
// requests are. ?health=/path asks with a GET, else a connection is enough; ?replicas=N wants at least so many.
func (g *Gateway) checkRelease(w http.ResponseWriter, r *http.Request) {
	key, p := serviceOf(r)
	if p == nil {
		p = g.permitted(r, func(t ticket.Ticket) bool {
			return t.Has(ticket.ReadReleases) && (t.Project == "" || t.Project == key.Project)
		})
	}
	if p != nil {
		g.say(w, r, p)
		return
	}
	query, err := checkQuery(r.PathValue("number"), r.URL.Query())
	if err != nil {
		g.say(w, r, refusal(http.StatusBadRequest, "%s", fault.Message(err)))
		return
	}
	checks := probe(r.Context(), g.endpoints(key, query.number), query.health)
	answer := releaseCheck{Release: query.number, Ready: len(checks) >= query.replicas, Endpoints: checks}
	for _, c := range checks {
		answer.Ready = answer.Ready && c.OK
	}
	writeJSON(w, http.StatusOK, answer)
}

// wantedCheck is what is asked of a release.
type wantedCheck struct {
	number, replicas int
	health           string
}

func checkQuery(number string, values url.Values) (wantedCheck, error) {
	q := wantedCheck{replicas: 1, health: values.Get("health")}
	var wrong fault.Checker
	var err error
	q.number, err = strconv.Atoi(number)
	wrong.Check(err == nil && q.number >= 1, "release", "%.80q is not the number of a release", number)
	if n := values.Get("replicas"); n != "" {
		q.replicas, err = strconv.Atoi(n)
		wrong.Check(err == nil && q.replicas >= 1 && q.replicas <= release.MaxReplicas, "replicas", "%.80q is not a number between 1 and %d", n, release.MaxReplicas)
	}
	wrong.Check(q.health == "" || strings.HasPrefix(q.health, "/") && len(q.health) <= maxHealth, "health", "%.80q is not a path of at most %d bytes", q.health, maxHealth)
	return q, wrong.Err()
}

// endpoints are those of one release.
func (g *Gateway) endpoints(key release.Key, number int) []*upstream.Endpoint {
	route, _ := g.table.Find(key)
	if route == nil {
		return nil
	}
	var endpoints []*upstream.Endpoint
	for _, e := range route.Endpoints {
		if e.Release == number {
			endpoints = append(endpoints, e)
		}
	}
	return endpoints
}

func probe(ctx context.Context, endpoints []*upstream.Endpoint, health string) []endpointCheck {
	checks := make([]endpointCheck, len(endpoints))
	var group errgroup.Group
	group.SetLimit(maxProbes)
	for i, e := range endpoints {
		checks[i] = endpointCheck{Instance: e.ID, Address: e.Address}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			if err := e.Probe(ctx, health); err != nil {
				checks[i].Error = err.Error()
			}
			checks[i].OK = checks[i].Error == ""
			return nil
		})
	}
	_ = group.Wait() // the failures are in the checks
	return checks
}
