// Package ticket makes and checks short-lived signed permits: what the API hands to a caller so that a region's gateway,
// which knows no tokens and holds no secrets, lets that caller do a few named things for a minute.
//
// A ticket is an Ed25519-signed JWT. The API signs (Signer), the gateways check with the public half (Verifier), which
// they read from a JWKS document that may hold several keys, so that keys can be rotated. The package is not about who a
// caller is or what roles there are: that is internal/account and the API. The API and the gateway import it.
package ticket

import (
	"slices"
	"strings"
	"time"
)

// What tickets permit. A scope is "<verb>:<project>/<service>", where either part may be "*", or one of those that
// read: ReadReleases looks at a release, ReadInstances at the instances of all services of a region.
const (
	Call          = "call"
	Logs          = "logs"
	ReadReleases  = "releases:read"
	ReadInstances = "instances:read"
)

// EveryRegionOf is the audience of a ticket that holds in all regions of a platform. There is none for all platforms: what one
// gives out, no other takes.
func EveryRegionOf(platform string) string { return platform + "/" + every }

// every stands for all regions of a platform.
const every = "*"

// How long tickets live, and how far the clocks of the API and a gateway may be apart.
const (
	DefaultLife = time.Minute
	MaxLife     = 10 * time.Minute
	Leeway      = 5 * time.Second
)

// Limits of a ticket.
const (
	maxLength  = 8 << 10
	maxScopes  = 64
	maxRegions = 64
	maxName    = 256
)

// tokenType is the "typ" header of a ticket. It tells our tickets from the tokens that services themselves hand out.
const tokenType = "m3o-ticket"

// Ticket is what a permit says, once its signature has been checked.
type Ticket struct {
	ID      string
	Subject string
	Project string   // of the caller; empty for one who acts in every project
	Regions []string // in full, platform/name, or EveryRegionOf a platform
	Scopes  []string
	Expires time.Time
}

// Scope is the permit for one verb on one service. "*" stands for every project or every service.
func Scope(verb, project, service string) string { return verb + ":" + project + "/" + service }

// May reports whether the ticket permits the verb on the service.
func (t Ticket) May(verb, project, service string) bool {
	return slices.ContainsFunc(t.Scopes, func(scope string) bool { return covers(scope, verb, project, service) })
}

// Has reports whether the ticket holds the scope as it is written.
func (t Ticket) Has(scope string) bool { return slices.Contains(t.Scopes, scope) }

func covers(scope, verb, project, service string) bool {
	v, rest, ok := strings.Cut(scope, ":")
	if !ok || v != verb {
		return false
	}
	p, s, ok := strings.Cut(rest, "/")
	return ok && (p == "*" || p == project) && (s == "*" || s == service)
}
