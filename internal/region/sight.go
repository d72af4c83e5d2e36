package region

import (
	"strings"
	"time"
)

// Sight is how a region answers from outside, as whoever watches its gateway found last. It is no part of what the region's owner
// records.
type Sight struct {
	Well    bool      `json:"well"`
	Message string    `json:"message,omitempty"` // why it is not well
	Since   time.Time `json:"since"`             // when Well changed last
}

// Unseen says that the platform cannot see its regions at all: what it says of them and their services is from before.
type Unseen struct {
	Since time.Time `json:"since"`
	Why   string    `json:"why"`
}

func (u Unseen) String() string {
	return "the regions cannot be seen since " + u.Since.UTC().Format(time.DateTime) + " UTC: " + u.Why
}

// Outlook is what is seen of all regions, by their full names.
type Outlook struct {
	Sights map[string]Sight
	Unseen *Unseen // nil while they can be seen
}

// Overlay is the region with what is seen of it from outside: one that its owner has ready is degraded while its gateway does not
// answer. Whether services are placed there stays the owner's to say.
func (o Outlook) Overlay(r Region) Region {
	sight, known := o.Sights[r.Spec.Key().String()]
	if !known || sight.Well || r.Status != Ready && r.Status != Degraded {
		return r
	}
	r.Status, r.Message = Degraded, strings.TrimSuffix(sight.Message+"; "+r.Message, "; ")
	return r
}
