package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"net/mail"
	"regexp"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Limits of a person's contacts.
const (
	MaxContacts = 20
	maxAddress  = 254
)

var (
	phone       = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)
	slackMember = regexp.MustCompile(`^[UW][A-Z0-9]{6,20}$`)
)

// CheckContact reports what is wrong with a contact that a person adds.
func CheckContact(channel Channel, address string) error {
	var c fault.Checker
	switch channel {
	case Email:
		c.Check(isMail(address), "address", "%.80q is no address of the form name@host", address)
	case SMS:
		c.Check(phone.MatchString(address), "address", "%.80q is no phone number in E.164: + and 8 to 15 digits, such as +447700900123", address)
	case Slack:
		c.Check(slackMember.MatchString(address), "address", "%.80q is no Slack member id such as U012ABCDEF (in Slack: your profile, …, Copy member ID)", address)
	default:
		c.Check(false, "channel", "%.20q is none of email, sms and slack", channel)
	}
	return c.Err()
}

func isMail(address string) bool {
	parsed, err := mail.ParseAddress(address)
	return err == nil && parsed.Address == address && parsed.Name == "" && len(address) <= maxAddress && strings.IndexFunc(address, func(r rune) bool {
		return r <= ' ' || r == 0x7f
	}) < 0
}

// CheckNotify reports what is wrong with how a person wants to be paged. Low has no lines: low is never paged.
func CheckNotify(by map[Urgency][]Notify) error {
	var c fault.Checker
	for urgency, lines := range by {
		c.Check(urgency == High, "urgency", "%.40q has no lines of notification; there is high, and what is low is recorded and never paged", urgency)
		if urgency == High {
			checkNotify(&c, lines, string(urgency))
		}
	}
	return c.Err()
}

// Name is what keys of pages, rows and logs call a contact: its id, or of a policy's target the address. That of a webhook may hold a
// secret, so it is masked.
func (c Contact) Name() string {
	switch {
	case c.ID != "":
		return c.ID
	case c.Channel == Webhook:
		return c.Masked()
	}
	return c.Address
}

// Shown is the contact's address as the readers of a project's rules may see it: those of people are masked, and so are webhooks.
func (c Contact) Shown() string {
	if c.ID != "" {
		return c.Masked()
	}
	return c.Name()
}

// masked begins the path of a webhook's URL that is masked.
const masked = "/***"

// maskURL is a URL up to its host, and a digest that tells it from others. Workflows call it, so it leaves net/url alone.
func maskURL(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	host := rest
	if end := strings.IndexAny(rest, "/?#\\"); end >= 0 {
		host = rest[:end]
	}
	host = host[strings.LastIndex(host, "@")+1:]
	if host == "" {
		return "***"
	}
	sum := sha256.Sum256([]byte(text))
	return scheme + "://" + host + masked + hex.EncodeToString(sum[:4])
}

// Masked is the contact's address as others may see it: enough to know it again, too little to use.
func (c Contact) Masked() string {
	switch name, host, found := strings.Cut(c.Address, "@"); {
	case c.Channel == Webhook:
		return maskURL(c.Address)
	case c.Channel == Email && found:
		return firstOf(name) + "***@" + host
	case len(c.Address) > 6:
		return c.Address[:2] + "***" + c.Address[len(c.Address)-2:]
	}
	return "***"
}

func firstOf(name string) string {
	for _, r := range name {
		return string(r)
	}
	return ""
}
