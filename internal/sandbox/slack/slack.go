// Package slack is a Slack workspace with one app in it, as the Web API shows it to the app's bot: messages to channels and people,
// replaced in place, with buttons; whoever presses one has Slack call the app's request URL, signed with the app's secret.
//
// Nothing is sent: what arrives is in the sandbox's inbox. Its members are the inbox's people. It knows no platform; where the request URL
// is, it is told. Only internal/sandbox and tests import it.
package slack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/budget"
	"github.com/m3o/platform/internal/sandbox/hooks"
	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Name is the provider's name in ledger, faults and state.
const Name = "slack"

// Kinds of resources.
const (
	kindMessage  = "message"
	kindDirect   = "direct"   // a conversation with one member that was opened
	kindResponse = "response" // an address for answers to an interaction
)

// The workspace and its app.
const (
	team    = "T00000M3O0"
	domain  = "m3o-sandbox"
	bot     = "U0M3OBOT00"
	botID   = "B0M3OBOT00"
	botName = "m3o"
	app     = "A0M3OAPP00"
)

// rooms are the workspace's channels, by name. The bot is in all of them.
var rooms = map[string]string{"general": "C0GENERAL0", "ops": "C00000OPS0", "alerts": "C0ALERTS00"}

// Credentials are the app's, as its file has them.
type Credentials struct {
	BotToken      string `json:"bot_token"`
	SigningSecret string `json:"signing_secret"`
}

// NewCredentials makes those of an app.
func NewCredentials() (Credentials, error) {
	secret := make([]byte, 40)
	_, err := rand.Read(secret)
	return Credentials{BotToken: "xoxb-" + hex.EncodeToString(secret[:24]), SigningSecret: hex.EncodeToString(secret[24:])}, err
}

// Config is what the workspace is made from.
type Config struct {
	World       *world.World
	Credentials Credentials
	// URL is the workspace's own base URL.
	URL string
	// RequestURL is where interactions are posted; empty: nowhere.
	RequestURL string
	Logger     *slog.Logger
}

// Cloud is one Slack workspace.
type Cloud struct {
	Config
	budget  *budget.Buckets
	client  *http.Client
	handler http.Handler
}

// New makes the workspace. Its state is whatever the world has.
func New(config Config) (*Cloud, error) {
	if config.Credentials.BotToken == "" || config.Credentials.SigningSecret == "" {
		return nil, errors.New("the sandbox's Slack needs a bot's token and a signing secret")
	}
	c := &Cloud{Config: config, budget: budget.NewBuckets(config.World.Clock), client: hooks.Client()}
	c.client.Timeout = patience
	c.handler = c.routes()
	return c, nil
}

// Name implements sandbox.Provider.
func (*Cloud) Name() string { return Name }

// Channel is the inbox's name of it.
func (*Cloud) Channel() string { return inbox.Slack }

// Operations implements sandbox.Provider.
func (*Cloud) Operations() []string {
	var names []string
	for _, m := range methods {
		names = append(names, m.name)
	}
	return names
}

// Faults are the ways in which it can misbehave.
func (*Cloud) Faults() []string {
	return []string{world.Throttle, world.ServerError, world.Denied, world.Lost, world.LostBefore, world.Slow, world.Hang, world.Undeliverable, world.Dropped}
}

// ServeHTTP implements http.Handler.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Run has nothing to do of its own accord.
func (c *Cloud) Run(ctx context.Context) error {
	<-ctx.Done()
	c.client.CloseIdleConnections()
	return nil
}

// message is a message as it is kept.
type message struct {
	Channel   string    `json:"channel"`
	TS        string    `json:"ts"`
	Text      string    `json:"text"`
	Blocks    []block   `json:"blocks,omitempty"`
	Thread    string    `json:"thread_ts,omitempty"`
	Metadata  *metadata `json:"metadata,omitempty"`
	Member    string    `json:"member,omitempty"` // who alone sees it
	ClientID  string    `json:"client_msg_id,omitempty"`
	Edits     int       `json:"edits,omitempty"`
	Dropped   bool      `json:"dropped,omitempty"`
	PostedAt  time.Time `json:"posted_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// metadata is what an app keeps with a message.
type metadata struct {
	Type    string         `json:"event_type"`
	Payload map[string]any `json:"event_payload"`
}

// key is the sender's of a message: "key" of its metadata.
func (m message) key() string {
	if m.Metadata == nil {
		return ""
	}
	key, _ := m.Metadata.Payload["key"].(string)
	return key
}

func (m message) id() string { return m.Channel + "-" + m.TS }

func ref(kind, id string) world.Ref { return world.Ref{Provider: Name, Kind: kind, ID: id} }

// conversation is a place that messages go to.
type conversation struct {
	id     string
	name   string       // of a channel
	member inbox.Person // of a direct conversation
}

// address is what the inbox calls it.
func (c conversation) address() string {
	if c.name != "" {
		return "#" + c.name
	}
	return c.member.Member()
}

// direct is the id of the conversation with a member.
func direct(member inbox.Person) string { return "D" + strings.TrimPrefix(member.Member(), "U") }

// find finds a conversation by its id, by a channel's name, or by a member's id.
func find(tx *world.Tx, what string) (conversation, error) {
	for name, id := range rooms {
		if what == id || strings.TrimPrefix(what, "#") == name {
			return conversation{id: id, name: name}, nil
		}
	}
	people, err := inbox.People(tx)
	for _, p := range people {
		if what == p.Member() || what == direct(p) {
			return conversation{id: direct(p), member: p}, nil
		}
	}
	if err != nil {
		return conversation{}, err
	}
	return conversation{}, failure("channel_not_found")
}

// post keeps a message and brings it where it is seen.
func (m message) post(tx *world.Tx, to conversation) error {
	if err := tx.Put(ref(kindMessage, m.id()), world.Meta{Name: to.address(), Parent: m.Channel}, m); err != nil || m.Dropped {
		return err
	}
	shown, err := inbox.Get(tx, inboxID(m))
	if err != nil && !errors.Is(err, world.ErrNotFound) {
		return err
	}
	m.show(&shown)
	shown.To, shown.Person = to.address(), to.member.Name
	if m.Member != "" {
		owner, err := inbox.Owner(tx, inbox.Slack, m.Member)
		if err != nil {
			return err
		}
		shown.Person, shown.Private = owner.Name, true
	}
	return inbox.Put(tx, shown)
}

func inboxID(m message) string { return Name + "-" + m.id() }

// newTS is the time of a new message in a channel, which tells it apart there.
func newTS(tx *world.Tx, channel string, at time.Time) (string, error) {
	for micro := at.UnixMicro(); ; micro++ {
		ts := fmt.Sprintf("%d.%06d", micro/1e6, micro%1e6)
		name, err := tx.NameOf(ref(kindMessage, message{Channel: channel, TS: ts}.id()))
		if err != nil || name == "" {
			return ts, err
		}
	}
}

// effect is a line of the ledger about a message.
func (m message) effect(kind, operation, to string, at time.Time) world.Effect {
	return world.Effect{Provider: Name, Operation: operation, Kind: kind, Resource: kindMessage, ID: m.id(), Name: to, Key: m.key(), Parent: m.Channel, RequestedAt: &at}
}
