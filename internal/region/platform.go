package region

import (
	"fmt"
	"slices"

	"github.com/m3o/platform/internal/fault"
)

// MaxFileBytes bounds a platform file.
const MaxFileBytes = 1 << 20

// file is the platform file as it is written; Spec is what it means.
type file struct{ Platforms []platform }

type platform struct {
	Name, Domain, GSLB, KV string
	Regions                []entry
}

type entry struct {
	Name, Provider, Region, Unenforced string
	Kubernetes                         writtenKubernetes
	Control, Resource, Network         []Part
}

// ParsePlatform reads a platform file and returns the regions it asks for. What is left out of kubernetes stays so until a plan
// fills it in. What is wrong comes back as one Invalid fault that names every field: first whether it is written as it must be,
// then whether it makes sense.
func ParsePlatform(data []byte) ([]Spec, error) {
	root, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	var f file
	var r reader
	r.platforms(root, &f)
	if err := r.err(); err != nil {
		return nil, err
	}
	specs, problems := f.specs()
	if err := fault.Problems(atMost(problems)); err != nil {
		return nil, err
	}
	return specs, nil
}

func (f file) specs() ([]Spec, []fault.Problem) {
	var c fault.Checker
	var specs []Spec
	c.Check(len(f.Platforms) > 0, "platforms", "at least one platform must be listed")
	names := map[string]bool{}
	for i, p := range f.Platforms {
		at := fmt.Sprintf("platforms[%d].", i)
		c.Check(IsLabel(p.Name), at+"name", "%q %s", p.Name, LabelRule)
		c.Check(!names[p.Name], at+"name", "%q names two platforms", p.Name)
		names[p.Name] = true
		c.Check(domain.MatchString(p.Domain), at+"domain", "%q is not a domain name", p.Domain)
		c.Check(p.GSLB == "", at+"gslb", "this version cannot run %q; leave it out", p.GSLB)
		c.Check(p.KV == "", at+"kv", "this version cannot run %q; leave it out", p.KV)
		specs = append(specs, p.specs(&c, at)...)
	}
	c.Check(len(specs) <= MaxRegions, "platforms", "%d regions are more than %d", len(specs), MaxRegions)
	return specs, c.Problems()
}

func (p platform) specs(c *fault.Checker, at string) []Spec {
	c.Check(len(p.Regions) > 0, at+"regions", "at least one region must be listed")
	var specs []Spec
	names := map[string]bool{}
	for i, e := range p.Regions {
		s := e.spec(p)
		here := fmt.Sprintf("%sregions[%d].", at, i)
		c.Check(!names[s.Name], here+"name", "%q names two regions", s.Name)
		names[s.Name] = true
		found := append(s.Problems(here), e.Kubernetes.problems(here+"kubernetes.")...)
		if e.Name == "" && len(found) > 1 { // a name made of what is wrong is no problem of its own
			found = slices.DeleteFunc(found, func(p fault.Problem) bool { return p.Field == here+"name" })
		}
		c.Add(found...)
		specs = append(specs, s)
	}
	return specs
}

func (e entry) spec(p platform) Spec {
	s := Spec{Platform: p.Name, Domain: p.Domain, Name: e.Name, Provider: Provider(e.Provider), Location: e.Region, Kubernetes: e.Kubernetes.spec(),
		Control: e.Control, Resource: e.Resource, Network: e.Network, Unenforced: Permission(e.Unenforced)}
	if s.Provider == "do" {
		s.Provider = DigitalOcean
	}
	if s.Name == "" { // of the provider's one name: another spelling of it is no other region
		s.Name = string(s.Provider) + "-" + s.Location
	}
	return s
}
