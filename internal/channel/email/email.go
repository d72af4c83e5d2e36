// Package email is the channel that sends mails by SMTP.
//
// A mail has the page as plain text and as HTML, and links by which its reader acknowledges or resolves. SMTP cannot tell whether a mail
// was sent before; the Message-ID follows from the page's key, so that mailboxes take a second copy for the same mail.
package email

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/fault"
)

// KeyHeader carries the page's key.
const KeyHeader = "X-M3O-Key"

// Config is a mail server and how we appear there.
type Config struct {
	Server   string // host:port. Port 465 speaks TLS from the first byte; others must offer STARTTLS, unless they are on the loopback
	From     string // M3O <alerts@example.com>
	User     string // empty: no authentication
	Password string
	Roots    *x509.CertPool // authorities of the server's certificate; nil: the system's
	Links    func(p alert.Page, do string, at time.Time) (string, error)
}

// Adapter implements channel.Adapter. It is safe for concurrent use.
type Adapter struct {
	Config
	host   string
	port   int
	from   *mail.Address
	domain string
	turns  chan struct{}
}

// atOnce bounds the connections to the server: servers refuse clients that open many.
const atOnce = 10

// New checks the configuration.
func New(c Config) (*Adapter, error) {
	a := &Adapter{Config: c, turns: make(chan struct{}, atOnce)}
	var check fault.Checker
	host, port, err := net.SplitHostPort(c.Server)
	a.host = host
	a.port, _ = strconv.Atoi(port)
	check.Check(err == nil && host != "" && a.port > 0 && a.port < 1<<16, "server", "%.80q is not of the form host:port", c.Server)
	a.from, err = mail.ParseAddress(c.From)
	check.Check(err == nil, "from", "%.80q is no sender such as M3O <alerts@example.com>", c.From)
	check.Check(c.User == "" || c.Password != "", "password", "is missing for user %.40q", c.User)
	if err := check.Err(); err != nil {
		return nil, err
	}
	_, a.domain, _ = strings.Cut(a.from.Address, "@")
	return a, nil
}

// Send implements channel.Adapter.
func (a *Adapter) Send(ctx context.Context, p alert.Page) (alert.Receipt, error) {
	view, err := a.view(p, time.Now())
	if err != nil {
		return alert.Receipt{}, err
	}
	m, err := a.compose(p.Contact.Address, channel.Headline(p), p.Key+" "+p.Contact.ID)
	if err != nil {
		return alert.Receipt{}, err
	}
	m.SetGenHeader(KeyHeader, channel.Line(p.Key, 300))
	if p.Alert > 0 { // mails of one alert are one conversation
		thread := fmt.Sprintf("<alert-%d@%s>", p.Alert, a.domain)
		m.SetGenHeader(gomail.HeaderInReplyTo, thread)
		m.SetGenHeader(gomail.HeaderReferences, thread)
	}
	if err := errors.Join(m.SetBodyTextTemplate(textBody, view), m.AddAlternativeHTMLTemplate(htmlBody, view)); err != nil {
		return alert.Receipt{}, fmt.Errorf("render a mail: %w", err)
	}
	return a.deliver(ctx, m, p.Contact.Address)
}

// Tell implements channel.Adapter.
func (a *Adapter) Tell(ctx context.Context, t alert.Text) (alert.Receipt, error) {
	m, err := a.compose(t.To, channel.Line(t.Subject, channel.MaxTitle), t.Key)
	if err != nil {
		return alert.Receipt{}, err
	}
	m.SetGenHeader(KeyHeader, channel.Line(t.Key, 300))
	m.SetBodyString(gomail.TypeTextPlain, t.Text+"\n")
	return a.deliver(ctx, m, t.To)
}

// compose makes a mail with its headers.
func (a *Adapter) compose(to, subject, key string) (*gomail.Msg, error) {
	address, err := mail.ParseAddress(to)
	if err != nil || strings.ContainsAny(to, "\r\n") {
		return nil, fault.New(fault.NotFound, "%.80q is no address that mail can be sent to: correct the contact", alert.Contact{Channel: alert.Email, Address: to}.Masked())
	}
	m := gomail.NewMsg()
	m.FromMailAddress(a.from)
	m.ToMailAddress(address)
	m.Subject(channel.Line(subject, channel.MaxTitle+80))
	m.SetDate()
	sum := sha256.Sum256([]byte(key))
	m.SetMessageIDWithValue(hex.EncodeToString(sum[:16]) + "@" + a.domain)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // so that no vacation notice answers (RFC 3834)
	return m, nil
}

// deliver hands a mail to the server. From the server's word on, it is sent: what happens to the connection after that is of no interest.
func (a *Adapter) deliver(ctx context.Context, m *gomail.Msg, to string) (alert.Receipt, error) {
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-ctx.Done():
		return alert.Receipt{}, fault.Wrap(fault.Unavailable, ctx.Err(), "the mail server %s is busy with earlier mails", a.Server)
	}
	err := a.converse(ctx, m)
	if !m.IsDelivered() {
		return alert.Receipt{}, a.classify(ctx, err, to)
	}
	return alert.Receipt{Channel: alert.Email, ID: m.GetMessageID(), State: alert.Sent, At: time.Now().UTC()}, nil
}

func (a *Adapter) converse(ctx context.Context, m *gomail.Msg) error {
	config := &tls.Config{ServerName: a.host, RootCAs: a.Roots, MinVersion: tls.VersionTLS12}
	var conn net.Conn
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		dialled, err := d.DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { dialled.Close() }) // a conversation with a server that is silent ends with ctx
		if conn = dialled; a.port == 465 {
			return tls.Client(conn, config), nil
		}
		return conn, nil
	}
	policy := gomail.TLSMandatory
	if loopback(a.host) && a.Roots == nil {
		policy = gomail.NoTLS
	}
	options := []gomail.Option{gomail.WithPort(a.port), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(config), gomail.WithDialContextFunc(dial),
		gomail.WithTimeout(channel.Deadline), gomail.WithHELO(a.domain), gomail.WithoutNoop()}
	if a.port == 465 {
		options = append(options, gomail.WithSSL())
	}
	if a.User != "" {
		options = append(options, gomail.WithUsername(a.User), gomail.WithPassword(a.Password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthCramMD5))
	}
	c, err := gomail.NewClient(a.host, options...)
	if err != nil {
		return err
	}
	session, err := c.DialToSMTPClientWithContext(ctx)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return err
	}
	return errors.Join(c.SendWithSMTPClient(session, m), session.Quit())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// classify says in fault's kinds what the server answered.
func (a *Adapter) classify(ctx context.Context, err error, to string) error {
	whole, to := to, alert.Contact{Channel: alert.Email, Address: to}.Masked() // who reads a project's alerts reads this
	var sending *gomail.SendError
	var reply *textproto.Error
	code, enhanced, words := 0, "", ""
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Unavailable, err, "the mail server %s did not answer in time", a.Server)
	case errors.As(err, &sending):
		said, _, _ := strings.Cut(sending.Error(), ", affected ") // what follows repeats the address
		code, enhanced, words = sending.ErrorCode(), sending.EnhancedStatusCode(), channel.Line(said, 200)
	case errors.As(err, &reply):
		code, words = reply.Code, channel.Line(reply.Msg, 200)
	}
	words = strings.ReplaceAll(words, whole, to)
	switch {
	case code == 535 || code == 530 || code == 534:
		return fault.Wrap(fault.Denied, err, "the mail server %s does not take our user and password (%d): check M3O_SMTP_USER and M3O_SMTP_PASSWORD_FILE", a.Server, code)
	case enhanced == "5.1.1" || enhanced == "5.1.2" || enhanced == "5.1.3" || enhanced == "5.1.6":
		return fault.Wrap(fault.NotFound, err, "there is no mailbox %s (%s): correct the contact", to, enhanced)
	case code >= 500:
		return fault.Wrap(fault.Failed, err, "the mail server %s refused the mail for good: %s", a.Server, words)
	case code >= 400:
		return fault.Wrap(fault.Unavailable, err, "the mail server %s does not take the mail for now: %s", a.Server, words)
	}
	var insecure *tls.CertificateVerificationError
	if errors.As(err, &insecure) || err != nil && strings.Contains(err.Error(), "STARTTLS") {
		return fault.Wrap(fault.Denied, err, "the mail server %s cannot be reached with TLS: %.200s", a.Server, err)
	}
	return fault.Wrap(fault.Unavailable, err, "the mail server %s cannot be reached", a.Server)
}
