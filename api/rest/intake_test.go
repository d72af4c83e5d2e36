package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// pair is an integration key with its secrets.
type pair struct {
	Key                     alert.IntegrationKey
	Primary, Secondary, URL string
}

func (s *site) key(body string) (p pair) {
	s.t.Helper()
	s.do("POST", "/v1/alerting/keys?project=shop", body, as("shop")).ok(s.t, 201, &p)
	return p
}

// sends is what comes of an alert that is sent with a secret.
func (s *site) sends(secret, body string) reply {
	s.t.Helper()
	return s.do("POST", "/v1/hooks/alerts/"+secret, body)
}

const diskFull = `{"dedup_key": "disk", "summary": "disk full", "severity": "critical"}`

func TestASourceWithAKeySendsAlerts(t *testing.T) {
	s := newSite(t)
	k := s.key(`{"name": "prom", "service": "cart"}`)
	if k.URL != "/v1/hooks/alerts/"+k.Primary || k.Primary == k.Secondary || k.Key.Rate != 100 || k.Key.Burst != 1000 {
		t.Errorf("made %+v", k)
	}
	s.sends(k.Primary, diskFull).ok(t, 202, nil)
	s.sends(k.Secondary, `[`+diskFull+`, {"dedup_key": "disk", "action": "resolve"}]`).ok(t, 202, nil)
	s.do("POST", "/v1/signals?project=shop", diskFull, as("shop")).ok(t, 202, nil)
	signals, err := s.store.Signals(t.Context(), 0, 0)
	must(t, err)
	if len(signals) != 4 || signals[0].Project != "shop" || signals[0].Service != "cart" || signals[0].Summary != "disk full" || signals[2].Action != alert.Resolve || signals[3].Service != "" {
		t.Errorf("kept %+v", signals)
	}
	s.do("POST", "/v1/signals?project=shop", diskFull, as("nobody")).refused(t, 403)
}

func TestAKeyIsRotatedWithoutABreakAndRevoked(t *testing.T) {
	s := newSite(t)
	k := s.key(`{"name": "prom"}`)
	var next pair
	s.do("POST", "/v1/alerting/keys/prom/rotate?project=shop", nil, as("shop")).ok(t, 200, &next)
	for secret, want := range map[string]int{k.Primary: 404, k.Secondary: 202, next.Secondary: 202} {
		if got := s.sends(secret, diskFull); got.status != want {
			t.Errorf("answered %d, want %d: %s", got.status, want, got.body)
		}
	}
	if next.Primary != "" || !strings.HasSuffix(next.URL, next.Secondary) {
		t.Errorf("rotated: %+v", next)
	}
	list := s.do("GET", "/v1/alerting/keys?project=shop", nil, as("shop"))
	list.ok(t, 200, nil)
	if strings.Contains(list.body, "m3o_int_") {
		t.Errorf("the list shows secrets: %s", list.body)
	}
	s.do("DELETE", "/v1/alerting/keys/prom?project=shop", nil, as("shop")).ok(t, 204, nil)
	s.sends(k.Secondary, diskFull).refused(t, 404)
}

func TestWhoHasNoKeyLearnsNothing(t *testing.T) {
	s := newSite(t)
	k := s.key(`{"name": "prom"}`)
	s.do("DELETE", "/v1/alerting/keys/prom?project=shop", nil, as("shop")).ok(t, 204, nil)
	for _, secret := range []string{k.Primary, "x", "m3o_int_" + strings.Repeat("0", 49), secretOf("admin"), strings.Repeat("a", 3000)} {
		for _, hook := range []string{"alerts", "heartbeats"} {
			r := s.do("POST", "/v1/hooks/"+hook+"/"+secret, `{"what": 1}`)
			r.refused(t, 404, `"detail":"there is no such key"`)
			if strings.Contains(r.body, secret) && len(secret) > 1 {
				t.Errorf("the answer repeats it: %s", r.body)
			}
		}
	}
}

func TestAlertsThatCannotBeKeptAreRefusedWhole(t *testing.T) {
	s := newSite(t)
	k := s.key(`{"name": "prom"}`)
	s.sends(k.Primary, `{"dedup_key": "a", "summary": "`+strings.Repeat("x", 5<<20)+`"}`).refused(t, 413, "larger than 1048576 bytes")
	s.sends(k.Primary, `{"dedup_key": "a", "summary": "b", "sumary": "c"}`).refused(t, 422, "sumary", "is no field of an event")
	s.sends(k.Primary, `[`+diskFull+`, {"severity": "bad"}]`).refused(t, 422, "[1].dedup_key", "[1].severity")
	s.do("POST", "/v1/hooks/alerts/"+k.Primary+"?format=xml", diskFull).refused(t, 422, "none of m3o, alertmanager and grafana")
	if signals, err := s.store.Signals(t.Context(), 0, 0); err != nil || len(signals) > 0 {
		t.Errorf("kept %+v, %v", signals, err)
	}
}

func TestAKeyIsKeptToItsRate(t *testing.T) {
	s := newSite(t)
	k := s.key(`{"name": "loud", "rate": 1, "burst": 3}`)
	other := s.key(`{"name": "calm"}`)
	s.sends(k.Primary, `[`+diskFull+`,`+diskFull+`,`+diskFull+`]`).ok(t, 202, nil)
	r := s.sends(k.Secondary, diskFull) // a pair is one key
	r.refused(t, 429, "takes no more alerts now")
	if r.header.Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
	s.sends(other.Primary, diskFull).ok(t, 202, nil)
}

// full is an intake whose queue is full.
type full struct{}

func (full) Keep(context.Context, []alert.Signal) error {
	return &fault.Error{Kind: fault.Unavailable, Message: "more alerts come in than can be kept", RetryAfter: time.Second}
}

func TestAFullIntakeSaysWhenToComeBack(t *testing.T) {
	s := newSite(t, func(a *rest.API) { a.Intake = full{} })
	r := s.sends(s.key(`{"name": "prom"}`).Primary, diskFull)
	r.refused(t, 503)
	if r.header.Get("Retry-After") == "" {
		t.Error("it does not say when")
	}
}

func TestAHeartbeatIsMadePingedPausedAndRemoved(t *testing.T) {
	s := newSite(t)
	var made struct {
		Heartbeat alert.Heartbeat
		URL       string
	}
	s.do("POST", "/v1/heartbeats?project=shop", `{"name": "backup", "every": "5m", "grace": "30s"}`, as("shop")).ok(t, 201, &made)
	if made.Heartbeat.Status != alert.HeartbeatWaiting {
		t.Errorf("made %+v", made)
	}
	for _, method := range []string{"GET", "POST"} {
		if r := s.do(method, made.URL, nil); r.status != 200 || r.body != "backup is alive\n" {
			t.Errorf("%s: %d %s", method, r.status, r.body)
		}
	}
	var h alert.Heartbeat
	s.do("POST", "/v1/heartbeats/backup/pause?project=shop", nil, as("shop")).ok(t, 200, &h)
	if h.Status != alert.HeartbeatPaused {
		t.Errorf("paused: %+v", h)
	}
	s.do("POST", "/v1/heartbeats/backup/resume?project=shop", nil, as("shop")).ok(t, 200, &h)
	if h.Status != alert.HeartbeatAlive || h.DueAt.Before(time.Now().Add(5*time.Minute)) {
		t.Errorf("resumed: %+v", h)
	}
	s.do("DELETE", "/v1/heartbeats/backup?project=shop", nil, as("shop")).ok(t, 204, nil)
	s.do("POST", made.URL, nil).refused(t, 404)
	s.do("POST", "/v1/heartbeats?project=shop", `{"name": "x", "every": "1s"}`, as("shop")).refused(t, 422, "every", "1s is not between 10s")
}

// TestKeysInPathsAreNowhereElse: they are in no trace, no log, no audit entry and no event.
func TestKeysInPathsAreNowhereElse(t *testing.T) {
	spans, before := tracetest.NewSpanRecorder(), otel.GetTracerProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	var lines bytes.Buffer
	log := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&lines, nil)))
	t.Cleanup(func() { otel.SetTracerProvider(before); slog.SetDefault(log) })
	s := newSite(t)
	k := s.key(`{"name": "prom"}`)
	s.sends(k.Primary, diskFull).ok(t, 202, nil)
	s.sends(k.Primary+"x", diskFull).refused(t, 404)
	s.sends(k.Primary+"/x", diskFull).refused(t, 404)
	s.do("GET", "/v1/hooks/alerts/"+k.Primary, nil)
	s.do("POST", "/v1//hooks/alerts/"+k.Primary, diskFull)
	said, err := json.Marshal([]any{s.audits(), lines.String()})
	must(t, err)
	events, err := s.store.Events(t.Context(), 0, nil, 0)
	must(t, err)
	more, err := json.Marshal(events)
	must(t, err)
	text := string(said) + string(more)
	traced := 0
	for _, span := range spans.Ended() {
		text += span.Name()
		for _, a := range span.Attributes() {
			text += string(a.Key) + "=" + a.Value.String() + "\n"
		}
		if strings.Contains(text, "/v1/hooks/alerts/-") {
			traced++
		}
	}
	if strings.Contains(text, strings.TrimPrefix(k.Primary, "m3o_int_")[:20]) || traced == 0 {
		t.Errorf("%d traces; the secret is in %s", traced, text)
	}
}
