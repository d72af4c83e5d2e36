// Package inbox is what people would have received from the sandbox's channels, in the order of time, and how they answer: a page for
// people and routes for tests. Nothing leaves the machine.
//
// A channel puts a message here in the commit in which it delivers it, so one that was accepted and lost is not here. What a person does
// with it is the channel's: Replier, Presser. Only internal/sandbox and the packages of channels below it import it.
package inbox

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Name is the provider under which messages and people are in the world.
const Name = "inbox"

// Kinds of resources.
const (
	kindMessage = "message"
	kindPerson  = "person"
)

// The channels.
const (
	Email = "email"
	SMS   = "sms"
	Slack = "slack"
)

// Message is one message as its recipient has it.
type Message struct {
	ID       string   `json:"id"` // the channel's name, "-", and the provider's id
	Channel  string   `json:"channel"`
	To       string   `json:"to"` // a mail address, a phone number, the id of a Slack member or channel
	Person   string   `json:"person,omitempty"`
	From     string   `json:"from,omitempty"`
	Subject  string   `json:"subject,omitempty"`
	Text     string   `json:"text"`
	Links    []Link   `json:"links,omitempty"`
	Buttons  []Button `json:"buttons,omitempty"`
	Mentions []string `json:"mentions,omitempty"` // of everybody in a channel, and the like: what wakes more people than the recipient
	Key      string   `json:"key,omitempty"`      // the sender's, by which it knows a repetition
	Thread   string   `json:"thread,omitempty"`   // the message that it answers
	Private  bool     `json:"private,omitempty"`  // seen by Person alone, in a channel of many
	Edits    int      `json:"edits,omitempty"`    // how often the sender replaced it
	Actions  []Action `json:"actions,omitempty"`

	ReceivedAt time.Time `json:"received_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// Link is one that can be clicked.
type Link struct {
	Label string `json:"label,omitempty"`
	URL   string `json:"url"`
}

// Button is one that can be pressed.
type Button struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	Block string `json:"block,omitempty"`
	Value string `json:"value,omitempty"`
	Style string `json:"style,omitempty"`
}

// Action is what a person did with a message, and what came of it.
type Action struct {
	At     time.Time `json:"at"`
	Text   string    `json:"text"`             // the reply, or the button's label
	Result string    `json:"result,omitempty"` // what the platform said to it; empty: not yet
}

func (m Message) ref() world.Ref { return world.Ref{Provider: Name, Kind: kindMessage, ID: m.ID} }

// Put writes a message, new or not, for whoever its address is of.
func Put(tx *world.Tx, m Message) error {
	if m.Person == "" {
		person, err := Owner(tx, m.Channel, m.To)
		if err != nil {
			return err
		}
		m.Person = person.Name
	}
	return tx.Put(m.ref(), world.Meta{Name: m.To, Parent: m.Person}, m)
}

// Get reads a message. world.ErrNotFound if there is none.
func Get(tx *world.Tx, id string) (Message, error) {
	return world.Get[Message](tx, Message{ID: id}.ref())
}

// Act notes down what a person does with a message.
func Act(tx *world.Tx, id string, action Action) error {
	m, err := Get(tx, id)
	if err != nil {
		return err
	}
	m.Actions = append(m.Actions, action)
	return Put(tx, m)
}

// Settle notes down what came of the last action with a message.
func Settle(tx *world.Tx, id, result string) error {
	m, err := Get(tx, id)
	if err != nil || len(m.Actions) == 0 {
		return err
	}
	m.Actions[len(m.Actions)-1].Result = result
	return Put(tx, m)
}

// Last reads the newest n messages, to that address or person if it is not empty, oldest first.
func Last(tx *world.Tx, to string, n int) ([]Message, error) {
	ref := Message{}.ref()
	if to == "" {
		return world.Newest[Message](tx, ref, "", n)
	}
	mine, err := world.Children[Message](tx, world.Ref{Provider: ref.Provider, Kind: ref.Kind, ID: to})
	if err == nil && len(mine) == 0 {
		return world.Newest[Message](tx, ref, to, n)
	}
	return mine[max(0, len(mine)-n):], err
}

// Person is somebody who has addresses.
type Person struct {
	Name  string `json:"name"` // lower-case letters and digits
	Email string `json:"email"`
	Phone string `json:"phone"` // +E.164
}

// Member is the person's id in the Slack workspace.
func (p Person) Member() string {
	return "U" + strings.Repeat("0", max(0, 10-len(p.Name))) + strings.ToUpper(p.Name)
}

// Everybody are the people that the sandbox has from the beginning. Their numbers are of those that Ofcom keeps for drama.
var everybody = []Person{
	{Name: "ana", Email: "ana@example.com", Phone: "+447700900101"},
	{Name: "bob", Email: "bob@example.com", Phone: "+447700900102"},
	{Name: "carol", Email: "carol@example.com", Phone: "+447700900103"},
}

// validate says what is wrong with a person to be added.
func (p Person) validate() error {
	plain := func(r rune) bool { return r < '0' || r > '9' && r < 'a' || r > 'z' }
	if p.Name == "" || len(p.Name) > 10 || strings.ContainsFunc(p.Name, plain) {
		return fmt.Errorf("name %q is not up to ten lower-case letters and digits", p.Name)
	}
	if !strings.Contains(p.Email, "@") || !strings.HasPrefix(p.Phone, "+") {
		return fmt.Errorf("%s needs an email with @ and a phone that begins with +", p.Name)
	}
	return nil
}

// Add makes somebody known.
func Add(tx *world.Tx, p Person) error {
	if err := p.validate(); err != nil {
		return err
	}
	return tx.Put(world.Ref{Provider: Name, Kind: kindPerson, ID: p.Name}, world.Meta{Name: p.Name}, p)
}

// People are all that are known.
func People(tx *world.Tx) ([]Person, error) {
	added, err := world.List[Person](tx, world.Ref{Provider: Name, Kind: kindPerson})
	return append(slices.Clone(everybody), added...), err
}

// Owner is the person whose address it is; one without a name if nobody's that is known.
func Owner(tx *world.Tx, channel, address string) (Person, error) {
	people, err := People(tx)
	if err != nil {
		return Person{}, err
	}
	for _, p := range people {
		if of := map[string]string{Email: p.Email, SMS: p.Phone, Slack: p.Member()}[channel]; strings.EqualFold(of, address) {
			return p, nil
		}
	}
	return Person{}, nil
}

// label is who a message is for, to people.
func (m Message) label() string { return cmp.Or(m.Person, m.To) }
