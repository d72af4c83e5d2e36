package alert

import (
	"slices"
	"time"
)

// Key is a dedup key of a project, as its last signal left it.
//
//	state   event     next state
//	-       Trigger   firing
//	firing  Trigger   firing, with what the signal says
//	firing  Resolve   quiet
//	quiet   Trigger   firing, in the group that the rules give it then
//
// Acknowledge changes no state. A key that fires stays in its group, whatever the rules are by then.
type Key struct {
	Project  string            `json:"project"`
	DedupKey string            `json:"dedup_key"`
	Group    string            `json:"group"` // Group.Hash
	Firing   bool              `json:"firing"`
	Source   Source            `json:"source"`
	Service  string            `json:"service,omitempty"`
	Summary  string            `json:"summary"`
	Severity Severity          `json:"severity"`
	Labels   map[string]string `json:"labels,omitempty"`
	URL      string            `json:"url,omitempty"`
	First    time.Time         `json:"first"` // when it began to fire
	Last     time.Time         `json:"last"`  // when its last signal came in
	Count    int64             `json:"count"` // of the triggers since First
	Seq      int64             `json:"seq"`   // of the last signal
}

// After is the key after a signal of it. Which group a key that begins to fire is in, the caller says.
func (k Key) After(s Signal) Key {
	k.Project, k.DedupKey, k.Last, k.Seq = s.Project, s.DedupKey, s.At, s.Seq
	switch s.Action {
	case Resolve:
		k.Firing = false
	case Trigger:
		if !k.Firing {
			k.First, k.Count = s.At, 0
		}
		k.Firing, k.Count = true, k.Count+1
		k.Source, k.Service, k.Summary, k.Severity, k.Labels, k.URL = s.Source, s.Service, s.Summary, s.Severity, s.Labels, s.URL
	}
	return k
}

// LabelSet is what inhibitions match: see Signal.LabelSet.
func (k Key) LabelSet() map[string]string {
	return Signal{Project: k.Project, Service: k.Service, Source: k.Source, Severity: k.Severity, Labels: k.Labels}.LabelSet()
}

// Sample is what a digest says of the key.
func (k Key) Sample() Sample {
	return Sample{DedupKey: k.DedupKey, Summary: k.Summary, Severity: k.Severity, Service: k.Service, Source: k.Source, URL: k.URL, Labels: k.Labels, Since: k.First}
}

// Grade orders severities: 0 is the worst, and what is none of them is the least.
func (s Severity) Grade() int {
	if at := slices.Index(Severities, s); at >= 0 {
		return at
	}
	return len(Severities)
}
