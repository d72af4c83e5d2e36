package apitest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// gateway is the address of a region's gateway, which is made when it is first asked for.
func (w *World) gateway(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gateways[name] == nil {
		keys, err := ticket.ParseDocument(w.signer.Document())
		w.must(err)
		g := gateway{world: w, region: region.ShortName(name), verifier: ticket.NewVerifier(name, keys)}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /-/logs/{project}/{service}", g.logs)
		mux.HandleFunc("/{service}/{path...}", g.call)
		w.gateways[name] = httptest.NewServer(mux)
		w.t.Cleanup(func() {
			w.gateways[name].CloseClientConnections()
			w.gateways[name].Close()
		})
	}
	return w.gateways[name].URL + "/"
}

// gateway answers as a region's gateway does: services echo what they are asked, and at /raw what they are sent.
type gateway struct {
	world    *World
	region   string
	verifier *ticket.Verifier
}

func (g gateway) refuse(rw http.ResponseWriter, status int, problem map[string]any) {
	rw.Header().Set("Content-Type", "application/problem+json")
	rw.WriteHeader(status)
	problem["title"], problem["status"] = http.StatusText(status), status
	_ = json.NewEncoder(rw).Encode(problem)
}

func (g gateway) may(rw http.ResponseWriter, r *http.Request, verb, project, service string) bool {
	t, err := g.verifier.Verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil || !t.May(verb, project, service) {
		g.refuse(rw, http.StatusUnauthorized, map[string]any{"detail": "the ticket does not permit this"})
		return false
	}
	return true
}

func (g gateway) call(rw http.ResponseWriter, r *http.Request) {
	key, _ := release.ParseSegment(r.PathValue("service"))
	if key.Project == "" {
		key.Project = account.DefaultProject
	}
	if !g.may(rw, r, ticket.Call, key.Project, key.Name) {
		return
	}
	if registered := g.world.Registered[g.region]; !slices.Contains(registered, key.Name) {
		if v, err := g.world.Store.Service(r.Context(), key); err != nil || v.Current == 0 {
			g.refuse(rw, http.StatusNotFound, map[string]any{"detail": "there is no such service here", "services": append([]string{}, registered...)})
			return
		}
	}
	body, _ := io.ReadAll(r.Body)
	if r.PathValue("path") == "fail" {
		g.refuse(rw, http.StatusTeapot, map[string]any{"detail": "it is a teapot"})
		return
	}
	if r.PathValue("path") == "raw" {
		rw.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = rw.Write(body)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(map[string]string{"region": g.region, "method": r.Method, "path": "/" + r.PathValue("path"), "body": string(body),
		"type": r.Header.Get("Content-Type"), "x": r.Header.Get("X-Test")})
}

// logs are the lines of one instance, and for a follower one more every few milliseconds. A service of which nothing runs has none.
func (g gateway) logs(rw http.ResponseWriter, r *http.Request) {
	if !g.may(rw, r, ticket.Logs, r.PathValue("project"), r.PathValue("service")) {
		return
	}
	v, err := g.world.Store.Service(r.Context(), release.Key{Project: r.PathValue("project"), Name: r.PathValue("service")})
	if err != nil || v.Current == 0 {
		g.refuse(rw, http.StatusNotFound, map[string]any{"detail": fmt.Sprintf("the project %q has no service %q here", r.PathValue("project"), r.PathValue("service"))})
		return
	}
	rw.Header().Set("Content-Type", "application/x-ndjson")
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lines := cmp.Or(g.world.Lines, 3)
	first := 0
	if tail, err := strconv.Atoi(r.URL.Query().Get("tail")); err == nil {
		first = max(0, lines-tail)
	}
	for i := first; i < lines || r.URL.Query().Get("follow") == "true"; i++ {
		line := map[string]any{"time": begin.Add(time.Duration(i) * time.Second), "instance": "pod-1", "release": 1, "line": fmt.Sprintf("%s line %d", g.region, i)}
		if json.NewEncoder(rw).Encode(line) != nil || http.NewResponseController(rw).Flush() != nil || r.Context().Err() != nil {
			return
		}
		if i >= lines {
			time.Sleep(5 * time.Millisecond)
		}
	}
}
