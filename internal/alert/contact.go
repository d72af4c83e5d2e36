package alert

import "time"

// Channel is a way to reach somebody.
type Channel string

// The channels.
const (
	Email   Channel = "email"
	SMS     Channel = "sms"
	Slack   Channel = "slack"
	Webhook Channel = "webhook" // never a person's: a target of policies alone
)

// Channels lists them.
var Channels = []Channel{Email, SMS, Slack, Webhook}

// ContactStatus is whether a contact can be used.
//
//	state     event                                       next state
//	-         added                                       pending
//	pending   the code that was sent there comes back     verified
//	verified  the provider says that it is no more        pending
type ContactStatus string

// The statuses of a contact.
const (
	ContactPending  ContactStatus = "pending"
	ContactVerified ContactStatus = "verified"
)

// Contact is one address of a person, or with an empty Person of a policy's target. Only verified ones are used for people.
type Contact struct {
	ID        string        `json:"id"`
	Person    string        `json:"person,omitempty"` // a user's name
	Channel   Channel       `json:"channel"`
	Address   string        `json:"address"` // name@host, +E.164, a Slack member or channel id or #name, a URL
	Status    ContactStatus `json:"status"`
	Message   string        `json:"message,omitempty"` // why it is pending again
	CreatedAt time.Time     `json:"created_at"`
}

// Notify is one line of how a person is paged: by which channel, and how long after the line before (the first: after the step began).
type Notify struct {
	Channel Channel  `json:"channel"`
	After   Duration `json:"after"`
}

// Person is who can be paged: a user that is active, with verified contacts, and what they chose. By is empty where they chose
// nothing: the rules' Notify holds then.
type Person struct {
	Name     string               `json:"name"`
	Contacts []Contact            `json:"contacts,omitempty"`
	By       map[Urgency][]Notify `json:"by,omitempty"`
}
