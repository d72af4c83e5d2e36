package alert

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/answer"
)

// The workflows of alerts, by their registered names.
const (
	EscalateWorkflow = "EscalateAlert"
	CallbackWorkflow = "ProcessCallback"
	VerifyWorkflow   = "VerifyContact"
	NoticeWorkflow   = "SendNotice"
)

// What EscalateAlert answers to.
const (
	AcknowledgeUpdate = "Acknowledge" // Command -> Alert
	ResolveUpdate     = "Resolve"     // Command -> Alert
	SnoozeUpdate      = "Snooze"      // Command -> Alert
	EscalateUpdate    = "Escalate"    // Command -> Alert
	AddNoteUpdate     = "AddNote"     // Command -> Alert
	ProgressQuery     = "Progress"    // -> Alert

	DigestSignal  = "SignalsReceived" // Digest: what came in since the last one
	ReceiptSignal = "PageReported"    // PageReport: what a channel says later of a page
	RulesSignal   = "RulesChanged"    // a silence, a window, an override or the rules changed: decide anew
)

// EscalateID is the id of the workflow that owns a group's alerts.
func EscalateID(project, group string) string { return "alert/" + project + "/" + group }

// CallbackID is the id of the workflow that finds out what a provider's callback means.
func CallbackID(seq int64) string { return fmt.Sprintf("callback/%d", seq) }

// VerifyID is the id of the n-th sending of a code to a contact.
func VerifyID(contact string, n int64) string { return fmt.Sprintf("contact/%s/%d", contact, n) }

// NoticeID is the id of the workflow that sends a notice. key says what it is about: "silence/<id>".
func NoticeID(key string) string { return "notice/" + key }

// PageKey is the dedup key of a page: of an alert, its kind and n-th step or update, to a recipient. Whichever channel carries it, it stays
// the same.
func PageKey(project string, number int64, kind PageKind, n int, recipient string) string {
	return fmt.Sprintf("%s/%d/%s/%d/%s", project, number, kind, n, recipient)
}

// AlertOf is the project and the number of the alert that a page's key is of.
func AlertOf(key string) (project string, number int64, err error) {
	parts := strings.SplitN(key, "/", 3)
	if len(parts) == 3 {
		number, err = strconv.ParseInt(parts[1], 10, 64)
	}
	if len(parts) < 3 || err != nil {
		return "", 0, fmt.Errorf("%.80q is no page's key", key)
	}
	return parts[0], number, nil
}

// RecipientOf is whom a page with that key was for; of a key that is none, nobody.
func RecipientOf(key string) string {
	if parts := strings.SplitN(key, "/", 5); len(parts) == 5 {
		return parts[4]
	}
	return ""
}

// Group is what signals that belong together have in common.
type Group struct {
	Project string            `json:"project"`
	Route   string            `json:"route"`
	Labels  map[string]string `json:"labels,omitempty"` // the route's GroupBy; the dedup key where it has none
}

// Sample is one firing key of a group.
type Sample struct {
	DedupKey string            `json:"dedup_key"`
	Summary  string            `json:"summary"`
	Severity Severity          `json:"severity"`
	Service  string            `json:"service,omitempty"`
	Source   Source            `json:"source,omitempty"`
	URL      string            `json:"url,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Since    time.Time         `json:"since"`
}

// Digest tells a group's workflow what came in: how many signals, and how its keys are now. It is small however many there are: the keys
// themselves are in the store. Upto is the last signal it tells of; a digest that is not newer than one before is a repetition. One that is
// newer and begins After the same signal as one before tells of that one's signals again: what was delivered had not been noted.
type Digest struct {
	After        int64     `json:"after,omitempty"`
	Upto         int64     `json:"upto"`
	Signals      int64     `json:"signals"`
	Firing       int       `json:"firing"`                 // keys of the group that fire after the signals
	Fired        int64     `json:"fired,omitempty"`        // how often one began to fire with them: all may have ended again
	Samples      []Sample  `json:"samples,omitempty"`      // of those that fire, the worst and oldest; where none does any more, of those that did; at most MaxLines
	Acknowledged string    `json:"acknowledged,omitempty"` // a source said that somebody has it: which, and who
	FirstAt      time.Time `json:"first_at"`               // when the oldest of the signals came in
	Drill        bool      `json:"drill,omitempty"`        // all of them are a drill's
}

// EscalateInput starts EscalateAlert, and carries its state over when it continues as new. The first digest comes as a signal.
type EscalateInput struct {
	Group Group  `json:"group"`
	Hash  string `json:"hash"` // Group.Hash
	Rules Route  `json:"route"`
	State State  `json:"state"`
}

// State is what EscalateAlert remembers when it continues as new.
type State struct {
	Alert   Alert              `json:"alert"`
	Upto    int64              `json:"upto"` // of the last digest, as After and Counted
	After   int64              `json:"after,omitempty"`
	Counted int64              `json:"counted,omitempty"` // its signals
	Samples []Sample           `json:"samples,omitempty"`
	Plan    *Plan              `json:"plan,omitempty"`   // of the step that began last
	Next    Position           `json:"next"`             // the step that begins at the alert's NextAt
	Begun   int                `json:"begun,omitempty"`  // steps that began, in all rounds: makes pages' keys
	Told    int                `json:"told,omitempty"`   // how often those who were paged were told something, likewise
	Chases  []*Chase           `json:"chases,omitempty"` // who is being paged
	Course  Course             `json:"course"`
	Paged   []Told             `json:"paged,omitempty"` // who was paged, by what: to be told how it ends
	Answers answer.Book[Alert] `json:"answers"`

	ResolveAt time.Time `json:"resolve_at,omitzero"` // no key fires: when that makes it resolved
	UpdateAt  time.Time `json:"update_at,omitzero"`  // when messages are updated in place
	UpdatedAt time.Time `json:"updated_at,omitzero"` // when they were last
}

// Course says how going through a policy came out, since it began with the first step.
type Course struct {
	Reached   bool `json:"reached,omitempty"`   // somebody was
	Exhausted bool `json:"exhausted,omitempty"` // the last step was taken, and nobody has acknowledged
	Retries   int  `json:"retries,omitempty"`   // courses before this one that reached nobody
}

// Position is a place in a policy.
type Position struct {
	Step  int `json:"step"`  // from 1
	Round int `json:"round"` // from 1
}

// Chase is one recipient of a step who is being paged, contact after contact, until one of them was reached and the last one tried.
type Chase struct {
	Key       string    `json:"key"` // of its pages
	Recipient Recipient `json:"recipient"`
	Tried     int       `json:"tried"` // hops that began, in this attempt at all of them
	At        time.Time `json:"at"`    // when the next hop, or attempt, begins
	Sends     []Send    `json:"sends,omitempty"`
	Attempts  int       `json:"attempts,omitempty"` // at all hops, that failed
	Failure   string    `json:"failure,omitempty"`  // of the last hop that failed
}

// Send is one hop of an attempt, and how far its page came: Sending, Sent, Delivered, Failed or Skipped.
type Send struct {
	Hop      int       `json:"hop"`
	State    Delivery  `json:"state"`
	Receipt  string    `json:"receipt,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"` // Sent: until when the channel has to confirm that it arrived; zero: it need not
}

// Told is one contact that a page of the alert went to, with the last receipt.
type Told struct {
	Person  string  `json:"person,omitempty"`
	Contact Contact `json:"contact"`
	Receipt Receipt `json:"receipt"`
}

// Command is what a person asks of an alert.
type Command struct {
	Number  int64         `json:"number"` // which alert: the group's workflow may be at the next one by now
	By      string        `json:"by"`
	Via     Channel       `json:"via,omitempty"` // empty: the API
	For     time.Duration `json:"for,omitempty"` // Snooze; Acknowledge: in place of the policy's
	To      int           `json:"to,omitempty"`  // Escalate: the step, from 1; 0: the next one
	Comment string        `json:"comment,omitempty"`
}

// PageReport is what a channel says of a page after it took it.
type PageReport struct {
	Key     string  `json:"key"`
	Receipt Receipt `json:"receipt"`
}

// Opening asks for the number of a group's alert that begins with the signal First. The same asked twice is one alert.
type Opening struct {
	Group Group  `json:"group"`
	Hash  string `json:"hash"`
	First int64  `json:"first"` // the digest's Upto
	Alert Alert  `json:"alert"` // all but its number
}

// Opened is its answer. Stale: an alert that has ended knew of these signals already, so nothing begins. Found is the group's alert that
// had not ended when its workflow was lost: it goes on, under its number.
type Opened struct {
	Number int64  `json:"number"`
	Stale  bool   `json:"stale,omitempty"`
	Found  *Alert `json:"found,omitempty"`
}

// PlanInput asks who is to be paged in a step, and whether anybody is.
type PlanInput struct {
	Alert  Alert             `json:"alert"`
	Labels map[string]string `json:"labels"` // of the group and of its worst firing key, see Signal.LabelSet
	Step   int               `json:"step"`   // from 1; 0: nobody is paged yet, when is the first step?
	Round  int               `json:"round"`
	At     time.Time         `json:"at"` // the workflow's clock
}

// Plan is what the rules make of an alert's step, at one time. It is computed in an activity and so recorded: later changes of the rules
// alter no step that has begun.
type Plan struct {
	Suppressed string      `json:"suppressed,omitempty"` // why nobody is paged now: which silence, window or alert
	Until      time.Time   `json:"until,omitzero"`       // when that ends; zero: when RulesChanged says so
	Record     bool        `json:"record,omitempty"`     // urgency low: never paged
	Recipients []Recipient `json:"recipients,omitempty"`
	Problems   []string    `json:"problems,omitempty"`   // targets that reach nobody, each with why: told in the log
	Next       *Duration   `json:"next,omitempty"`       // until the next step; nil: this was the last
	NextRound  bool        `json:"next_round,omitempty"` // the next step is the first one again
	AckFor     Duration    `json:"ack_for,omitempty"`    // how long an acknowledgement holds; 0: for ever
	ResolveIn  Duration    `json:"resolve_in,omitempty"` // how long none of its keys must fire
	Policy     string      `json:"policy"`
	Urgency    Urgency     `json:"urgency"`
	PageLimit  int         `json:"page_limit"`      // of the alert: updates of messages leave room for Ahead
	Ahead      int         `json:"ahead,omitempty"` // messages of the later steps of this round, should nobody acknowledge
	Steps      int         `json:"steps"`           // that the policy has
}

// Recipient is a person, or a target without one, and the contacts that are tried in order: the next one After the one before was sent
// and stayed unanswered, and at once where it failed.
type Recipient struct {
	Name string `json:"name"` // a user's, or the target's address
	Hops []Hop  `json:"hops"`
}

// Hop is one contact of a recipient's.
type Hop struct {
	Contact Contact  `json:"contact"`
	After   Duration `json:"after"`
}

// PageRequest asks, immediately before a page is sent, whether it may be: the person may be gone, silenced or over a limit by now.
type PageRequest struct {
	Page   Page              `json:"page"`
	Person string            `json:"person,omitempty"`
	Labels map[string]string `json:"labels"`
	At     time.Time         `json:"at"` // the workflow's clock
}

// PageDecision is its answer. A page whose key and contact went out before is not sent again: Receipt is what came of it.
type PageDecision struct {
	Send    bool     `json:"send"`
	Why     string   `json:"why,omitempty"` // not
	Receipt *Receipt `json:"receipt,omitempty"`
	Code    int      `json:"code,omitempty"`  // SMS: the number for replies
	Again   bool     `json:"again,omitempty"` // it was being sent before, and what came of it was lost
}

// Callback is what a provider sent to /v1/hooks, as it came: bounded, stored before it is answered, and without effect until it is
// verified.
type Callback struct {
	Seq     int64             `json:"seq"`
	Channel Channel           `json:"channel"`
	URL     string            `json:"url"` // as the provider called it: it is part of what Twilio signs
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body"`
	Trusted bool              `json:"trusted,omitempty"` // the API verified its signature already (Slack)
	At      time.Time         `json:"at"`
}

// Meaning is what a verified callback says.
type Meaning struct {
	Kind    MeaningKind `json:"kind"`
	Why     string      `json:"why,omitempty"`     // of Forged and Nothing
	Receipt *Receipt    `json:"receipt,omitempty"` // of MeansReceipt; its ID tells the page
	From    string      `json:"from,omitempty"`    // of MeansCommand: the address or member id of who answers
	Code    int         `json:"code,omitempty"`    // which alert: a reply's number
	Page    string      `json:"page,omitempty"`    // or the key of the page that was answered, or that a receipt is of
	In      string      `json:"in,omitempty"`      // Slack: the channel in which it was answered
	Gone    bool        `json:"gone,omitempty"`    // of MeansReceipt: the address takes no messages any more
	Text    string      `json:"text,omitempty"`    // of MeansNothing: a reply that was tried and not understood; empty: nobody waits for an answer
	Do      string      `json:"do,omitempty"`      // the update: AcknowledgeUpdate, ResolveUpdate, EscalateUpdate, SnoozeUpdate
}

// MeaningKind says what kind of callback it was.
type MeaningKind string

// The kinds of callbacks.
const (
	MeansReceipt MeaningKind = "receipt"
	MeansCommand MeaningKind = "command"
	MeansStop    MeaningKind = "stop"    // the person wants no more messages there
	MeansNothing MeaningKind = "nothing" // verified, and of no interest
	Forged       MeaningKind = "forged"  // not the provider's: no effect, reported
)

// Applying asks that what a callback means takes effect.
type Applying struct {
	Seq     int64   `json:"seq"`
	Channel Channel `json:"channel"`
	Meaning Meaning `json:"meaning"`
}

// Applied is what came of it. Answer is for whoever replied.
type Applied struct {
	Outcome string `json:"outcome"`
	Answer  *Text  `json:"answer,omitempty"`
}

// Refusal says that a contact takes no messages any more, and why.
type Refusal struct {
	Contact string `json:"contact"`
	Why     string `json:"why"`
}

// ReplySnooze is how long a reply or a button snoozes.
const ReplySnooze = time.Hour
