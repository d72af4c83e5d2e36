package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// monitored is a program that is to ping every five minutes, and the clock.
type monitored struct {
	*relay
	now  time.Time
	hash []byte
}

func pings(t *testing.T) *monitored {
	s := fresh(t)
	must(t, s.EnsureProject(t.Context(), "shop"))
	p := &monitored{relay: relays(t, s), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), hash: hash("beat")}
	s.SetClock(func() time.Time { return p.now })
	_, err := s.CreateHeartbeat(t.Context(), alert.Heartbeat{Project: "shop", Name: "backup", Every: alert.Duration(5 * time.Minute), Grace: alert.Duration(time.Minute)}.WithDefaults(), p.hash)
	must(t, err)
	return p
}

// passes lets time pass, while the relay checks.
func (p *monitored) passes(d time.Duration) {
	p.t.Helper()
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(10 * time.Second) {
		must(p.t, p.s.CheckHeartbeats(p.t.Context(), p.lease))
	}
	must(p.t, p.s.CheckHeartbeats(p.t.Context(), p.lease))
}

func (p *monitored) pings() {
	p.t.Helper()
	_, err := p.s.PingHeartbeat(p.t.Context(), p.hash)
	must(p.t, err)
}

// said fails unless the signals so far are these.
func (p *monitored) said(want ...alert.Action) {
	p.t.Helper()
	signals, err := p.s.Signals(p.t.Context(), 0, 0)
	must(p.t, err)
	if len(signals) != len(want) {
		p.t.Fatalf("%d signals, want %v: %+v", len(signals), want, signals)
	}
	for i, s := range signals {
		if s.Action != want[i] || s.DedupKey != "heartbeat/backup" || s.Project != "shop" || s.Source != alert.FromHeartbeat {
			p.t.Errorf("signal %d is %+v", i, s)
		}
	}
}

func TestAHeartbeatThatStaysAwayIsAnAlertUntilTheNextPing(t *testing.T) {
	p := pings(t)
	p.passes(time.Hour) // before the first ping
	p.said()
	p.pings()
	p.passes(5*time.Minute + 50*time.Second)
	p.said()
	p.passes(20 * time.Second)
	p.said(alert.Trigger)
	p.passes(time.Hour)
	p.said(alert.Trigger)
	p.pings()
	p.said(alert.Trigger, alert.Resolve)
	signals, err := p.s.Signals(t.Context(), 0, 0)
	must(t, err)
	if !strings.Contains(signals[0].Summary, "not heard of since 2026-01-01T01:00:00Z; it is due every 5m") {
		t.Errorf("it says %q", signals[0].Summary)
	}
}

func TestAHeartbeatThatIsPausedPagesNobody(t *testing.T) {
	p := pings(t)
	p.pings()
	_, err := p.s.PauseHeartbeat(t.Context(), "shop", "backup", "ana")
	must(t, err)
	p.passes(24 * time.Hour)
	p.said()
	_, err = p.s.ResumeHeartbeat(t.Context(), "shop", "backup", "ana")
	must(t, err)
	p.passes(5 * time.Minute)
	p.said()
	p.passes(2 * time.Minute)
	p.said(alert.Trigger)
	_, err = p.s.PauseHeartbeat(t.Context(), "shop", "backup", "ana")
	must(t, err)
	p.said(alert.Trigger, alert.Resolve)
	must(t, p.s.RemoveHeartbeat(t.Context(), "shop", "backup", "ana"))
	p.said(alert.Trigger, alert.Resolve)
	_, err = p.s.PingHeartbeat(t.Context(), p.hash)
	wantFault(t, err, fault.NotFound)
}

func TestTimeInWhichNobodyCheckedIsNobodysFault(t *testing.T) {
	p := pings(t)
	p.pings()
	p.passes(time.Minute)
	p.now = p.now.Add(3 * time.Hour) // the platform was away
	p.passes(4 * time.Minute)
	p.said()
	p.passes(2 * time.Minute)
	p.said(alert.Trigger)
}

func TestWhoLostTheLeaseMissesNoHeartbeat(t *testing.T) {
	p := pings(t)
	p.pings()
	p.passes(time.Minute)
	_, err := p.s.TakeLease(t.Context(), p.lease, "another")
	must(t, err)
	p.now = p.now.Add(20 * time.Second)
	wantFault(t, p.s.CheckHeartbeats(t.Context(), p.lease), fault.Conflict)
	p.said()
}

func TestIntegrationKeysAreOfOneNameInAProject(t *testing.T) {
	s := fresh(t)
	must(t, s.EnsureProject(t.Context(), "shop"))
	spec := alert.IntegrationKey{Project: "shop", Name: "prom"}.WithDefaults()
	_, err := s.CreateIntegrationKey(t.Context(), spec, hash("a"), hash("b"))
	must(t, err)
	_, err = s.CreateIntegrationKey(t.Context(), spec, hash("c"), hash("d"))
	wantFault(t, err, fault.Exists, `there is an integration key "prom" already`)
	spec.Project = alert.Platform
	_, err = s.CreateIntegrationKey(t.Context(), spec, hash("e"), hash("f"))
	must(t, err)
	spec.Project = "none"
	_, err = s.CreateIntegrationKey(t.Context(), spec, hash("g"), hash("h"))
	wantFault(t, err, fault.NotFound)
	for _, secret := range []string{"a", "b"} {
		if k, err := s.IntegrationKey(t.Context(), hash(secret)); err != nil || k.Project != "shop" {
			t.Errorf("%s is of %+v, %v", secret, k, err)
		}
	}
}
