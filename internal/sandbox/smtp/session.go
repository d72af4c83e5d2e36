package smtp

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// session is one connection, after its greeting.
type session struct {
	cloud *Cloud
	conn  *smtp.Conn
	known bool // the user has logged in
	from  string
	to    []string
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// AuthMechanisms implements smtp.AuthSession.
func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession.
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if err := s.misbehave(auth, user); err != nil {
			return err
		}
		got, want := sha256.Sum256([]byte(user+"\n"+password)), sha256.Sum256([]byte(s.cloud.Credentials.Username+"\n"+s.cloud.Credentials.Password))
		s.known = subtle.ConstantTimeCompare(got[:], want[:]) == 1
		if !s.known {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

// Mail implements smtp.Session.
func (s *session) Mail(sender string, _ *smtp.MailOptions) error {
	if !s.known {
		return refuse(530, smtp.EnhancedCode{5, 7, 0}, "Authentication required")
	}
	if err := s.misbehave(from, sender); err != nil {
		return err
	}
	s.from = sender
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.misbehave(rcpt, to, world.Undeliverable); err != nil {
		return err
	}
	if _, err := mail.ParseAddress(to); err != nil {
		return refuse(553, smtp.EnhancedCode{5, 1, 3}, "<"+to+"> is no address")
	}
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	target := strings.Join(s.to, " ")
	if err := s.misbehave(data, target); err != nil {
		return err
	}
	m, body, err := parse(raw)
	if err != nil {
		return refuse(554, smtp.EnhancedCode{5, 6, 0}, "This is no mail: "+err.Error())
	}
	m.ID, m.From, m.To, m.ReceivedAt = uuid.NewString(), s.from, s.to, s.cloud.World.Clock.Now()
	lost := false
	err = s.cloud.World.Update(context.Background(), func(tx *world.Tx) error {
		_, dropped, err := tx.TakeFault(Name, data, target, world.Dropped)
		if err == nil {
			err = s.accept(tx, m, body, dropped)
		}
		if err == nil {
			_, lost, err = tx.TakeFault(Name, data, target, world.Lost)
		}
		return err
	})
	if err != nil {
		s.cloud.Logger.Error("sandbox: smtp: a mail was not kept", "error", err)
		return refuse(451, smtp.EnhancedCode{4, 3, 0}, "Local error, try again")
	}
	if lost {
		return s.hangUp()
	}
	s.note(data, 250)
	return nil
}

// accept keeps a mail, and brings it to its recipients.
func (s *session) accept(tx *world.Tx, m mailed, body content, dropped bool) error {
	if err := tx.Put(ref(m.ID), world.Meta{Name: strings.Join(m.To, " ")}, m); err != nil {
		return err
	}
	asked := m.ReceivedAt
	for _, to := range m.To {
		if err := tx.Record(world.Effect{Provider: Name, Operation: data, Kind: world.Sent, Resource: kindMail, ID: m.ID, Name: to, Key: m.Key,
			RequestedAt: &asked}); err != nil {
			return err
		}
		if dropped {
			continue
		}
		if err := inbox.Put(tx, inbox.Message{ID: Name + "-" + m.ID, Channel: inbox.Email, To: to, From: body.from, Subject: m.Subject, Text: body.text,
			Links: body.links, Key: m.Key, Thread: body.thread, ReceivedAt: m.ReceivedAt, UpdatedAt: m.ReceivedAt}); err != nil {
			return err
		}
	}
	return nil
}

// misbehave carries out the faults of a command that show before anything is done, further ones of it among them.
func (s *session) misbehave(operation, target string, further ...string) error {
	slow, found, err := s.take(operation, target, world.Slow, world.Hang)
	if err == nil && found {
		s.wait(slow)
	}
	var fault world.Fault
	if err == nil {
		kinds := append([]string{world.Throttle, world.Busy, world.ServerError, world.Denied, world.LostBefore}, further...)
		fault, found, err = s.take(operation, target, kinds...)
	}
	if err != nil {
		return refuse(451, smtp.EnhancedCode{4, 3, 0}, "Local error, try again")
	}
	if !found && slow.Fault != world.Hang {
		return nil
	}
	return s.spoil(operation, target, fault.Fault)
}

// spoil puts a fault in SMTP's words. One without a name is what is left of a hang: nobody waits for an answer.
func (s *session) spoil(operation, target, fault string) error {
	switch fault {
	case world.Throttle:
		return s.refused(operation, refuse(450, smtp.EnhancedCode{4, 7, 1}, "Too many mails, try again later"))
	case world.Busy:
		return s.refused(operation, refuse(451, smtp.EnhancedCode{4, 3, 2}, "Service not available, try again later"))
	case world.ServerError:
		return s.refused(operation, refuse(554, smtp.EnhancedCode{5, 3, 0}, "Transaction failed"))
	case world.Undeliverable:
		return s.refused(operation, refuse(550, smtp.EnhancedCode{5, 1, 1}, "<"+target+">: no such user here"))
	case world.Denied:
		if operation == auth {
			return s.refused(operation, smtp.ErrAuthFailed)
		}
		return s.refused(operation, refuse(550, smtp.EnhancedCode{5, 7, 1}, "Not permitted to send"))
	}
	return s.hangUp()
}

func (s *session) refused(operation string, err error) error {
	var told *smtp.SMTPError
	if errors.As(err, &told) {
		s.note(operation, told.Code)
	}
	return err
}

// hangUp closes the connection without a word.
func (s *session) hangUp() error {
	_ = s.conn.Conn().Close() // it is to be gone
	return refuse(421, smtp.EnhancedCode{4, 4, 2}, "Connection lost")
}

func (s *session) take(operation, target string, kinds ...string) (fault world.Fault, found bool, err error) {
	err = s.cloud.World.View(context.Background(), func(tx *world.Tx) (err error) {
		fault, found, err = tx.TakeFault(Name, operation, target, kinds...)
		return err
	})
	return fault, found, err
}

// wait is for a fault that delays the answer.
func (s *session) wait(fault world.Fault) {
	wait := maxHang
	if fault.Fault == world.Slow {
		wait = fault.Wait()
	}
	select {
	case <-time.After(wait):
	case <-s.cloud.stopping:
	}
}

// note remembers a command, as other providers' requests are.
func (s *session) note(operation string, status int) {
	s.cloud.World.Requests.Add(world.Request{Provider: Name, Method: operation, Operation: operation, Status: status, At: s.cloud.World.Clock.Now()})
}

func refuse(code int, enhanced smtp.EnhancedCode, message string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: message}
}
