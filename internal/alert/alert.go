package alert

import (
	"fmt"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Status is where an alert is.
//
//	state         event                                                next state
//	-             the first firing key                                 open
//	open          Acknowledge                                          acknowledged
//	open          Snooze                                               snoozed
//	open          a silence, a maintenance window or an inhibition     suppressed
//	acknowledged  the acknowledgement expires, Escalate                open
//	acknowledged  Snooze                                               snoozed
//	snoozed       its time is over, Escalate                           open
//	snoozed       Acknowledge                                          acknowledged
//	suppressed    what suppresses it is over                           open
//	suppressed    Acknowledge, Snooze                                  acknowledged, snoozed
//	any of these  no key fires any more                                resolved
//	any of these  Resolve                                              closed
//
// Resolved and closed are final: a key that fires again begins another alert.
type Status string

// The statuses.
const (
	Open         Status = "open"
	Acknowledged Status = "acknowledged"
	Snoozed      Status = "snoozed"
	Suppressed   Status = "suppressed"
	Resolved     Status = "resolved" // by its sources
	Closed       Status = "closed"   // by a person
)

// Final reports whether the alert has ended.
func (s Status) Final() bool { return s == Resolved || s == Closed }

// Alert is one episode of a group, as the read model has it.
type Alert struct {
	Project  string            `json:"project"`
	Number   int64             `json:"number"` // public, of the whole platform
	Group    string            `json:"group"`  // hash of the group key, see Group.Hash
	Route    string            `json:"route"`  // the route's name; "default" for the default route
	Policy   string            `json:"policy,omitempty"`
	Service  string            `json:"service,omitempty"`
	Title    string            `json:"title"`
	Severity Severity          `json:"severity"` // the worst of its firing keys
	Urgency  Urgency           `json:"urgency"`
	Labels   map[string]string `json:"labels,omitempty"` // what its signals have in common: the group's labels
	Status   Status            `json:"status"`
	Message  string            `json:"message,omitempty"` // what it waits for, or why it is as it is
	Firing   int               `json:"firing"`            // keys that fire now
	Signals  int64             `json:"signals"`           // that came in
	Pages    int               `json:"pages"`             // that were sent
	Step     int               `json:"step"`              // of the policy, from 1; 0: none yet
	Round    int               `json:"round"`             // of the policy's repetitions, from 1
	NextAt   time.Time         `json:"next_at,omitzero"`  // when the next step is due
	Drill    bool              `json:"drill,omitempty"`

	StartedAt      time.Time `json:"started_at"`
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	AcknowledgedBy string    `json:"acknowledged_by,omitempty"` // of the acknowledgement that holds
	Until          time.Time `json:"until,omitzero"`            // when an acknowledgement or a snooze ends
	EndedAt        time.Time `json:"ended_at,omitzero"`
	UpdatedAt      time.Time `json:"updated_at"`
	Upto           int64     `json:"upto"`    // the last signal that it knows of
	Version        int64     `json:"version"` // grows with every record; an older one never replaces a newer one
}

// Filter chooses alerts of a list: of one status, or with Current those that have not ended, and of a service. What is empty chooses all.
type Filter struct {
	Status  Status
	Current bool
	Service string
}

// MaxSnooze bounds for how long an alert is snoozed, or acknowledged by a command.
const MaxSnooze = 30 * 24 * time.Hour

// Check says all that is wrong with a command that is to be one of the updates.
func (c Command) Check(update string) error {
	var check fault.Checker
	check.Check(c.For >= 0 && c.For <= MaxSnooze, "for", "%s is not between 0s and %s", Duration(c.For), Duration(MaxSnooze))
	check.Check(update != SnoozeUpdate || c.For != 0, "for", "is missing: say for how long, such as 2h")
	check.Check(c.To >= 0, "to", "%d is not above 0", c.To)
	check.Check(update != AddNoteUpdate || c.Comment != "", "comment", "is empty: say what is to be noted")
	return check.Err()
}

// Ended says of an alert that has ended since when, for whoever wants it to do something.
func (a Alert) Ended() string {
	return fmt.Sprintf("alert %d is %s since %s", a.Number, a.Status, a.EndedAt.UTC().Format(time.RFC3339))
}

// EntryKind says what a line of an alert's log tells.
type EntryKind string

// The kinds of entries.
const (
	LogTriggered    EntryKind = "triggered"
	LogJoined       EntryKind = "joined" // further signals, with their number
	LogSuppressed   EntryKind = "suppressed"
	LogEscalated    EntryKind = "escalated" // a step of the policy began
	LogPaged        EntryKind = "paged"
	LogDelivered    EntryKind = "delivered"
	LogFailed       EntryKind = "failed"  // a page failed, with the channel's words
	LogSkipped      EntryKind = "skipped" // a page was not sent: a limit, no contact, nobody on call
	LogAcknowledged EntryKind = "acknowledged"
	LogExpired      EntryKind = "expired" // an acknowledgement or a snooze
	LogSnoozed      EntryKind = "snoozed"
	LogNote         EntryKind = "note"
	LogExhausted    EntryKind = "exhausted" // the policy has ended, and nobody has acknowledged
	LogResolved     EntryKind = "resolved"
	LogClosed       EntryKind = "closed"
)

// Entry is one line of an alert's log. Key tells it apart: written twice, it is there once.
type Entry struct {
	Key     string    `json:"key"`
	At      time.Time `json:"at"`
	Kind    EntryKind `json:"kind"`
	By      string    `json:"by,omitempty"`      // who did it, or who was paged
	Channel Channel   `json:"channel,omitempty"` // by which
	Page    string    `json:"page,omitempty"`    // the page's key
	Receipt string    `json:"receipt,omitempty"` // the channel's id of it
	Text    string    `json:"text,omitempty"`
}
