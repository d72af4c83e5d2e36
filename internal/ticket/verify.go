package ticket

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/m3o/platform/internal/fault"
)

// maxChecked bounds how many checked tickets a Verifier remembers.
const maxChecked = 8192

// Verifier checks tickets for one region. Its keys may be replaced at any time. It is safe for use by many goroutines.
//
// A ticket that was checked is remembered until it expires or the keys change, since a caller shows the same one for a
// minute and checking a signature costs more than the rest of a request.
type Verifier struct {
	region string // platform/name
	all    string // of its platform
	now    func() time.Time
	parser *jwt.Parser
	state  atomic.Pointer[checked]
}

type checked struct {
	keys    Keys
	mu      sync.RWMutex
	tickets map[[sha256.Size]byte]Ticket
}

// NewVerifier makes a verifier of tickets for the region, which is named in full: platform/name. Without keys it accepts nothing.
func NewVerifier(region string, keys Keys) *Verifier {
	platform, _, _ := strings.Cut(region, "/")
	v := &Verifier{region: region, all: EveryRegionOf(platform), now: time.Now}
	v.parser = jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(Leeway), jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return v.now() }))
	v.SetKeys(keys)
	return v
}

// SetKeys replaces the keys, and forgets which tickets were good.
func (v *Verifier) SetKeys(keys Keys) {
	v.state.Store(&checked{keys: keys, tickets: map[[sha256.Size]byte]Ticket{}})
}

// Looks reports whether the token claims to be a ticket, good or not, as against a token that a service hands out itself.
func Looks(token string) bool {
	head, rest, ok := strings.Cut(token, ".")
	if !ok || len(token) > maxLength || strings.Count(rest, ".") != 1 {
		return false
	}
	body, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return false
	}
	var header struct {
		Type string `json:"typ"`
	}
	return json.Unmarshal(body, &header) == nil && header.Type == tokenType
}

// Verify checks a ticket: its type, algorithm, signature, times, and that it is meant for this region. The error is an
// Unauthenticated fault whose message is safe to show.
func (v *Verifier) Verify(token string) (Ticket, error) {
	if len(token) > maxLength {
		return Ticket{}, fault.New(fault.Unauthenticated, "the ticket is longer than %d bytes", maxLength)
	}
	state := v.state.Load()
	sum := sha256.Sum256([]byte(token))
	if t, ok := state.find(sum); ok {
		if v.now().Before(t.Expires.Add(Leeway)) {
			return t, nil
		}
		return Ticket{}, fault.New(fault.Unauthenticated, "the ticket has expired: ask the API for a new one")
	}
	t, err := v.check(token, state.keys)
	if err != nil {
		return Ticket{}, err
	}
	state.remember(sum, t)
	return t, nil
}

func (v *Verifier) check(token string, keys Keys) (Ticket, error) {
	var c claims
	parsed, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != tokenType || t.Header["crit"] != nil {
			return nil, errors.New("not a ticket")
		}
		id, _ := t.Header["kid"].(string)
		key, ok := keys[id]
		if !ok {
			return nil, errUnknownKey
		}
		return key, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Ticket{}, fault.Wrap(fault.Unauthenticated, err, "the ticket has expired: ask the API for a new one")
	case errors.Is(err, errUnknownKey):
		return Ticket{}, fault.Wrap(fault.Unauthenticated, err, "the ticket is signed with a key that this region does not know")
	case err != nil || !parsed.Valid:
		return Ticket{}, fault.Wrap(fault.Unauthenticated, err, "the ticket is not valid")
	}
	return v.accept(c)
}

var errUnknownKey = errors.New("unknown key")

// accept checks what the signature does not say: that the claims keep the rules tickets are made by.
func (v *Verifier) accept(c claims) (Ticket, error) {
	if c.IssuedAt == nil || c.Subject == "" || c.ID == "" || len(c.Scopes) > maxScopes || len(c.Audience) > maxRegions {
		return Ticket{}, fault.New(fault.Unauthenticated, "the ticket is not complete")
	}
	if c.ExpiresAt.Sub(c.IssuedAt.Time) > MaxLife {
		return Ticket{}, fault.New(fault.Unauthenticated, "the ticket is made for longer than %s", MaxLife)
	}
	if !slices.Contains(c.Audience, v.region) && !slices.Contains(c.Audience, v.all) {
		return Ticket{}, fault.New(fault.Unauthenticated, "the ticket is for another region")
	}
	return Ticket{ID: c.ID, Subject: c.Subject, Project: c.Project, Regions: c.Audience, Scopes: c.Scopes, Expires: c.ExpiresAt.Time}, nil
}

func (c *checked) find(sum [sha256.Size]byte) (Ticket, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t, ok := c.tickets[sum]
	return t, ok
}

func (c *checked) remember(sum [sha256.Size]byte, t Ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tickets) >= maxChecked {
		clear(c.tickets)
	}
	c.tickets[sum] = t
}
