package alert

import "time"

// Action is what a signal does to its dedup key.
type Action string

// The actions.
const (
	Trigger     Action = "trigger"
	Acknowledge Action = "acknowledge" // somebody at the source has taken it
	Resolve     Action = "resolve"
)

// Severity is how bad a source says it is.
type Severity string

// The severities, worst first.
const (
	Critical Severity = "critical"
	Error    Severity = "error"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Severities lists them, worst first.
var Severities = []Severity{Critical, Error, Warning, Info}

// Urgency is what routing makes of a severity: whether people are paged.
type Urgency string

// The urgencies.
const (
	High Urgency = "high" // people are paged
	Low  Urgency = "low"  // recorded and shown, never paged
)

// Source says how a signal came in.
type Source string

// The sources.
const (
	FromAPI          Source = "api"          // our own JSON
	FromAlertmanager Source = "alertmanager" // Prometheus Alertmanager's webhook
	FromGrafana      Source = "grafana"      // Grafana's webhook contact point
	FromPlatform     Source = "platform"     // an event of the platform itself
	FromHeartbeat    Source = "heartbeat"    // a monitor that was not heard of
	FromOnCall       Source = "on-call"      // a gap in a schedule ahead
	FromDrill        Source = "drill"        // m3o alert drill
)

// Platform is the reserved project of the platform's own alerts.
const Platform = "platform"

// Limits of a signal. What is longer is refused at the edge; free text of other systems' formats is cut.
const (
	MaxDedupKey = 255
	MaxSummary  = 1024
	MaxDetails  = 8 << 10
	MaxLabels   = 64
	MaxLabel    = 256 // bytes of a label's name, and of its value
)

// Signal is one message of a source. Seq is given by the store and grows over the whole platform.
type Signal struct {
	Seq      int64             `json:"seq,omitempty"`
	Project  string            `json:"project"`
	Service  string            `json:"service,omitempty"` // of the integration key, or of the event
	Action   Action            `json:"action"`
	DedupKey string            `json:"dedup_key"` // unique in the project
	Source   Source            `json:"source"`
	Summary  string            `json:"summary,omitempty"`
	Severity Severity          `json:"severity,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Details  string            `json:"details,omitempty"`
	URL      string            `json:"url,omitempty"` // where the source shows it: http or https
	At       time.Time         `json:"at"`            // when it came in
}

// LabelSet is what routes, inhibitions and silences match: the signal's labels, with project, service, severity and source, which
// labels cannot replace.
func (s Signal) LabelSet() map[string]string {
	all := make(map[string]string, len(s.Labels)+4)
	for name, value := range s.Labels {
		all[name] = value
	}
	all["project"], all["severity"], all["source"] = s.Project, string(s.Severity), string(s.Source)
	delete(all, "service")
	if service := s.Service; service != "" {
		all["service"] = service
	} else if service := s.Labels["service"]; service != "" {
		all["service"] = service
	}
	return all
}
