package alert

import (
	"fmt"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// IntegrationKey lets a source of alerts in. It is a pair of secrets, of which both are good: a source is given the second one before the
// first one is rotated out, so that no alert is lost between.
type IntegrationKey struct {
	ID        string    `json:"id"`
	Project   string    `json:"project"`
	Name      string    `json:"name"`
	Service   string    `json:"service,omitempty" doc:"The service that its alerts are of; empty: their labels say."`
	Rate      int       `json:"rate" doc:"Alerts a second that it takes; more are refused."`
	Burst     int       `json:"burst" doc:"Alerts that it takes at once, after a time without."`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	RotatedAt time.Time `json:"rotated_at,omitzero"`
}

// Limits of integration keys and heartbeats.
const (
	MaxIntegrationKeys = 200 // of a project
	MaxHeartbeats      = 500 // of a project
	DefaultRate        = 100
	DefaultBurst       = 1000
	MaxRate            = 100_000
	MaxBurst           = 1_000_000

	MinEvery     = 10 * time.Second
	MaxEvery     = 366 * 24 * time.Hour
	MaxGrace     = 7 * 24 * time.Hour
	DefaultGrace = time.Minute
)

// WithDefaults fills in what was left out.
func (k IntegrationKey) WithDefaults() IntegrationKey {
	if k.Rate == 0 {
		k.Rate = DefaultRate
	}
	if k.Burst == 0 {
		k.Burst = max(DefaultBurst, k.Rate)
	}
	return k
}

// Validate says all that is wrong with a key that is to be made.
func (k IntegrationKey) Validate() error {
	var c fault.Checker
	c.Check(ruleName.MatchString(k.Name), "name", "%.80q %s", k.Name, ruleNameRule)
	c.Check(k.Service == "" || ruleName.MatchString(k.Service), "service", "%.80q %s", k.Service, ruleNameRule)
	c.Check(k.Rate >= 1 && k.Rate <= MaxRate, "rate", "%d is not between 1 and %d alerts a second", k.Rate, MaxRate)
	c.Check(k.Burst >= 1 && k.Burst <= MaxBurst, "burst", "%d is not between 1 and %d alerts", k.Burst, MaxBurst)
	return c.Err()
}

// HeartbeatStatus is where a heartbeat monitor is.
//
//	state    event                                  next state
//	-        created                                waiting
//	waiting  a ping                                 alive
//	alive    a ping                                 alive, due anew
//	alive    Every and Grace have passed since      missed, which triggers its alert
//	missed   a ping                                 alive, which resolves it
//	any      Pause                                  paused, which resolves the alert of one that was missed
//	paused   a ping                                 paused
//	paused   Resume                                 alive, due anew; waiting if it was never pinged
type HeartbeatStatus string

// The statuses of a heartbeat.
const (
	HeartbeatWaiting HeartbeatStatus = "waiting" // for its first ping: until then it is never missed
	HeartbeatAlive   HeartbeatStatus = "alive"
	HeartbeatMissed  HeartbeatStatus = "missed"
	HeartbeatPaused  HeartbeatStatus = "paused"
)

// Heartbeat is a dead-man's switch: a program that pings its URL again and again, and an alert when it does not.
type Heartbeat struct {
	Project   string          `json:"project"`
	Name      string          `json:"name"`
	Service   string          `json:"service,omitempty" doc:"The service that its alert is of."`
	Severity  Severity        `json:"severity" enum:"critical,error,warning,info"`
	Every     Duration        `json:"every" doc:"How often it is pinged at least, such as 5m."`
	Grace     Duration        `json:"grace" doc:"How much later than that a ping may come."`
	Status    HeartbeatStatus `json:"status" enum:"waiting,alive,missed,paused"`
	LastPing  time.Time       `json:"last_ping,omitzero"`
	DueAt     time.Time       `json:"due_at,omitzero" doc:"When it is missed."`
	CreatedAt time.Time       `json:"created_at"`
	CreatedBy string          `json:"created_by"`
}

// WithDefaults fills in what was left out.
func (h Heartbeat) WithDefaults() Heartbeat {
	if h.Severity == "" {
		h.Severity = Error
	}
	return h
}

// Validate says all that is wrong with a heartbeat that is to be made.
func (h Heartbeat) Validate() error {
	var c fault.Checker
	c.Check(ruleName.MatchString(h.Name), "name", "%.80q %s", h.Name, ruleNameRule)
	c.Check(h.Service == "" || ruleName.MatchString(h.Service), "service", "%.80q %s", h.Service, ruleNameRule)
	c.Check(h.Severity.Grade() < len(Severities), "severity", "%.40q is none of critical, error, warning and info", h.Severity)
	c.Check(h.Every >= Duration(MinEvery) && h.Every <= Duration(MaxEvery), "every", "%s is not between %s and %s", h.Every, Duration(MinEvery), Duration(MaxEvery))
	c.Check(h.Grace >= 0 && h.Grace <= Duration(MaxGrace), "grace", "%s is not between 0s and %s", h.Grace, Duration(MaxGrace))
	return c.Err()
}

// Pinged is the heartbeat after a ping; resolves says that its alert is over.
func (h Heartbeat) Pinged(now time.Time) (after Heartbeat, resolves bool) {
	h.LastPing = now
	if h.Status == HeartbeatPaused {
		return h, false
	}
	resolves = h.Status == HeartbeatMissed
	h.Status, h.DueAt = HeartbeatAlive, h.due(now)
	return h, resolves
}

// Paused is the heartbeat once it is paused; resolves says that its alert is over.
func (h Heartbeat) Paused() (after Heartbeat, resolves bool) {
	resolves = h.Status == HeartbeatMissed
	h.Status, h.DueAt = HeartbeatPaused, time.Time{}
	return h, resolves
}

// Resumed is the heartbeat once it is watched again: it has all its time.
func (h Heartbeat) Resumed(now time.Time) Heartbeat {
	switch {
	case h.Status != HeartbeatPaused:
	case h.LastPing.IsZero():
		h.Status = HeartbeatWaiting
	default:
		h.Status, h.DueAt = HeartbeatAlive, h.due(now)
	}
	return h
}

func (h Heartbeat) due(from time.Time) time.Time {
	return from.Add(time.Duration(h.Every) + time.Duration(h.Grace))
}

// Signal is what its alert is told: that it is missed, or that it is over.
func (h Heartbeat) Signal(action Action, why string) Signal {
	return Signal{Project: h.Project, Service: h.Service, Action: action, DedupKey: "heartbeat/" + h.Name, Source: FromHeartbeat, Severity: h.Severity,
		Summary: fmt.Sprintf("heartbeat %s: %s", h.Name, why), Labels: map[string]string{"kind": "heartbeat", "heartbeat": h.Name}}
}
