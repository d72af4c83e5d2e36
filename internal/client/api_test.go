package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// against is a client of the world's own API.
func against(w *apitest.World) *client.Client {
	return &client.Client{Base: w.URL, Token: apitest.Token, Patience: 5 * time.Second}
}

func eventually(t *testing.T, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !check(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to that")
		}
	}
}

func TestRegionsThroughTheAPI(t *testing.T) {
	w := apitest.New(t)
	c := against(w)
	plan, err := c.CreatePlan(t.Context(), client.PlanRequest{File: apitest.File("lon1")})
	if err != nil || len(plan.Steps) != 1 || plan.Steps[0].Action != region.Create || plan.Steps[0].Monthly.Amount != "36.10" {
		t.Fatalf("%+v %v", plan, err)
	}
	if again, err := c.Plan(t.Context(), plan.ID); err != nil || again.Basis != plan.Basis {
		t.Errorf("%+v %v", again, err)
	}
	if started, err := c.ApplyPlan(t.Context(), plan.ID); err != nil || started.URL == "" {
		t.Errorf("%+v %v", started, err)
	}
	eventually(t, func() bool {
		lines, err := c.Regions(t.Context(), "micro")
		return err == nil && len(lines) == 1 && lines[0].Status == region.Ready && strings.HasSuffix(lines[0].Endpoints.API, "/")
	})
	r, err := c.Region(t.Context(), "micro/lon1")
	if err != nil || r.Spec.Key() != (region.Key{Platform: "micro", Name: "lon1"}) || r.Version == 0 {
		t.Errorf("%+v %v", r, err)
	}
	if p, err := c.RegionProgress(t.Context(), "lon1"); err != nil || p.Status != region.Ready {
		t.Errorf("%+v %v", p, err)
	}
	if config, err := c.Kubeconfig(t.Context(), "lon1", client.KubeconfigOptions{}); err != nil || string(config) != apitest.Kubeconfig {
		t.Errorf("%q %v", config, err)
	}
	if _, err := c.RetryRegion(t.Context(), "lon1"); !fault.Is(err, fault.Conflict) {
		t.Errorf("%v", err)
	}
	if _, err := c.DeleteRegion(t.Context(), "lon1"); err != nil {
		t.Error(err)
	}
	eventually(t, func() bool {
		_, err := c.Region(t.Context(), "lon1")
		return fault.Is(err, fault.NotFound)
	})
	if empty, err := c.CreatePlan(t.Context(), client.PlanRequest{File: apitest.File("lon1"), Destroy: true}); err != nil || empty.Steps == nil || len(empty.Steps) != 0 {
		t.Errorf("%+v %v", empty, err)
	}
	if _, err := c.CreatePlan(t.Context(), client.PlanRequest{File: "platforms: {}"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestServicesThroughTheAPI(t *testing.T) {
	w := apitest.New(t)
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready})
	c := against(w)
	if _, err := c.CreateRelease(t.Context(), "hello", client.ReleaseRequest{Source: "sha256:" + strings.Repeat("0", 64)}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a source that was not uploaded: %v", err)
	}
	o, err := c.CreateRelease(t.Context(), "hello", client.ReleaseRequest{Image: "example.com/hello:1", Access: release.Public, Env: map[string]string{"A": "b"}})
	if err != nil || o.Release != 1 || o.Project != "default" {
		t.Fatalf("%+v %v", o, err)
	}
	ended := func(number int) {
		eventually(t, func() bool {
			r, err := c.Release(t.Context(), "hello", number)
			return err == nil && r.Status == release.Ready
		})
		eventually(t, func() bool { s, err := c.Service(t.Context(), "hello"); return err == nil && s.Current == number })
	}
	ended(1)
	if _, err := c.CreateRelease(t.Context(), "hello", client.ReleaseRequest{Image: "example.com/hello:2"}); err != nil {
		t.Error(err)
	}
	ended(2)
	if o, err := c.Rollback(t.Context(), "hello", 1); err != nil || o.Release != 3 {
		t.Errorf("%+v %v", o, err)
	}
	ended(3)
	if list, err := c.Releases(t.Context(), "hello", 2); err != nil || len(list) != 2 || list[0].Number != 3 || list[0].RollsBack != 1 {
		t.Errorf("%+v %v", list, err)
	}
	w.Progress = release.Progress{Release: 3, Stage: "rollout", Waiting: "a node"}
	if p, err := c.ServiceProgress(t.Context(), "hello"); err != nil || p.Stage != "rollout" || p.Waiting != "a node" {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := c.Service(t.Context(), "helo"); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), `did you mean "hello"`) {
		t.Errorf("%v", err)
	}
	if _, err := c.CreateRelease(t.Context(), "hello", client.ReleaseRequest{Image: "x", Port: -1}); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), "port: -1") {
		t.Errorf("%v", err)
	}
	if _, err := c.Kill(t.Context(), "hello"); err != nil {
		t.Error(err)
	}
	eventually(t, func() bool { _, err := c.Service(t.Context(), "hello"); return fault.Is(err, fault.NotFound) })
	if audit, err := c.Audit(t.Context(), 3); err != nil || len(audit) != 3 || audit[0].Action != "kill-service" {
		t.Errorf("%+v %v", audit, err)
	}
	if who, err := c.WhoAmI(t.Context()); err != nil || who.Subject != "admin" {
		t.Errorf("%+v %v", who, err)
	}
	c.Token = "another"
	if _, err := c.WhoAmI(t.Context()); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("%v", err)
	}
}

// TestALostAnswerIsFoundAgain loses the first answer of every change on its way back.
func TestALostAnswerIsFoundAgain(t *testing.T) {
	w := apitest.New(t)
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready})
	handler, lost := w.Handler(), sync.Map{}
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if _, before := lost.LoadOrStore(key, true); key == "" || before {
			handler.ServeHTTP(rw, r)
			return
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	defer proxy.Close()
	c := against(w)
	c.Base = proxy.URL
	o, err := c.CreateRelease(t.Context(), "hello", client.ReleaseRequest{Image: "example.com/hello:1"})
	if err != nil || o.Release != 1 {
		t.Fatalf("%+v %v", o, err)
	}
	if list, err := c.Releases(t.Context(), "hello", 10); err != nil || len(list) != 1 {
		t.Errorf("%d releases were made: %v", len(list), err)
	}
	if _, err := c.DeleteRegion(t.Context(), "lon1"); err != nil {
		t.Error(err)
	}
	if want := []string{"deploy hello", "delete lon1"}; !slices.Equal(w.Orders(), want) {
		t.Errorf("ordered: %v", w.Orders())
	}
}

func TestLogsAndCallsGoToGateways(t *testing.T) {
	w := apitest.New(t)
	for _, name := range []string{"lon1", "nyc3"} {
		w.AddRegion(region.Region{Spec: apitest.Spec(name), Status: region.Ready})
	}
	c := against(w)
	if _, err := c.CreateRelease(t.Context(), "hello", client.ReleaseRequest{Image: "example.com/hello:1"}); err != nil {
		t.Fatal(err)
	}
	var permit client.Permit
	eventually(t, func() bool {
		var err error
		permit, err = c.CallTicket(t.Context(), "hello")
		return err == nil && len(permit.Regions) == 2
	})
	resp, err := c.Call(t.Context(), permit.Regions[1], permit.Ticket, client.Call{Method: "POST", Path: "greet?x=1", Body: []byte("hi")})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "nyc3") {
		t.Errorf("%s %s", resp.Status, body)
	}
	gone := client.Site{Region: "ams3", Gateway: "http://127.0.0.1:1/", Service: "http://127.0.0.1:1/hello/"}
	if _, err := c.Call(t.Context(), gone, permit.Ticket, client.Call{Method: "GET"}); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "ams3") {
		t.Errorf("%v", err)
	}
	var lines []client.Line
	q := client.LogQuery{Project: "default", Service: "hello", Tail: -1}
	if err := c.Logs(t.Context(), q, func(l client.Line) error { lines = append(lines, l); return nil }); err != nil || len(lines) != 6 {
		t.Fatalf("%+v %v", lines, err)
	}
	if !slices.IsSortedFunc(lines, func(a, b client.Line) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("not in the order of time: %+v", lines)
	}
	q.Region = "ams3"
	if err := c.Logs(t.Context(), q, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

// TestFollowedLogsOutliveBrokenConnections cuts a gateway's stream every few lines.
func TestFollowedLogsOutliveBrokenConnections(t *testing.T) {
	w := apitest.New(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var asked, sinces atomic.Int32
	gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if r.URL.Query().Get("since") != "" {
			sinces.Add(1)
		}
		if n == 2 {
			http.Error(rw, "draining", http.StatusServiceUnavailable)
			return
		}
		for i := max(0, 2*int(n)-4); i < 2*int(n); i++ { // some lines come twice
			io.WriteString(rw, `{"time":"`+at.Add(time.Duration(i)*time.Second).Format(time.RFC3339)+`","instance":"p","line":"`+string(rune('a'+i))+"\"}\n")
		}
		http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer gateway.Close()
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready, Endpoints: region.Endpoints{API: gateway.URL + "/"}})
	c := against(w)
	if _, err := c.CreateRelease(t.Context(), "hello", client.ReleaseRequest{Image: "example.com/hello:1"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { p, err := c.LogTicket(t.Context(), "hello"); return err == nil && len(p.Regions) == 1 })
	var troubles atomic.Int32
	enough := errors.New("enough")
	text := ""
	q := client.LogQuery{Project: "default", Service: "hello", Tail: 10, Trouble: func(string, error) { troubles.Add(1) }}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := c.FollowLogs(ctx, q, func(l client.Line) error {
		if text += l.Line; len(text) == 8 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || text != "abcdefgh" || troubles.Load() < 3 || sinces.Load() < 2 {
		t.Errorf("%v: %q with %d troubles, %d went on from a time", err, text, troubles.Load(), sinces.Load())
	}
}
