package email_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
	"github.com/m3o/platform/internal/channel/channeltest"
	"github.com/m3o/platform/internal/channel/email"
	"github.com/m3o/platform/internal/fault"
)

// server is a mail server on the loopback.
type server struct {
	t        *testing.T
	smtp     *smtp.Server
	listener net.Listener
	address  string
	adapter  *email.Adapter

	mu       sync.Mutex
	mails    []received
	trouble  error         // of the next recipient
	refuse   error         // of the next mail's content
	lost     bool          // the next mail is taken, and the connection cut
	silent   chan struct{} // open: the next greeting of a mail waits for it
	password string        // that it demands of the user alerts
}

type received struct {
	to     string
	header mail.Header
	text   string
	html   string
}

func newServer(t *testing.T, change ...func(*server, *email.Config)) *server {
	s := &server{t: t}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.listener, s.address = listener, listener.Addr().String()
	s.smtp = smtp.NewServer(s)
	s.smtp.Domain, s.smtp.AllowInsecureAuth, s.smtp.ReadTimeout, s.smtp.WriteTimeout, s.smtp.ErrorLog = "mail.example.com", true, time.Minute, time.Minute, quiet{}
	c := email.Config{Server: s.address, From: "M3O <alerts@example.com>", Links: func(p alert.Page, do string, _ time.Time) (string, error) {
		return "https://api.example.com/v1/links/token-to-" + do, nil
	}}
	for _, f := range change {
		f(s, &c)
	}
	go s.smtp.Serve(listener)
	t.Cleanup(func() { s.smtp.Close() })
	s.adapter, err = email.New(c)
	must(t, err)
	return s
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	silent := s.silent
	s.silent = nil
	s.mu.Unlock()
	if silent != nil {
		<-silent
	}
	return &session{server: s, conn: c}, nil
}

type session struct {
	*server
	conn   *smtp.Conn
	to     string
	authed bool
}

func (s *session) AuthMechanisms() []string {
	if s.password == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "alerts" || password != s.password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Authentication credentials invalid"}
		}
		s.authed = true
		return nil
	}), nil
}

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.password != "" && !s.authed {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.trouble
	s.trouble, s.to = nil, to
	return err
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse; err != nil {
		s.refuse = nil
		return err
	}
	s.mails = append(s.mails, s.parse(raw))
	if s.lost {
		s.lost = false
		s.conn.Conn().Close()
	}
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// parse reads a mail as a mail program does.
func (s *session) parse(raw []byte) received {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		s.t.Errorf("the mail cannot be read: %v", err)
		return received{}
	}
	got := received{to: s.to, header: m.Header}
	kind, params, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if !strings.HasPrefix(kind, "multipart/") {
		body, _ := io.ReadAll(quotedprintable.NewReader(m.Body))
		got.text = string(body)
		return got
	}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if err != nil {
			return got
		}
		body, _ := io.ReadAll(part)
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			got.html = string(body)
		} else {
			got.text = string(body)
		}
	}
}

func (r received) subject() string {
	text, err := new(mime.WordDecoder).DecodeHeader(r.header.Get("Subject"))
	if err != nil {
		return err.Error()
	}
	return text
}

func (s *server) Adapter() channel.Adapter { return s.adapter }

func (s *server) Contact() alert.Contact {
	return alert.Contact{ID: "con_1", Person: "ana", Channel: alert.Email, Address: "ana@example.com", Status: alert.ContactVerified}
}

func (s *server) Sent() []channeltest.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sent []channeltest.Message
	for _, m := range s.mails {
		sent = append(sent, channeltest.Message{ID: m.header.Get("Message-Id"), To: m.to, Text: m.subject() + "\n" + m.text})
	}
	return sent
}

func (s *server) Next(trouble channeltest.Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch trouble {
	case channeltest.Refused:
		s.trouble = &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "we do not like you"}
	case channeltest.Gone:
		s.trouble = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<ana@example.com>: no such user"}
	case channeltest.Busy:
		s.trouble = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "try later"}
	case channeltest.Silent:
		s.silent = make(chan struct{})
		s.t.Cleanup(func() { close(s.silentOf()) })
	case channeltest.Lost:
		s.lost = true
	}
}

// silentOf is what a session waits for; it is closed at the end.
func (s *server) silentOf() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent != nil {
		return s.silent
	}
	return make(chan struct{})
}

func TestConformance(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Provider { return newServer(t) })
}

func paged(title string) alert.Page {
	return alert.Page{Key: "shop/12/trigger/1/ana", Project: "shop", Alert: 12, Kind: alert.PageTrigger, Contact: alert.Contact{ID: "con_1", Person: "ana", Channel: alert.Email, Address: "ana@example.com"},
		Content: alert.Content{Title: title, Severity: alert.Critical, Lines: []string{"db-1 is at 97 %", "db-2 <b>is</b> at 96 %"}, More: 3, Labels: map[string]string{"service": "shop"}}}
}

func TestAMailReadsAsTextAndAsHTML(t *testing.T) {
	s := newServer(t)
	receipt, err := s.adapter.Send(t.Context(), paged("disk full on höher <i>&"))
	must(t, err)
	m := s.mails[0]
	if m.subject() != "CRITICAL #12: disk full on höher <i>&" || m.header.Get("From") != `"M3O" <alerts@example.com>` || m.header.Get("Message-Id") != receipt.ID || receipt.Confirm {
		t.Errorf("it is %q from %s, %s; the receipt is %+v", m.subject(), m.header.Get("From"), m.header.Get("Message-Id"), receipt)
	}
	if m.header.Get(email.KeyHeader) != "shop/12/trigger/1/ana" || m.header.Get("Auto-Submitted") != "auto-generated" || m.header.Get("References") != "<alert-12@example.com>" {
		t.Errorf("its headers are %v", m.header)
	}
	for _, text := range []string{"- db-1 is at 97 %", "- and 3 more", "service=shop", "Acknowledge: https://api.example.com/v1/links/token-to-Acknowledge", "Resolve: https://api.example.com/v1/links/token-to-Resolve"} {
		if !strings.Contains(m.text, text) {
			t.Errorf("its text lacks %q: %s", text, m.text)
		}
	}
	for _, text := range []string{"db-2 &lt;b&gt;is&lt;/b&gt;", `href="https://api.example.com/v1/links/token-to-Acknowledge"`, "&lt;i&gt;&amp;"} {
		if !strings.Contains(m.html, text) {
			t.Errorf("its HTML lacks %q: %s", text, m.html)
		}
	}
	if strings.Contains(m.html, "<b>") || strings.Contains(m.html, "<script") {
		t.Errorf("its HTML has a stranger's marks: %s", m.html)
	}
}

// CRLF in a title makes no header, no recipient and no second mail.
func TestATitleInjectsNothing(t *testing.T) {
	s := newServer(t)
	p := paged("disk full\r\nBcc: all@example.com\r\nX-Evil: 1\r\n\r\nbody\r\n.\r\nMAIL FROM:<x@example.com>")
	p.Key = "shop/12/trigger/1/x\r\nX-Evil: 1"
	_, err := s.adapter.Send(t.Context(), p)
	must(t, err)
	if len(s.mails) != 1 || s.mails[0].header.Get("Bcc") != "" || s.mails[0].header.Get("X-Evil") != "" {
		t.Errorf("received are %v", s.mails)
	}
	for _, to := range []string{"ana@example.com\r\nRCPT TO:<all@example.com>", "not an address", ""} {
		p := paged("disk full")
		p.Contact.Address = to
		if _, err := s.adapter.Send(t.Context(), p); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q is sent to: %v", to, err)
		}
	}
	if len(s.mails) != 1 {
		t.Errorf("received are %v", s.mails)
	}
}

func TestWhatAMailServerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*server)
		kind   fault.Kind
		says   string
	}{
		"the content, for now":  {func(s *server) { s.refuse = &smtp.SMTPError{Code: 452, Message: "out of room"} }, fault.Unavailable, "for now"},
		"the content, for good": {func(s *server) { s.refuse = &smtp.SMTPError{Code: 554, Message: "spam"} }, fault.Failed, "for good"},
		"nobody listens":        {func(s *server) { must(s.t, s.listener.Close()) }, fault.Unavailable, "cannot be reached"},
	} {
		s := newServer(t)
		c.change(s)
		if _, err := s.adapter.Send(t.Context(), paged("disk full")); !fault.Is(err, c.kind) || !strings.Contains(fault.Message(err), c.says) || !strings.Contains(fault.Message(err), s.address) {
			t.Errorf("%s is %s: %v", name, fault.Of(err), err)
		}
	}
}

// What the server took is sent, whatever becomes of the connection.
func TestAMailThatWasTakenIsSent(t *testing.T) {
	s := newServer(t, func(s *server, _ *email.Config) { s.smtp.ReadTimeout = 50 * time.Millisecond }) // it hangs up instead of waiting for more
	if _, err := s.adapter.Send(t.Context(), paged("disk full")); err != nil || len(s.mails) != 1 {
		t.Errorf("%v; received are %d", err, len(s.mails))
	}
}

func TestAServerDemandsAPassword(t *testing.T) {
	for password, want := range map[string]fault.Kind{"right": "", "wrong": fault.Denied} {
		s := newServer(t, func(s *server, c *email.Config) { s.password, c.User, c.Password = "right", "alerts", password })
		_, err := s.adapter.Send(t.Context(), paged("disk full"))
		if (err != nil) != (want != "") || want != "" && (!fault.Is(err, want) || !strings.Contains(fault.Message(err), "M3O_SMTP_PASSWORD_FILE")) {
			t.Errorf("with the %s password: %v", password, err)
		}
		if err != nil && strings.Contains(err.Error(), password+"\"") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

// certificate is one for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	parsed, err := x509.ParseCertificate(der)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// Passwords and alerts do not go over a connection that others can read: a server without TLS, or with somebody else's certificate, gets
// nothing.
func TestTLSIsDemanded(t *testing.T) {
	own, roots := certificate(t)
	other, _ := certificate(t)
	for name, c := range map[string]struct {
		offers *tls.Certificate
		sent   bool
	}{"its own certificate": {&own, true}, "another's": {&other, false}, "no TLS": {nil, false}} {
		s := newServer(t, func(s *server, settings *email.Config) {
			s.password, settings.User, settings.Password, settings.Roots = "right", "alerts", "right", roots
			if c.offers != nil {
				s.smtp.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*c.offers}}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := s.adapter.Send(ctx, paged("disk full"))
		cancel()
		if (err == nil) != c.sent || len(s.mails) != map[bool]int{true: 1}[c.sent] || err != nil && !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v; received are %d", name, err, len(s.mails))
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, c := range []email.Config{{Server: "mail.example.com", From: "a@example.com"}, {Server: "mail.example.com:587", From: "nobody"}, {Server: ":25", From: "a@example.com"},
		{Server: "mail.example.com:587", From: "a@example.com", User: "alerts"}} {
		if _, err := email.New(c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v is taken: %v", c, err)
		}
	}
}
