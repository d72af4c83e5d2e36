package region

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Spec is what the operator asks for: one region of the platform file, with all defaults filled in.
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
}

// Kubernetes is the managed cluster a region wants.
type Kubernetes struct {
	Version string `json:"version"` // a minor version: "1.34"
	Nodes   Nodes  `json:"nodes"`
}

// Nodes is the size of the cluster's node pool.
type Nodes struct {
	Count int    `json:"count"`
	Size  string `json:"size"` // the provider's own slug ("s-2vcpu-4gb")
}

// Limits of a platform file.
const (
	MaxRegions = 100
	MaxNodes   = 512
)

// supported holds what this version can run; what is missing is refused by name, never ignored.
var supported = struct {
	providers                  []Provider
	control, resource, network []Part
}{
	providers: []Provider{DigitalOcean},
	resource:  []Part{Etcd, NATS, CockroachDB},
	network:   []Part{API},
}

var (
	label  = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`)
	minor  = regexp.MustCompile(`^1\.[0-9]{1,2}$`)
	domain = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	slug   = regexp.MustCompile(`^[a-z0-9][-_.a-z0-9]{0,62}$`)
)

// LabelRule is the sentence that explains what a name must look like.
const LabelRule = "must be a DNS label: lower-case letters, digits and hyphens, beginning with a letter, at most 40 characters"

// IsLabel reports whether s can name a platform, a region, a project or a service.
func IsLabel(s string) bool { return label.MatchString(s) }

// Key names the region.
func (s Spec) Key() Key { return Key{Platform: s.Platform, Name: s.Name} }

// Wants reports whether the part is to run in the region.
func (s Spec) Wants(p Part) bool {
	return slices.Contains(s.Resource, p) || slices.Contains(s.Network, p)
}

// Problems says everything that is wrong with the spec, at once. The fields are prefixed with at ("regions[2].").
func (s Spec) Problems(at string) []fault.Problem {
	var c fault.Checker
	c.Check(IsLabel(s.Name), at+"name", "%q %s", s.Name, LabelRule)
	c.Check(slices.Contains(supported.providers, s.Provider), at+"provider", "%s", unknownProvider(s.Provider))
	c.Check(slug.MatchString(s.Location), at+"region", "%q is not the name of a location", s.Location)
	c.Check(minor.MatchString(s.Kubernetes.Version), at+"kubernetes.version", "%q is not a minor version such as \"1.34\"", s.Kubernetes.Version)
	n := s.Kubernetes.Nodes
	c.Check(n.Count >= 1 && n.Count <= MaxNodes, at+"kubernetes.nodes.count", "%d is not between 1 and %d", n.Count, MaxNodes)
	c.Check(slug.MatchString(n.Size), at+"kubernetes.nodes.size", "%q is not the name of a node size", n.Size)
	checkParts(&c, at+"control", s.Control, supported.control)
	checkParts(&c, at+"resource", s.Resource, supported.resource)
	checkParts(&c, at+"network", s.Network, supported.network)
	c.Check(!s.Wants(API) || s.Wants(Etcd), at+"network", "\"api\" needs \"etcd\" in resource: the gateway finds services there")
	return c.Problems()
}

func checkParts(c *fault.Checker, field string, got, can []Part) {
	seen := map[Part]bool{}
	for i, p := range got {
		at := fmt.Sprintf("%s[%d]", field, i)
		c.Check(!seen[p], at, "%q is listed twice", p)
		c.Check(slices.Contains(can, p), at, "%s", cannotRun(p, can))
		seen[p] = true
	}
}

func cannotRun(p Part, can []Part) string {
	if len(can) == 0 {
		return fmt.Sprintf("this version cannot run %q here; leave the list out", p)
	}
	return fmt.Sprintf("this version cannot run %q here; it can run %s%s", p, quoted(can), DidYouMean(string(p), texts(can)))
}

func unknownProvider(p Provider) string {
	known := []Provider{AWS, GCP, Azure, DigitalOcean}
	if slices.Contains(known, p) {
		return fmt.Sprintf("this version cannot run %q; it can run %s", p, quoted(supported.providers))
	}
	return fmt.Sprintf("%q is not a provider; known are %s (\"do\" for short)%s", p, quoted(known), DidYouMean(string(p), append(texts(known), "do")))
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
