package aws

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// clusterless is a region that has nothing yet.
var clusterless = region.Spec{Platform: "micro", Name: "euw1", Provider: region.AWS, Location: "eu-west-1"}

func TestARangeIsDividedAmongZones(t *testing.T) {
	for cidr, want := range map[string][]string{
		"10.20.0.0/16":  {"10.20.0.0/18", "10.20.64.0/18", "10.20.128.0/18", "10.20.192.0/20", "10.20.208.0/20", "10.20.224.0/20"},
		"10.20.16.0/20": {"10.20.16.0/22", "10.20.20.0/22", "10.20.24.0/22", "10.20.28.0/24", "10.20.29.0/24", "10.20.30.0/24"},
	} {
		all, err := layouts(cidr, []string{"a", "b", "c"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, l := range all {
			got = append(got, l.cidr)
			if l.public != (i >= 3) || l.zone != []string{"a", "b", "c"}[i%3] {
				t.Errorf("%s: subnet %d is %+v", cidr, i, l)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is divided into %v, want %v", cidr, got, want)
		}
		whole := netip.MustParsePrefix(cidr)
		for i, a := range got {
			if !whole.Contains(netip.MustParsePrefix(a).Addr()) {
				t.Errorf("%s is not in %s", a, cidr)
			}
			for _, b := range got[i+1:] {
				if netip.MustParsePrefix(a).Overlaps(netip.MustParsePrefix(b)) {
					t.Errorf("%s and %s overlap", a, b)
				}
			}
		}
	}
	for _, wrong := range []string{"", "10.0.0.0/21", "10.0.0.0/8", "2001:db8::/16", "10.0.0.0"} {
		if _, err := layouts(wrong, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is taken: %v", wrong, err)
		}
	}
}

func TestEqualRequestsHaveEqualTokens(t *testing.T) {
	request := func(tags region.Tags) any { return map[string]any{"name": "x", "tags": tags} }
	tags := clusterless.Key().Tags()
	first := *token("vpc-1", request(tags))
	if again := *token("vpc-1", request(clusterless.Key().Tags())); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	if other := *token("vpc-2", request(tags)); other == first {
		t.Error("a later network has the token of the first")
	}
	if len(first) > 64 {
		t.Errorf("%s is longer than EC2 takes", first)
	}
}

func TestPermissionsOfRolesAreLeast(t *testing.T) {
	for _, w := range principals {
		if w.name == nodeRole && slices.ContainsFunc(w.policies, func(p string) bool { return strings.Contains(p, "CNI") || strings.Contains(p, "EBS") }) {
			t.Errorf("nodes have %v: what runs on them can act on every interface or disk", w.policies)
		}
		if name := w.roleName(strings.Repeat("m", 94)); len(name) > roleNameLimit {
			t.Errorf("%s is longer than IAM takes", name)
		}
	}
}

func TestWhoHasAssumedARoleIsItsRole(t *testing.T) {
	for arn, want := range map[string]string{"arn:aws:sts::111122223333:assumed-role/m3o-worker/i-0abc": "m3o-worker", "arn:aws:iam::111122223333:user/ops/ada": "", "arn:aws:iam::111122223333:root": ""} {
		if name, assumed := assumedRole(arn); name != want || assumed != (want != "") {
			t.Errorf("%s is %q, %v", arn, name, assumed)
		}
	}
}

func TestAPIServersAreOpenToWhomTheyMustBe(t *testing.T) {
	p := &Provider{egress: []string{"198.51.100.7/32"}}
	spec := region.ClusterSpec{Network: region.Net{Egress: []string{"203.0.113.9"}}}
	if all, err := p.allowed(spec); err != nil || !slices.Equal(all, []string{everywhere}) {
		t.Errorf("unrestricted: %v, %v", all, err)
	}
	spec.Access = []string{"192.0.2.0/24"}
	if some, err := p.allowed(spec); err != nil || !slices.Equal(some, []string{"192.0.2.0/24", "198.51.100.7/32", "203.0.113.9/32"}) {
		t.Errorf("restricted: %v, %v", some, err)
	}
}

func TestAccessThatEKSDoesNotTakeIsAnObstacle(t *testing.T) {
	p, spec := &Provider{egress: []string{"198.51.100.7/32"}}, clusterless
	for range maxAllowed - 2 {
		spec.Access = append(spec.Access, fmt.Sprintf("203.0.113.%d/32", len(spec.Access)))
	}
	if found := p.unopened(spec, 1); len(found) > 0 {
		t.Errorf("as many as EKS takes: %v", found)
	}
	if found := p.unopened(spec, 3); len(found) != 1 || !strings.Contains(found[0].Message, "42 ranges") {
		t.Errorf("two more than EKS takes: %v", found)
	}
	spec.Access = []string{"10.1.0.0/16"}
	if found := p.unopened(spec, 1); len(found) != 1 || !strings.Contains(found[0].Message, "10.1.0.0/16 is private") {
		t.Errorf("a private range: %v", found)
	}
	spec.Access = nil
	if found := p.unopened(spec, 3); len(found) > 0 {
		t.Errorf("everybody: %v", found)
	}
}
