// Package twilio is a Twilio account with one phone number, as its REST API of 2010-04-01 shows it: messages go from queued to sent and
// delivered in scaled time, their status is called back with Twilio's signature, and people's replies are posted to the number's
// webhook.
//
// Nothing is sent: what arrives is in the sandbox's inbox. It knows no platform; where the number's webhook is, it is told. Only
// internal/sandbox and tests import it.
package twilio

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/sandbox/hooks"
	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Name is the provider's name in ledger, faults and state.
const Name = "twilio"

// Kinds of resources.
const (
	kindMessage = "message"
	kindTransit = "transit" // of a message that is to change its status
	kindOptOut  = "opt-out"
)

// Statuses of messages, as the API has them.
const (
	queued      = "queued"
	sent        = "sent"
	delivered   = "delivered"
	undelivered = "undelivered"
	received    = "received"
)

// How long things take there, before the time scale.
const (
	sending    = 800 * time.Millisecond // from queued to sent
	delivering = 2 * time.Second        // from sent to the carrier's receipt
)

// unreachable is Twilio's error of a handset that cannot be reached.
const unreachable = 30003

// Credentials are the account's, as its file has them.
type Credentials struct {
	AccountSID string `json:"account_sid"`
	AuthToken  string `json:"auth_token"`
	Number     string `json:"number"` // +E.164, that messages come from
}

// NewCredentials makes an account. Its number is one of those that Ofcom keeps for drama.
func NewCredentials() (Credentials, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return Credentials{}, err
	}
	return Credentials{AccountSID: "AC" + hex.EncodeToString(secret[:16]), AuthToken: hex.EncodeToString(secret[16:]), Number: "+447700900900"}, nil
}

// Config is what the account is made from.
type Config struct {
	World       *world.World
	Credentials Credentials
	// Webhook is where replies to the number are posted; empty: nowhere.
	Webhook string
	Logger  *slog.Logger
}

// Cloud is one Twilio account.
type Cloud struct {
	Config
	handler http.Handler
}

// New makes the account. Its state is whatever the world has.
func New(config Config) (*Cloud, error) {
	if config.Credentials.AccountSID == "" || config.Credentials.AuthToken == "" || config.Credentials.Number == "" {
		return nil, errors.New("the sandbox's Twilio needs an account SID, a token and a number")
	}
	c := &Cloud{Config: config}
	c.handler = c.routes()
	return c, nil
}

// Name implements sandbox.Provider.
func (*Cloud) Name() string { return Name }

// Channel is the inbox's name of it.
func (*Cloud) Channel() string { return inbox.SMS }

// Operations implements sandbox.Provider.
func (*Cloud) Operations() []string {
	var names []string
	for _, r := range routes {
		names = append(names, r.operation)
	}
	return names
}

// Faults are the ways in which it can misbehave.
func (*Cloud) Faults() []string {
	return []string{world.Throttle, world.ServerError, world.Denied, world.Lost, world.LostBefore, world.Slow, world.Hang, world.Undeliverable,
		world.Dropped, world.LateReceipt, world.OptedOut, world.Unverified}
}

// ServeHTTP implements http.Handler.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Run moves messages through their statuses and calls back, until ctx ends.
func (c *Cloud) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.deliver(ctx) })
	group.Go(func() error {
		return hooks.Caller{Provider: Name, World: c.World, Done: settle, Logger: c.Logger}.Run(ctx)
	})
	return group.Wait()
}

// message is a message as it is kept.
type message struct {
	SID       string    `json:"sid"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Body      string    `json:"body"`
	Direction string    `json:"direction"`
	Status    string    `json:"status"`
	ErrorCode int       `json:"error_code,omitempty"`
	Key       string    `json:"key,omitempty"`
	Callback  string    `json:"status_callback,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	SentAt    time.Time `json:"sent_at,omitzero"`
}

// transit is what a message is to become, and when.
type transit struct {
	SID    string    `json:"sid"`
	Due    time.Time `json:"due"`
	Status string    `json:"status"`
	// Fault is the fault that the message is under, and Wait what a late receipt waits for.
	Fault string        `json:"fault,omitempty"`
	Wait  time.Duration `json:"wait,omitempty"`
}

func ref(kind, id string) world.Ref { return world.Ref{Provider: Name, Kind: kind, ID: id} }

func putMessage(tx *world.Tx, m message) error {
	return tx.Put(ref(kindMessage, m.SID), world.Meta{Name: m.To}, m)
}

// effect is a line of the ledger about a message.
func (m message) effect(kind, operation string) world.Effect {
	asked := m.CreatedAt
	return world.Effect{Provider: Name, Operation: operation, Kind: kind, Resource: kindMessage, ID: m.SID, Name: m.To, Key: m.Key, State: m.Status,
		RequestedAt: &asked}
}

// newSID draws an id of a message.
func newSID() (string, error) {
	id := make([]byte, 16)
	_, err := rand.Read(id)
	return "SM" + hex.EncodeToString(id), err
}

// inboxID is a message's id in the inbox.
func inboxID(sid string) string { return Name + "-" + sid }

// arrive puts a message where its recipient sees it.
func (m message) arrive(tx *world.Tx, now time.Time) error {
	return inbox.Put(tx, inbox.Message{ID: inboxID(m.SID), Channel: inbox.SMS, To: m.To, From: m.From, Text: m.Body, Key: m.Key, ReceivedAt: now, UpdatedAt: now})
}
