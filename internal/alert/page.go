package alert

import "time"

// PageKind is what a page tells.
type PageKind string

// The kinds of pages.
const (
	PageTrigger      PageKind = "trigger"      // an alert: please act
	PageUpdate       PageKind = "update"       // to whoever was paged: how it is now, in the place of what their message says
	PageAcknowledged PageKind = "acknowledged" // to whoever was paged: somebody has it
	PageResolved     PageKind = "resolved"     // to whoever was paged: it is over
	PageNotice       PageKind = "notice"       // a silence ends soon, a gap is ahead: nothing to acknowledge
)

// Page is one notification to one contact. Key is its dedup key: it goes with the page to the provider and is the same however often the
// page is tried, and by whichever channel.
type Page struct {
	Key      string   `json:"key"` // PageKey
	Project  string   `json:"project"`
	Alert    int64    `json:"alert"` // the number; 0 for a notice
	Kind     PageKind `json:"kind"`
	Contact  Contact  `json:"contact"`
	Content  Content  `json:"content"`
	Code     int      `json:"code,omitempty"`     // SMS: what the person puts before the letter of a reply, "1a"
	Previous *Receipt `json:"previous,omitempty"` // the same contact's message of this alert: to be updated in place, or answered in its thread
	Again    bool     `json:"again,omitempty"`    // an earlier try may have sent it: look at the provider first
}

// Content is what a page says, as plain text of users: each channel escapes what it must.
type Content struct {
	Title    string            `json:"title"`
	Lines    []string          `json:"lines,omitempty"` // of the firing keys, at most MaxLines
	More     int               `json:"more,omitempty"`  // firing keys beyond Lines
	Severity Severity          `json:"severity,omitempty"`
	Status   Status            `json:"status,omitempty"`
	By       string            `json:"by,omitempty"` // who acknowledged or closed it
	Labels   map[string]string `json:"labels,omitempty"`
	Firing   int               `json:"firing,omitempty"`
	Drill    bool              `json:"drill,omitempty"` // every channel says so first
	At       time.Time         `json:"at"`
}

// MaxLines bounds what a page lists.
const MaxLines = 10

// Delivery is how far a page came.
//
//	state      event                                                     next state
//	-          the decision to send it                                   sending
//	sending    the provider took it                                      sent
//	sending    the provider refused it for good                          failed
//	sent       the provider's receipt says that it arrived               delivered
//	sent       the receipt says that it cannot, or none comes in time    failed
//	delivered  -
type Delivery string

// The states of a page.
const (
	Sending   Delivery = "sending"
	Sent      Delivery = "sent"
	Delivered Delivery = "delivered"
	Failed    Delivery = "failed"
	Skipped   Delivery = "skipped" // not sent: silenced, a limit, the person is gone
)

// Receipt is what a channel said of a page.
type Receipt struct {
	Channel Channel   `json:"channel"`
	ID      string    `json:"id"` // Twilio's message SID, Slack's channel/ts, the Message-ID of a mail
	State   Delivery  `json:"state"`
	Message string    `json:"message,omitempty"` // the provider's words, for a failure
	Confirm bool      `json:"confirm,omitempty"` // the channel tells later whether it arrived
	At      time.Time `json:"at"`
}

// PageRow is a page as the store keeps it: one for each key and contact.
type PageRow struct {
	Key      string    `json:"key"`
	Project  string    `json:"project"`
	Alert    int64     `json:"alert"`
	Person   string    `json:"person,omitempty"`
	Channel  Channel   `json:"channel"`
	Contact  string    `json:"contact"` // the contact's id, or the target's address
	Kind     PageKind  `json:"kind"`
	State    Delivery  `json:"state"`
	Receipt  string    `json:"receipt,omitempty"`
	Message  string    `json:"message,omitempty"`
	Code     int       `json:"code,omitempty"`
	BeganAt  time.Time `json:"began_at"`
	UpdateAt time.Time `json:"updated_at"`
}
