// Package link makes and checks the signed links in mails: a permit for one person to do one thing to one alert, for a week.
//
// The worker that sends mails signs, the API verifies with the public half of the key. A link alone changes nothing: mail scanners follow
// links, so its page asks, and the answer acts.
package link

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/ticket"
)

// Life is how long a link is good.
const Life = 7 * 24 * time.Hour

// Path is where the API shows links, followed by the token.
const Path = "/v1/links/"

// tokenType is a link's type among what is signed.
const tokenType = "m3o-alert-link+jwt"

// Actions are the updates that a link may ask for.
var Actions = []string{alert.AcknowledgeUpdate, alert.ResolveUpdate}

// Link is what a link permits.
type Link struct {
	Project string
	Alert   int64
	Person  string // a user's name; empty for a mailing list
	Address string // that the mail went to
	Do      string // one of Actions
	Expires time.Time
}

type claims struct {
	jwt.RegisteredClaims
	Project string `json:"prj"`
	Alert   int64  `json:"alert"`
	Address string `json:"to"`
	Do      string `json:"do"`
}

// Signer makes links under the API's public URL.
type Signer struct {
	Key *ticket.Signer
	URL string // https://api.example.com
}

// Make signs a link, good for Life from now.
func (s Signer) Make(l Link, now time.Time) (string, error) {
	token, err := s.Key.SignClaims(tokenType, claims{Project: l.Project, Alert: l.Alert, Address: l.Address, Do: l.Do,
		RegisteredClaims: jwt.RegisteredClaims{Subject: l.Person, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(Life))}})
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(s.URL, "/") + Path + token, nil
}

// Verify returns what a token permits at that time. Its faults are for people: Denied for what we did not sign, Conflict for what has
// expired.
func Verify(keys ticket.Keys, token string, now time.Time) (Link, error) {
	var c claims
	err := keys.VerifyClaims(tokenType, token, &c, now)
	if errors.Is(err, jwt.ErrTokenExpired) {
		return Link{}, fault.Wrap(fault.Conflict, err, "this link has expired: links are good for 7 days")
	}
	if err != nil || c.Alert < 1 || c.Project == "" || !slices.Contains(Actions, c.Do) {
		return Link{}, fault.Wrap(fault.Denied, err, "this link is not valid: it was changed, or is not one of ours")
	}
	return Link{Project: c.Project, Alert: c.Alert, Person: c.Subject, Address: c.Address, Do: c.Do, Expires: c.ExpiresAt.Time}, nil
}
