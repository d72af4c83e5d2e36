// Package smtp is a mail server that takes mail for everybody and sends none: real SMTP with STARTTLS and AUTH, and what it takes is in the
// sandbox's inbox.
//
// It knows no platform. Only internal/sandbox and tests import it.
package smtp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// Name is the provider's name in ledger, faults and state.
const Name = "smtp"

// The operations: SMTP's commands.
const (
	auth = "AUTH"
	from = "MAIL"
	rcpt = "RCPT"
	data = "DATA"
)

const (
	maxMail       = 1 << 20
	maxRecipients = 50
	idle          = 5 * time.Minute
	// maxHang is how long the fault hang lasts at most: this server does not see that a caller has hung up meanwhile.
	maxHang = 5 * time.Minute
)

// Credentials are those of the one user.
type Credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// NewCredentials makes a user.
func NewCredentials() (Credentials, error) {
	secret := make([]byte, 16)
	_, err := rand.Read(secret)
	return Credentials{Username: "m3o", Password: hex.EncodeToString(secret)}, err
}

// Config is what the server is made from.
type Config struct {
	World       *world.World
	Credentials Credentials
	Logger      *slog.Logger
}

// Cloud is one mail server.
type Cloud struct {
	Config
	stopping chan struct{} // closed when it stops: nothing hangs on
}

// New makes the server. Its state is whatever the world has.
func New(config Config) (*Cloud, error) {
	if config.Credentials.Username == "" || config.Credentials.Password == "" {
		return nil, errors.New("the sandbox's mail server needs a user and a password")
	}
	return &Cloud{Config: config, stopping: make(chan struct{})}, nil
}

// Name implements sandbox.Provider.
func (*Cloud) Name() string { return Name }

// Channel is the inbox's name of it.
func (*Cloud) Channel() string { return inbox.Email }

// Operations implements sandbox.Provider.
func (*Cloud) Operations() []string { return []string{auth, from, rcpt, data} }

// Faults are the ways in which it can misbehave.
func (*Cloud) Faults() []string {
	return []string{world.Throttle, world.Busy, world.ServerError, world.Denied, world.Lost, world.LostBefore, world.Slow, world.Hang,
		world.Undeliverable, world.Dropped}
}

// Run has nothing to do of its own accord.
func (*Cloud) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Server answers SMTP, with STARTTLS by that certificate. A user logs in after STARTTLS alone.
func (c *Cloud) Server(secured *tls.Config) *Server {
	s := smtp.NewServer(smtp.BackendFunc(func(conn *smtp.Conn) (smtp.Session, error) { return &session{cloud: c, conn: conn}, nil }))
	s.Domain, s.TLSConfig = "localhost", secured
	s.MaxMessageBytes, s.MaxRecipients = maxMail, maxRecipients
	s.ReadTimeout, s.WriteTimeout = idle, time.Minute
	s.EnableSMTPUTF8 = true
	s.ErrorLog = slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug)
	return &Server{server: s, cloud: c}
}

// Server is go-smtp's, which ends at once: a client that is cut off tries again.
type Server struct {
	server *smtp.Server
	cloud  *Cloud
	stop   sync.Once
}

// Serve answers until the server is closed.
//
// The library closes the listeners that it knows of: one that begins to be served while the server is closed would be served for ever.
func (s *Server) Serve(l net.Listener) error {
	go func() {
		<-s.cloud.stopping
		_ = l.Close()
	}()
	err := s.server.Serve(l)
	select {
	case <-s.cloud.stopping:
		return nil
	default:
		return err
	}
}

// Shutdown closes the server. Nobody waits for it.
func (s *Server) Shutdown(context.Context) error { return s.Close() }

// Close ends all connections. The listener may be closed already.
func (s *Server) Close() error {
	s.stop.Do(func() { close(s.cloud.stopping) })
	if err := s.server.Close(); !errors.Is(err, net.ErrClosed) && !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

// mailed is a mail as it is kept.
type mailed struct {
	ID         string    `json:"id"`
	From       string    `json:"from"`
	To         []string  `json:"to"`
	Subject    string    `json:"subject"`
	MessageID  string    `json:"message_id"`
	Key        string    `json:"key,omitempty"`
	Raw        string    `json:"raw"`
	ReceivedAt time.Time `json:"received_at"`
}

const kindMail = "mail"

func ref(id string) world.Ref { return world.Ref{Provider: Name, Kind: kindMail, ID: id} }
