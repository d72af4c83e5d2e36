package region

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// How large the range of a region's network may be, in bits of its prefix: adapters divide it.
const (
	widestRange   = 16
	narrowestBits = 20
)

// maxAccessRanges bounds access_cidrs. EKS takes 40 ranges and GKE 50, of which the NAT's addresses (3 at most) and the worker's own
// (M3O_EGRESS_CIDRS, 5 at most) are some.
const maxAccessRanges = 32

// privateRanges are those of RFC 1918.
var privateRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}

// sharedRange is that of carriers' NAT (RFC 6598).
var sharedRange = netip.MustParsePrefix("100.64.0.0/10")

// IsPublic reports whether somebody in the range can be seen by its addresses from outside. Clouds refuse others where they ask who may
// reach an API server.
func IsPublic(prefix netip.Prefix) bool {
	at := prefix.Addr()
	within := sharedRange.Contains(at) && prefix.Bits() >= sharedRange.Bits()
	return !within && !at.IsPrivate() && !at.IsLoopback() && !at.IsLinkLocalUnicast() && !at.IsMulticast()
}

// occupant is what a provider uses a range for in every region.
type occupant struct {
	prefix netip.Prefix
	use    string
}

// occupied are the ranges that a region's network must stay clear of: what its pods reach there, they do not reach in the network.
var occupied = map[Provider][]occupant{
	AWS: {{netip.MustParsePrefix("172.17.0.0/16"), "the bridge of its nodes"}},
	Azure: {{netip.MustParsePrefix("192.168.0.0/16"), "pods"}, {netip.MustParsePrefix("172.16.0.0/16"), "services"},
		{netip.MustParsePrefix("172.30.0.0/15"), "AKS itself"}}, // 172.30.0.0/16 and 172.31.0.0/16: "Configure Azure CNI networking in AKS"
	DigitalOcean: {{netip.MustParsePrefix("10.229.0.0/16"), "itself"}, {netip.MustParsePrefix("10.244.0.0/16"), "pods"},
		{netip.MustParsePrefix("10.245.0.0/16"), "services"}, {netip.MustParsePrefix("10.246.0.0/24"), "itself"}},
}

// unallotted are ranges that a plan gives no region of the provider, though one of them may be written. DigitalOcean keeps one /16 of
// them for itself in each of its data centres.
var unallotted = map[Provider][]netip.Prefix{
	DigitalOcean: {netip.MustParsePrefix("10.10.0.0/15"), netip.MustParsePrefix("10.12.0.0/14"), netip.MustParsePrefix("10.16.0.0/12"),
		netip.MustParsePrefix("10.32.0.0/12"), netip.MustParsePrefix("10.48.0.0/15")},
}

// rangeProblem says what is wrong with the range of the region's network, "" when nothing is.
func (s Spec) rangeProblem() string {
	prefix, err := netip.ParsePrefix(s.CIDR)
	switch {
	case err != nil || !prefix.Addr().Is4():
		return fmt.Sprintf("%q is not an IPv4 range such as \"10.20.0.0/16\"", s.CIDR)
	case prefix != prefix.Masked():
		return fmt.Sprintf("%q has host bits: write %q", s.CIDR, prefix.Masked())
	case prefix.Bits() < widestRange || prefix.Bits() > narrowestBits:
		return fmt.Sprintf("%q is a /%d; the range of a region is a /%d to a /%d", s.CIDR, prefix.Bits(), widestRange, narrowestBits)
	case !slices.ContainsFunc(privateRanges, prefix.Overlaps):
		return fmt.Sprintf("%q is not private: it must lie in %s, %s or %s (RFC 1918)", s.CIDR, privateRanges[0], privateRanges[1], privateRanges[2])
	}
	for _, o := range occupied[s.Provider] {
		if o.prefix.Overlaps(prefix) {
			return fmt.Sprintf("%q overlaps %s, which %s uses for %s", s.CIDR, o.prefix, s.Provider, o.use)
		}
	}
	return ""
}

// natProblem says why the provider cannot bring the NAT about, "" when it can.
func (s Spec) natProblem() string {
	switch {
	case s.NAT != SingleNAT && s.NAT != PerZoneNAT:
		return fmt.Sprintf("%q is neither %q nor %q%s", s.NAT, SingleNAT, PerZoneNAT, fault.DidYouMean(string(s.NAT), []string{string(SingleNAT), string(PerZoneNAT)}))
	case s.Provider == DigitalOcean:
		return fmt.Sprintf("%q: digitalocean has no NAT, its nodes have addresses of their own; leave it out", s.NAT)
	case s.NAT == PerZoneNAT && s.Provider == GCP:
		return fmt.Sprintf("%q is for aws alone: Cloud NAT is regional, and a zone that fails takes nothing along; leave it out", s.NAT)
	case s.NAT == PerZoneNAT && s.Provider == Azure:
		return fmt.Sprintf("%q is for aws alone: on azure a node pool lies in one subnet, which has one NAT gateway; leave it out", s.NAT)
	}
	return ""
}

// networkProblems says what is wrong with how the region's network and API server are reached.
func (s Spec) networkProblems(at string) []fault.Problem {
	var c fault.Checker
	if s.CIDR != "" {
		words := s.rangeProblem()
		c.Check(words == "", at+"cidr", "%s", words)
	}
	if s.NAT != "" {
		words := s.natProblem()
		c.Check(words == "", at+"nat", "%s", words)
	}
	c.Check(len(s.Access) <= maxAccessRanges, at+"access_cidrs", "%d ranges are more than %d", len(s.Access), maxAccessRanges)
	seen := map[string]bool{}
	for i, text := range s.Access[:min(len(s.Access), maxAccessRanges)] {
		here := fmt.Sprintf("%saccess_cidrs[%d]", at, i)
		c.Check(!seen[text], here, "%q is listed twice", text)
		seen[text] = true
		prefix, err := netip.ParsePrefix(text)
		if err != nil || !prefix.Addr().Is4() {
			c.Check(false, here, "%q is not an IPv4 range such as \"203.0.113.0/24\"", text)
			continue
		}
		c.Check(prefix == prefix.Masked(), here, "%q has host bits: write %q", text, prefix.Masked())
		c.Check(IsPublic(prefix), here, "%q is private: the API server is reached from outside, where nobody is seen by such an address; write what the range is seen by there", text)
		c.Check(prefix.Bits() > 0 || len(s.Access) == 1, here, "%q lets everybody in, whom the other ranges keep out: write it alone, or leave access_cidrs out", text)
	}
	return c.Problems()
}

// writtenNetwork is the network of a region as the platform file has it: nil is left out, which "" and [] are not.
type writtenNetwork struct {
	cidr, nat *string
	access    *[]string
}

func (w writtenNetwork) problems(at string) []fault.Problem {
	var c fault.Checker
	c.Check(w.cidr == nil || *w.cidr != "", at+"cidr", "\"\" is not an IPv4 range such as \"10.20.0.0/16\"")
	c.Check(w.nat == nil || *w.nat != "", at+"nat", "\"\" is neither %q nor %q", SingleNAT, PerZoneNAT)
	c.Check(w.access == nil || len(*w.access) > 0, at+"access_cidrs", "[] lets nobody in: list who may reach the API server, or leave it out to let everybody")
	return c.Problems()
}

// restricting are the ranges of access_cidrs as written, none where they are everything: a list that lets everybody in is the same as
// one that is left out.
func restricting(access []string) []string {
	if len(access) == 1 && access[0] == "0.0.0.0/0" {
		return nil
	}
	return access
}

// claim is a range that belongs to a region.
type claim struct {
	of     Key
	prefix netip.Prefix
}

func claimed(of Key, cidr string) []claim {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil
	}
	return []claim{{of, prefix}}
}

// overlapping finds the first claim of another region that overlaps the range.
func overlapping(claims []claim, of Key, prefix netip.Prefix) (claim, bool) {
	i := slices.IndexFunc(claims, func(c claim) bool { return c.of != of && c.prefix.Overlaps(prefix) })
	if i < 0 {
		return claim{}, false
	}
	return claims[i], true
}

// cidr is the range that the region has, or is about to have; "" when the cloud has not told yet, or nothing of it is left.
func (r Region) cidr() string {
	switch {
	case r.Status == Deleted || r.bare():
		return ""
	case r.Spec.CIDR != "":
		return r.Spec.CIDR
	}
	return r.Network.CIDR
}

// allot gives every region that is to be made a range, unless the file does: the first /16 that no region has, whosever it is. What
// the file says and somebody has is an obstacle.
func allot(steps []Step, wanted []Spec, have []Region) {
	var recorded, written []claim
	there := map[Key]bool{}
	for _, r := range have {
		there[r.Spec.Key()] = r.Status != Deleted && !r.bare()
		recorded = append(recorded, claimed(r.Spec.Key(), r.cidr())...)
	}
	for _, w := range wanted {
		written = append(written, claimed(w.Key(), w.CIDR)...)
	}
	for i := range steps {
		step := &steps[i]
		key := step.Region.Key()
		if step.Action == Delete || there[key] {
			continue
		}
		if step.Region.CIDR == "" {
			step.allot(append(slices.Clone(recorded), written...))
			written = append(written, claimed(key, step.Region.CIDR)...)
			continue
		}
		for _, mine := range claimed(key, step.Region.CIDR) {
			if other, overlaps := overlapping(recorded, key, mine.prefix); overlaps {
				step.Obstacles = append(step.Obstacles, Obstacle{Kind: string(fault.Invalid), Message: fmt.Sprintf(
					"cidr %s of region %s overlaps %s of region %s: choose another, or leave it out", step.Region.CIDR, key, other.prefix, other.of)})
			}
		}
	}
}

// allot gives the step's region the first range that is free.
func (s *Step) allot(taken []claim) {
	key := s.Region.Key()
	for _, n := range allotted() {
		candidate := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, n, 0, 0}), 16)
		_, overlaps := overlapping(taken, key, candidate)
		if !overlaps && !slices.ContainsFunc(unallotted[s.Region.Provider], candidate.Overlaps) {
			s.Region.CIDR = candidate.String()
			return
		}
	}
	s.Obstacles = append(s.Obstacles, Obstacle{Kind: string(fault.Invalid), Message: "no range of 10.0.0.0/8 that plans give is free: write cidr"})
}

// allotted are the second bytes of the ranges that plans give. What clouds take for themselves unasked lies between and above them.
func allotted() []byte {
	var all []byte
	for n := 1; n <= 219; n++ {
		if n <= 99 || n >= 140 {
			all = append(all, byte(n))
		}
	}
	return all
}

// everybody is what access_cidrs that are left out let in.
const everybody = "everybody"

// admitted is whom the ranges let in: their order means nothing.
func admitted(ranges []string) string {
	if len(ranges) == 0 {
		return everybody
	}
	sorted := slices.Clone(ranges)
	slices.Sort(sorted)
	return strings.Join(sorted, " ")
}
