// Package event defines what the platform tells about itself: events, for whoever watches, and audit entries, for whoever
// asks later who did what. Both are written with the change they tell of, never beside it.
//
// It is not a message broker and knows no transport. It imports nothing of the project and may be imported by everything.
package event

import "time"

// Event is one thing that happened. Seq grows over the whole platform and is the id of the event in streams.
type Event struct {
	Seq     int64     `json:"seq"`
	Time    time.Time `json:"time"`
	Project string    `json:"project,omitempty"` // empty for the platform's own
	Kind    string    `json:"kind"`              // "region.ready", "release.failed": noun and status
	Subject string    `json:"subject"`           // "micro/lon1", "default/hello/3"
	Region  string    `json:"region,omitempty"`  // "micro/lon1": where, of what happened to a service in one region
	Message string    `json:"message,omitempty"`
}

// Audit is one change somebody asked for, whatever came of it.
type Audit struct {
	Seq       int64     `json:"seq"`
	Time      time.Time `json:"time"`
	Subject   string    `json:"subject"` // who
	Kind      string    `json:"kind"`    // what kind of principal
	Project   string    `json:"project,omitempty"`
	Action    string    `json:"action"` // the operation's id: "deploy-service"
	Target    string    `json:"target"` // the path it was done to
	From      string    `json:"from"`   // the caller's address
	RequestID string    `json:"request_id"`
	Status    int       `json:"status"` // the HTTP status it was answered with; 0 before that, and for ever where the process died
}
