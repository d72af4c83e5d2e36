package region

import (
	"fmt"
	"slices"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/yamlfile"
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
	Net                                writtenNetwork
}

// placed is a region and where it stands in the file ("platforms[0].regions[2].").
type placed struct {
	Spec
	at string
}

// ParsePlatform reads a platform file and returns the regions it asks for. What is left out of kubernetes stays so until a plan
// fills it in. What is wrong comes back as one Invalid fault that names every field: first whether it is written as it must be,
// then whether it makes sense.
func ParsePlatform(data []byte) ([]Spec, error) {
	root, err := yamlfile.Parse("the platform file", data, MaxFileBytes)
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
	var found []placed
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
		found = append(found, p.specs(&c, at)...)
	}
	c.Check(len(found) <= MaxRegions, "platforms", "%d regions are more than %d", len(found), MaxRegions)
	if len(found) <= MaxRegions {
		checkRanges(&c, found)
		checkNames(&c, found)
	}
	specs := make([]Spec, len(found))
	for i, p := range found {
		specs[i] = p.Spec
	}
	return specs, c.Problems()
}

// checkRanges says which regions' ranges overlap.
func checkRanges(c *fault.Checker, found []placed) {
	var claims []claim
	for _, p := range found {
		for _, mine := range claimed(p.Key(), p.CIDR) {
			other, overlaps := overlapping(claims, p.Key(), mine.prefix)
			c.Check(!overlaps, p.at+"cidr", "%q of region %s overlaps %q of region %s", p.CIDR, p.Key(), other.prefix, other.of)
			claims = append(claims, mine)
		}
	}
}

// checkNames says which regions would be one by the name of what is made for them, at any limit that a cloud may have. Only a name that
// contains another's hash can be: an account would take the one's things for a stranger's of that name.
func checkNames(c *fault.Checker, found []placed) {
	owners := map[string]Key{}
	for _, p := range found {
		clash := Key{}
		name := p.Key().ResourceName()
		for limit := MinName; limit <= max(MinName, len(name)); limit++ {
			cut := CutName(limit, name)
			if other, taken := owners[cut]; taken && other != p.Key() {
				clash = other
			}
			owners[cut] = p.Key()
		}
		c.Check(clash == Key{}, p.at+"name", "what is made for region %s would have a name of what is made for region %s, where a cloud cuts names: call it otherwise", p.Key(), clash)
	}
}

func (p platform) specs(c *fault.Checker, at string) []placed {
	c.Check(len(p.Regions) > 0, at+"regions", "at least one region must be listed")
	var specs []placed
	names := map[string]bool{}
	for i, e := range p.Regions {
		s := e.spec(p)
		here := fmt.Sprintf("%sregions[%d].", at, i)
		c.Check(!names[s.Name], here+"name", "%q names two regions", s.Name)
		names[s.Name] = true
		found := append(s.Problems(here), e.Kubernetes.problems(here+"kubernetes.")...)
		found = append(found, e.Net.problems(here)...)
		if e.Name == "" && len(found) > 1 { // a name made of what is wrong is no problem of its own
			found = slices.DeleteFunc(found, func(p fault.Problem) bool { return p.Field == here+"name" })
		}
		c.Add(found...)
		specs = append(specs, placed{s, here})
	}
	return specs
}

func (e entry) spec(p platform) Spec {
	s := Spec{Platform: p.Name, Domain: p.Domain, Name: e.Name, Provider: Provider(e.Provider), Location: e.Region, Kubernetes: e.Kubernetes.spec(),
		Control: e.Control, Resource: e.Resource, Network: e.Network, Unenforced: Permission(e.Unenforced),
		CIDR: value(e.Net.cidr), NAT: NAT(value(e.Net.nat)), Access: restricting(value(e.Net.access))}
	if s.Provider == "do" {
		s.Provider = DigitalOcean
	}
	if s.Name == "" { // of the provider's one name: another spelling of it is no other region
		s.Name = string(s.Provider) + "-" + s.Location
	}
	return s
}
