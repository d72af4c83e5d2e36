package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// server is a mail server at a port.
type server struct {
	t     *testing.T
	world *world.World
	cloud *Cloud
	at    string
	trust *tls.Config
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newServer(t *testing.T) *server {
	t.Helper()
	certified := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(certified.Close)
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 1})
	must(t, err)
	cloud, err := New(Config{World: w, Credentials: Credentials{Username: "m3o", Password: "secret"}, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	answers := cloud.Server(&tls.Config{Certificates: certified.TLS.Certificates})
	served := make(chan error, 1)
	go func() { served <- answers.Serve(listener) }()
	t.Cleanup(func() {
		must(t, answers.Close())
		must(t, errors.Join(<-served, w.Close()))
	})
	return &server{t: t, world: w, cloud: cloud, at: listener.Addr().String(), trust: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}}
}

// send sends a mail as programs do: STARTTLS, log in, send.
func (s *server) send(to, text string) error {
	c, err := smtp.DialStartTLS(s.at, s.trust)
	if err != nil {
		return err
	}
	defer c.Close()
	c.CommandTimeout, c.SubmissionTimeout = 500*time.Millisecond, 500*time.Millisecond
	if err := c.Auth(sasl.NewPlainClient("", "m3o", "secret")); err != nil {
		return err
	}
	return c.SendMail("alerts@example.com", []string{to}, strings.NewReader(text))
}

const disk = "From: M3O <alerts@example.com>\r\nTo: ana@example.com\r\nSubject: =?utf-8?q?Disk_full_=E2=80=93_lon1?=\r\nMessage-ID: <1@m3o>\r\nX-M3O-Key: platform/7/trigger/1/ana\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"disk full on lon1=\r\n-a\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p><a href=\"http://127.0.0.1:8080/v1/alerts/links/x?a=1&amp;b=2\">Acknowledge <b>it</b></a></p>\r\n--b--\r\n"

func (s *server) inbox() (found []inbox.Message) {
	s.t.Helper()
	must(s.t, s.world.View(s.t.Context(), func(tx *world.Tx) (err error) {
		found, err = inbox.Last(tx, "ana@example.com", 10)
		if len(found) == 0 {
			found, err = inbox.Last(tx, "ana", 10)
		}
		return err
	}))
	return found
}

func (s *server) fault(f world.Fault) {
	s.t.Helper()
	f.Provider = Name
	must(s.t, f.Validate(s.cloud.Operations(), s.cloud.Faults()))
	must(s.t, s.world.Update(s.t.Context(), func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	}))
}

func refused(t *testing.T, what string, err error, code int) {
	t.Helper()
	var told *smtp.SMTPError
	if !errors.As(err, &told) || told.Code != code {
		t.Errorf("%s: got %v, want %d", what, err, code)
	}
}

func TestAMailArrives(t *testing.T) {
	s := newServer(t)
	must(t, s.send("ana@example.com", disk))
	got := s.inbox()
	if len(got) != 1 {
		t.Fatalf("ana has %+v", got)
	}
	m := got[0]
	if m.Person != "ana" || m.Subject != "Disk full – lon1" || m.Text != "disk full on lon1-a" || m.Key != "platform/7/trigger/1/ana" || m.From != "M3O <alerts@example.com>" {
		t.Errorf("ana has %+v", m)
	}
	if len(m.Links) != 1 || m.Links[0] != (inbox.Link{Label: "Acknowledge it", URL: "http://127.0.0.1:8080/v1/alerts/links/x?a=1&b=2"}) {
		t.Errorf("links %+v", m.Links)
	}
	effects, err := s.world.Effects(t.Context(), 0)
	must(t, err)
	if len(effects) != 1 || effects[0].Kind != world.Sent || effects[0].Name != "ana@example.com" || effects[0].Key != m.Key {
		t.Errorf("the ledger has %+v", effects)
	}
}

// TestAServerThatIsClosedBeforeItServesServesNothing: closing and serving may come in either order.
func TestAServerThatIsClosedBeforeItServesServesNothing(t *testing.T) {
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 1})
	must(t, err)
	defer w.Close()
	cloud, err := New(Config{World: w, Credentials: Credentials{Username: "m3o", Password: "secret"}, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := cloud.Server(&tls.Config{})
	must(t, s.Close())
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	select {
	case err := <-served:
		must(t, errors.Join(err, s.Close()))
	case <-time.After(10 * time.Second):
		t.Error("it waits for connections for ever")
	}
}

// TestOnlyTheUserSends: nobody without the password, and nobody logs in before STARTTLS.
func TestOnlyTheUserSends(t *testing.T) {
	s := newServer(t)
	c, err := smtp.DialStartTLS(s.at, s.trust)
	must(t, err)
	defer c.Close()
	refused(t, "a wrong password", c.Auth(sasl.NewPlainClient("", "m3o", "wrong")), 535)
	refused(t, "no password", c.SendMail("alerts@example.com", []string{"ana@example.com"}, strings.NewReader(disk)), 530)
	open, err := smtp.Dial(s.at)
	must(t, err)
	defer open.Close()
	must(t, open.Hello("localhost"))
	if offered, _ := open.Extension("AUTH"); offered {
		t.Error("it offers AUTH without TLS")
	}
}

func TestFaults(t *testing.T) {
	for _, one := range []struct {
		fault, operation string
		code             int
	}{{world.Throttle, "MAIL", 450}, {world.Busy, "DATA", 451}, {world.Busy, "RCPT", 451}, {world.ServerError, "DATA", 554}, {world.Denied, "AUTH", 535}, {world.Denied, "MAIL", 550},
		{world.Undeliverable, "", 550}} {
		s := newServer(t)
		s.fault(world.Fault{Fault: one.fault, Operation: one.operation})
		refused(t, one.fault, s.send("ana@example.com", disk), one.code)
		if len(s.inbox()) != 0 {
			t.Errorf("%s: it arrived", one.fault)
		}
		must(t, s.send("ana@example.com", disk)) // once
	}
}

func TestFaultsOfConnections(t *testing.T) {
	for fault, arrives := range map[string]int{world.Lost: 1, world.LostBefore: 0, world.Hang: 0} {
		s := newServer(t)
		s.fault(world.Fault{Fault: fault, Operation: "DATA"})
		if err := s.send("ana@example.com", disk); err == nil {
			t.Errorf("%s: the client heard that it was sent", fault)
		}
		if got := s.inbox(); len(got) != arrives {
			t.Errorf("%s: ana has %d", fault, len(got))
		}
	}
	s := newServer(t)
	s.fault(world.Fault{Fault: world.Dropped, Operation: "DATA"})
	must(t, s.send("ana@example.com", disk))
	if got := s.inbox(); len(got) != 0 {
		t.Errorf("dropped: ana has %d", len(got))
	}
	s.fault(world.Fault{Fault: world.Slow, Operation: "DATA", Delay: "200ms"})
	begun := time.Now()
	must(t, s.send("ana@example.com", disk))
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("slow: it took %s", took)
	}
}
