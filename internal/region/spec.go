package region

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Spec is what the operator asks for: one region of the platform file. What the file leaves out of Kubernetes is filled in when
// the plan is made: by what is recorded of the region, else by its provider's defaults.
type Spec struct {
	Platform   string     `json:"platform"`
	Domain     string     `json:"domain"`
	Name       string     `json:"name"`
	Provider   Provider   `json:"provider"`
	Location   string     `json:"location"` // the provider's own name for the place ("lon1")
	Kubernetes Kubernetes `json:"kubernetes"`
	Control    []Part     `json:"control,omitempty"`
	Resource   []Part     `json:"resource,omitempty"`
	Network    []Part     `json:"network,omitempty"`
	Unenforced Permission `json:"unenforced,omitempty"`
	// CIDR is the private range of the region's network ("10.20.0.0/16"). What the file leaves out a plan fills in, with a range that no
	// other region has.
	CIDR string `json:"cidr,omitempty"`
	// NAT says how many ways out the nodes have, where the cloud lets it be chosen.
	NAT NAT `json:"nat,omitempty"`
	// Access are the ranges that reach the API server from outside, beside the region's own nodes and its cloud's workers. None
	// restricts nothing; 0.0.0.0/0 in the file is none.
	Access []string `json:"access_cidrs,omitempty"`
}

// NAT is how the private nodes of a region reach the world.
type NAT string

// The choices. Nothing is Single.
const (
	SingleNAT  NAT = "single"   // one way out for the region: a zone that fails can take it along
	PerZoneNAT NAT = "per-zone" // one in each zone, each at its own price
)

// Limits of a platform file.
const (
	MaxRegions = 100
	MaxNodes   = 512
)

// parts are those that one list of a region can name, and those of them that this version runs.
type parts struct {
	field      string
	known, can []Part
}

// What this version runs; the rest is refused by name, never ignored.
var (
	providers     = []Provider{AWS, GCP, Azure, DigitalOcean}
	controlParts  = parts{field: "control", known: []Part{ControlAPI, Web}}
	resourceParts = parts{field: "resource", known: []Part{Etcd, NATS, CockroachDB}, can: []Part{Etcd, NATS, CockroachDB}}
	networkParts  = parts{field: "network", known: []Part{API, Network}, can: []Part{API}}
)

var (
	label  = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`)
	domain = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	slug   = regexp.MustCompile(`^[a-z0-9][-_.a-z0-9]{0,62}$`)
)

// LabelRule is the sentence that explains what a name must look like.
const LabelRule = "must be a DNS label: lower-case letters, digits and hyphens, beginning with a letter, at most 40 characters"

// maxLabel is how long a label may be: with it the tags and descriptions of every cloud hold the owner's mark.
const maxLabel = 40

// IsLabel reports whether s can name a platform, a region, a project or a service.
func IsLabel(s string) bool { return label.MatchString(s) }

// Key names the region.
func (s Spec) Key() Key { return Key{Platform: s.Platform, Name: s.Name} }

// Wants reports whether the part is to run in the region.
func (s Spec) Wants(p Part) bool {
	return slices.Contains(s.Resource, p) || slices.Contains(s.Network, p)
}

// Problems says everything that is wrong with the spec, at once, but for Kubernetes: whether it leaves something out can be told
// as it is written alone. The fields are prefixed with at ("regions[2].").
func (s Spec) Problems(at string) []fault.Problem {
	var c fault.Checker
	c.Check(len(s.Name) <= maxLabel, at+"name", "%.60q has %d characters: at most %d characters fit the labels and names of what %s makes for a region", s.Name, len(s.Name), maxLabel, s.Provider)
	c.Check(len(s.Name) > maxLabel || IsLabel(s.Name), at+"name", "%q %s", s.Name, LabelRule)
	c.Check(slices.Contains(providers, s.Provider), at+"provider", "%s", unknownProvider(s.Provider))
	c.Check(slug.MatchString(s.Location), at+"region", "%q is not the name of a location", s.Location)
	controlParts.check(&c, at, s.Control)
	resourceParts.check(&c, at, s.Resource)
	networkParts.check(&c, at, s.Network)
	c.Check(!s.Wants(API) || s.Wants(Etcd), at+"network", "\"api\" needs \"etcd\" in resource: the gateway finds services there")
	c.Check(s.Unenforced == "" || s.Unenforced == Allow, at+"unenforced", "%q is not %q, the only choice there is; leave it out to refuse a cluster that does not enforce NetworkPolicy", s.Unenforced, Allow)
	c.Add(s.networkProblems(at)...)
	return c.Problems()
}

func (p parts) check(c *fault.Checker, at string, got []Part) {
	seen := map[Part]bool{}
	for i, part := range got {
		here := fmt.Sprintf("%s%s[%d]", at, p.field, i)
		c.Check(!seen[part], here, "%q is listed twice", part)
		c.Check(slices.Contains(p.can, part), here, "%s", p.refusal(part))
		seen[part] = true
	}
}

// refusal says why a part cannot run where it is listed.
func (p parts) refusal(part Part) string {
	for _, other := range []parts{controlParts, resourceParts, networkParts} {
		if other.field != p.field && slices.Contains(other.known, part) {
			return fmt.Sprintf("%q belongs in %s; the parts of %s are %s", part, other.field, p.field, quoted(p.known))
		}
	}
	switch {
	case !slices.Contains(p.known, part):
		return fmt.Sprintf("%q is not a part; the parts of %s are %s%s", part, p.field, quoted(p.known), fault.DidYouMean(string(part), texts(p.known)))
	case len(p.can) == 0:
		return fmt.Sprintf("this version cannot run %q here; leave the list out", part)
	}
	return fmt.Sprintf("this version cannot run %q here; it can run %s", part, quoted(p.can))
}

func unknownProvider(p Provider) string {
	return fmt.Sprintf("%q is not a provider; known are %s (\"do\" for short)%s", p, quoted(providers), fault.DidYouMean(string(p), append(texts(providers), "do")))
}

func quoted[S ~string](list []S) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", string(s))
	}
	return strings.Join(out, ", ")
}

func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}
