package world

import "time"

// Transition is a change under way: who asked for it when, and when it ends at the earliest. It is kept with the resource that changes.
type Transition struct {
	Operation   string    `json:"operation"`
	Key         string    `json:"key"`
	RequestedAt time.Time `json:"requested_at"`
	Due         time.Time `json:"due"`
	// Stuck keeps it from ever ending, Fail makes it end badly: both are injected faults.
	Stuck bool   `json:"stuck,omitempty"`
	Fail  string `json:"fail,omitempty"`
}

// Spoiled says that a fault keeps it from succeeding.
func (t Transition) Spoiled() bool { return t.Stuck || t.Fail != "" }

// IsDue says that it may end, well or badly.
func (t Transition) IsDue(now time.Time) bool { return !t.Stuck && !now.Before(t.Due) }
