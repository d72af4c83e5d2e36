package region_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// on is the small file with its region on another provider, and more lines of the region.
func on(provider string, lines ...string) string {
	file := strings.Replace(small, "provider: do", "provider: "+provider, 1)
	for _, line := range lines {
		file += "    " + line + "\n"
	}
	return file
}

func ranges(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("203.0.113.%d/32", i)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func TestHowARegionIsReachedIsRead(t *testing.T) {
	specs, err := region.ParsePlatform([]byte(on("aws", "cidr: 10.20.0.0/18", "nat: per-zone", "access_cidrs: [203.0.113.0/24, 198.51.100.7/32]")))
	if err != nil {
		t.Fatal(err)
	}
	s := specs[0]
	if s.CIDR != "10.20.0.0/18" || s.NAT != region.PerZoneNAT || !slices.Equal(s.Access, []string{"203.0.113.0/24", "198.51.100.7/32"}) {
		t.Errorf("read %+v", s)
	}
	network, cluster := s.NetworkSpec(), s.ClusterSpec(region.Net{})
	if network.CIDR != s.CIDR || network.NAT != s.NAT || !slices.Equal(cluster.Access, s.Access) {
		t.Errorf("asked for the network %+v and the cluster %+v", network, cluster)
	}
	for _, file := range []string{on("gcp", "nat: single"), on("azure", "nat: single"), on("aws", "access_cidrs: [0.0.0.0/0]"), on("aws", "access_cidrs: "+ranges(32)),
		on("do", "cidr: 10.20.0.0/16"), on("aws", "cidr: 192.168.0.0/16"), on("gcp", "cidr: 172.16.16.0/20")} {
		if _, err := region.ParsePlatform([]byte(file)); err != nil {
			t.Errorf("refused: %v\n%s", err, file)
		}
	}
}

// Adapters send no list then, and warn of no worker that it could shut out.
func TestAListThatLetsEverybodyInIsNone(t *testing.T) {
	specs, err := region.ParsePlatform([]byte(on("aws", "access_cidrs: [0.0.0.0/0]")))
	if err != nil || specs[0].Access != nil || specs[0].ClusterSpec(region.Net{}).Access != nil {
		t.Fatalf("read %+v, %v", specs, err)
	}
	without, err := region.ParsePlatform([]byte(on("aws")))
	if changes, _ := region.Differences(without[0], specs[0]); err != nil || len(changes) > 0 {
		t.Errorf("from no list to it changes %q, %v", changes, err)
	}
}

func TestEveryProviderMayBeNamed(t *testing.T) {
	for _, p := range []region.Provider{region.AWS, region.GCP, region.Azure, region.DigitalOcean} {
		specs, err := region.ParsePlatform([]byte("platforms:\n- name: micro\n  domain: micro.mu\n  regions:\n  - {provider: " + string(p) + ", region: there-1}\n"))
		if err != nil || specs[0].Provider != p || specs[0].Name != string(p)+"-there-1" {
			t.Errorf("%s is read as %+v, %v", p, specs, err)
		}
	}
}

// What a user gets to read of ranges, NATs and access lists. Each text names the field, the rule and the value.
func TestBadRanges(t *testing.T) {
	at := "platforms[0].regions[0]."
	second := func(cidr string) string {
		return on("aws", "cidr: 10.20.0.0/16") + "  - {name: two, provider: gcp, region: europe-west1, cidr: " + cidr + "}\n"
	}
	for name, c := range map[string]struct{ file, want string }{
		"no range":                    {on("aws", "cidr: everything"), at + `cidr: "everything" is not an IPv4 range such as "10.20.0.0/16"`},
		"a range of IPv6":             {on("aws", "cidr: fd00::/16"), at + `cidr: "fd00::/16" is not an IPv4 range`},
		"a range with bits":           {on("aws", "cidr: 10.20.1.0/16"), at + `cidr: "10.20.1.0/16" has host bits: write "10.20.0.0/16"`},
		"too wide a range":            {on("aws", "cidr: 10.0.0.0/8"), at + `cidr: "10.0.0.0/8" is a /8; the range of a region is a /16 to a /20`},
		"too narrow a range":          {on("aws", "cidr: 10.20.0.0/21"), at + `cidr: "10.20.0.0/21" is a /21; the range of a region is a /16 to a /20`},
		"everybody's range":           {on("aws", "cidr: 8.8.0.0/16"), at + `cidr: "8.8.0.0/16" is not private: it must lie in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 (RFC 1918)`},
		"a range of nothing":          {on("aws", `cidr: ""`), at + `cidr: "" is not an IPv4 range`},
		"a range of pods":             {on("azure", "cidr: 192.168.16.0/20"), at + `cidr: "192.168.16.0/20" overlaps 192.168.0.0/16, which azure uses for pods`},
		"a range of AKS":              {on("azure", "cidr: 172.31.0.0/16"), at + `cidr: "172.31.0.0/16" overlaps 172.30.0.0/15, which azure uses for AKS itself`},
		"a range of services":         {on("do", "cidr: 10.245.0.0/16"), at + `cidr: "10.245.0.0/16" overlaps 10.245.0.0/16, which digitalocean uses for services`},
		"a list of ranges":            {on("aws", "cidr: [10.20.0.0/16]"), at + `cidr: must be a single value, not a list`},
		"another region's":            {second("10.20.128.0/17"), `platforms[0].regions[1].cidr: "10.20.128.0/17" of region micro/two overlaps "10.20.0.0/16" of region micro/aws-lon1`},
		"another platform's":          {on("aws", "cidr: 10.20.0.0/16") + "- name: other\n  domain: micro.mu\n  regions: [{provider: aws, region: lon1, cidr: 10.20.0.0/20}]\n", `platforms[1].regions[0].cidr: "10.20.0.0/20" of region other/aws-lon1 overlaps "10.20.0.0/16" of region micro/aws-lon1`},
		"no NAT":                      {on("aws", "nat: none"), at + `nat: "none" is neither "single" nor "per-zone"`},
		"a NAT mistyped":              {on("aws", "nat: per_zone"), `(did you mean "per-zone"?)`},
		"a NAT of nothing":            {on("aws", `nat: ""`), at + `nat: "" is neither "single" nor "per-zone"`},
		"a NAT on digitalocean":       {on("do", "nat: single"), at + `nat: "single": digitalocean has no NAT, its nodes have addresses of their own; leave it out`},
		"a NAT per zone on gcp":       {on("gcp", "nat: per-zone"), at + `nat: "per-zone" is for aws alone: Cloud NAT is regional`},
		"a NAT per zone on azure":     {on("azure", "nat: per-zone"), at + `nat: "per-zone" is for aws alone: on azure a node pool lies in one subnet`},
		"nobody":                      {on("aws", "access_cidrs: []"), at + `access_cidrs: [] lets nobody in`},
		"an address":                  {on("aws", "access_cidrs: [203.0.113.7]"), at + `access_cidrs[0]: "203.0.113.7" is not an IPv4 range such as "203.0.113.0/24"`},
		"IPv6":                        {on("aws", `access_cidrs: ["2001:db8::/32"]`), at + `access_cidrs[0]: "2001:db8::/32" is not an IPv4 range`},
		"access with bits":            {on("aws", "access_cidrs: [203.0.113.7/24]"), at + `access_cidrs[0]: "203.0.113.7/24" has host bits: write "203.0.113.0/24"`},
		"access twice":                {on("aws", "access_cidrs: [203.0.113.0/24, 203.0.113.0/24]"), at + `access_cidrs[1]: "203.0.113.0/24" is listed twice`},
		"the office's own addresses":  {on("aws", "access_cidrs: [10.20.0.0/16]"), at + `access_cidrs[0]: "10.20.0.0/16" is private: the API server is reached from outside`},
		"a carrier's":                 {on("gcp", "access_cidrs: [100.64.7.0/24]"), at + `access_cidrs[0]: "100.64.7.0/24" is private`},
		"everybody and some":          {on("aws", "access_cidrs: [203.0.113.0/24, 0.0.0.0/0]"), at + `access_cidrs[1]: "0.0.0.0/0" lets everybody in, whom the other ranges keep out`},
		"more access than clouds can": {on("aws", "access_cidrs: "+ranges(33)), at + `access_cidrs: 33 ranges are more than 32`},
		"access in a word":            {on("aws", "access_cidrs: 203.0.113.0/24"), at + `access_cidrs: must be a list, not a single value`},
		"a label too long for aws": {on("aws", "name: "+strings.Repeat("a", 41)), at + `name: "` + strings.Repeat("a", 41) +
			`" has 41 characters: at most 40 characters fit the labels and names of what aws makes for a region`},
	} {
		t.Run(name, func(t *testing.T) {
			specs, err := region.ParsePlatform([]byte(c.file))
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want it refused with %s", specs, err, c.want)
			}
		})
	}
}

func named(keys ...region.Key) string {
	var b strings.Builder
	b.WriteString("platforms:\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "- name: %s\n  domain: micro.mu\n  regions: [{name: %s, provider: gcp, region: europe-west1}]\n", k.Platform, k.Name)
	}
	return b.String()
}

// Names stay apart at every limit by the hash that cutting adds; a name that somebody gives the hash of another is refused.
func TestRegionsNamedAlikeAreRefused(t *testing.T) {
	one := region.Key{Platform: "a-b", Name: "c"}
	hash := one.ResourceName()[strings.LastIndex(one.ResourceName(), "-")+1:]
	long := region.Key{Platform: "micro", Name: "a-region-with-a-long-name-of-its-own"}
	cut := region.CutName(40, long.ResourceName())
	for _, pair := range [][2]region.Key{
		{one, {Platform: "a", Name: "b-c-" + hash}},
		{long, {Platform: "micro2", Name: "x"}}, // told apart
		{long, {Platform: "micro", Name: strings.TrimPrefix(cut, "m3o-micro-")}},
	} {
		file := named(pair[0], pair[1])
		if pair[0].Platform == pair[1].Platform {
			file = fmt.Sprintf("platforms:\n- name: micro\n  domain: micro.mu\n  regions: [{name: %s, provider: gcp, region: europe-west1}, {name: %s, provider: gcp, region: europe-west1}]\n", pair[0].Name, pair[1].Name)
		}
		_, err := region.ParsePlatform([]byte(file))
		alike := pair[1].Platform != "micro2"
		if alike != (err != nil) || alike && !strings.Contains(err.Error(), fmt.Sprintf("name: what is made for region %s would have a name of what is made for region %s", pair[1], pair[0])) {
			t.Errorf("%v: %v", pair, err)
		}
	}
}

// The limits that clouds have for the names of what is made for regions: service accounts 30, GKE clusters 40, DigitalOcean and Google 63,
// EKS and IAM roles 64, Azure 80 and 90.
func TestHashesKeepNamesApartAtTheLimitsInUse(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		w := []byte("r")
		for range random.IntN(39) {
			w = append(w, "ab-"[random.IntN(3)])
		}
		return strings.TrimRight(string(w), "-")
	}
	owners := map[string]region.Key{}
	for range 20000 {
		k := region.Key{Platform: word(), Name: word()}
		for _, limit := range []int{region.MinName, 24, 30, 40, 63, 64, 80, 90} {
			name := region.CutName(limit, k.ResourceName())
			if other, taken := owners[name]; taken && other != k {
				t.Fatalf("%s and %s are both %s at %d", k, other, name, limit)
			}
			owners[name] = k
		}
	}
}

// at is a region of the provider, and its range if it has one written.
func at(p region.Provider, name, cidr string) region.Spec {
	s := spec(name, 1)
	s.Provider, s.CIDR = p, cidr
	return s
}

func cidrs(steps []region.Step) string {
	var all []string
	for _, s := range steps {
		all = append(all, s.Region.Name+" "+s.Region.CIDR)
	}
	return strings.Join(all, ", ")
}

func TestAPlanGivesRegionsRanges(t *testing.T) {
	other := at(region.AWS, "there", "10.1.0.0/16")
	other.Platform = "other"
	chosen := there(at(region.DigitalOcean, "old", ""), region.Ready) // by the cloud, before ranges were written
	chosen.Network.CIDR = "10.3.16.0/20"
	failed := region.Region{Spec: at(region.AWS, "bare", "10.2.0.0/16"), Status: region.Failed, Version: 3}
	gone := there(at(region.AWS, "gone", "10.2.0.0/16"), region.Deleted)
	have := []region.Region{there(other, region.Ready), chosen, failed, gone}
	wanted := []region.Spec{at(region.GCP, "b", ""), at(region.AWS, "a", ""), at(region.Azure, "c", "10.4.0.0/16"), chosen.Spec, at(region.AWS, "bare", ""), at(region.AWS, "gone", "")}
	steps := region.Compare(wanted, have, false)
	if got, want := cidrs(steps), "a 10.2.0.0/16, b 10.5.0.0/16, bare 10.6.0.0/16, c 10.4.0.0/16, gone 10.7.0.0/16"; got != want {
		t.Errorf("the plan gives %s, want %s", got, want)
	}
	if (region.Plan{Steps: steps}).Blocked() {
		t.Errorf("obstacles: %+v", steps)
	}
	slices.Reverse(wanted)
	slices.Reverse(have)
	if again := cidrs(region.Compare(wanted, have, false)); again != cidrs(steps) {
		t.Errorf("in another order it gives %s", again)
	}
}

// DigitalOcean keeps ranges of its own between 10.10 and 10.49, and clouds choose above 10.100.
func TestAPlanLeavesOutWhatCloudsKeep(t *testing.T) {
	var wanted []region.Spec
	for i := range region.MaxRegions {
		wanted = append(wanted, at(region.DigitalOcean, fmt.Sprintf("r%02d", i), ""))
	}
	steps := region.Compare(wanted, nil, false)
	for i, want := range map[int]string{0: "10.1.0.0/16", 8: "10.9.0.0/16", 9: "10.50.0.0/16", 58: "10.99.0.0/16", 59: "10.140.0.0/16", 99: "10.180.0.0/16"} {
		if got := steps[i].Region.CIDR; got != want {
			t.Errorf("region %d has %s, want %s", i, got, want)
		}
	}
}

func TestWhereNoRangeIsFreeOneMustBeWritten(t *testing.T) {
	var have []region.Region
	for n := range 256 {
		s := at(region.AWS, fmt.Sprintf("r%d", n), fmt.Sprintf("10.%d.0.0/16", n))
		s.Platform = "other"
		have = append(have, there(s, region.Ready))
	}
	steps := region.Compare([]region.Spec{at(region.AWS, "late", "")}, have, false)
	if o := steps[0].Obstacles; len(o) != 1 || o[0].Kind != "invalid" || !strings.Contains(o[0].Message, "is free: write cidr") {
		t.Errorf("the plan is %+v", steps)
	}
}

func TestRangesThatOverlapWhatIsThereAreObstacles(t *testing.T) {
	other := at(region.AWS, "there", "10.20.0.0/18")
	other.Platform = "other"
	have := []region.Region{there(other, region.Ready)}
	steps := region.Compare([]region.Spec{at(region.GCP, "new", "10.20.0.0/16")}, have, false)
	if o := steps[0].Obstacles; len(o) != 1 || o[0].Message != "cidr 10.20.0.0/16 of region micro/new overlaps 10.20.0.0/18 of region other/there: choose another, or leave it out" {
		t.Errorf("the plan is %+v", steps)
	}
	have = []region.Region{there(at(region.GCP, "new", "10.20.0.0/16"), region.Failed), there(other, region.Ready)}
	if steps := region.Compare([]region.Spec{at(region.GCP, "new", "10.20.0.0/16")}, have, false); len(steps) != 1 || len(steps[0].Obstacles) > 0 {
		t.Errorf("it is too late to say of one that is there: %+v", steps)
	}
}

// A range stays as it is, whether or not the file says so, and so does its absence in what was recorded before there were any.
func TestARangeStaysAsItIs(t *testing.T) {
	given := there(at(region.AWS, "lon1", "10.7.0.0/16"), region.Ready)
	old := there(at(region.DigitalOcean, "lon1", ""), region.Ready)
	old.Network.CIDR = "10.100.0.0/20"
	for name, have := range map[string]region.Region{"given by a plan": given, "chosen by the cloud": old} {
		if got := lines(region.Compare([]region.Spec{at(have.Spec.Provider, "lon1", "")}, []region.Region{have}, false)); got != "" {
			t.Errorf("%s: the plan is to %s", name, got)
		}
		more := at(have.Spec.Provider, "lon1", "")
		more.Kubernetes.Nodes.Count = 2
		if steps := region.Compare([]region.Spec{more}, []region.Region{have}, false); steps[0].Region.CIDR != have.Spec.CIDR {
			t.Errorf("%s: a change plans %q", name, steps[0].Region.CIDR)
		}
	}
	steps := region.Compare([]region.Spec{at(region.AWS, "lon1", "10.8.0.0/16")}, []region.Region{given}, false)
	if lines(steps) != "change lon1 (cidr: 10.7.0.0/16 -> 10.8.0.0/16)" || len(steps[0].Obstacles) != 1 || steps[0].Obstacles[0].Message != "cidr cannot be changed in place: remove the region and make it anew" {
		t.Errorf("another range plans %+v", steps)
	}
	steps = region.Compare([]region.Spec{at(region.DigitalOcean, "lon1", "10.100.0.0/20")}, []region.Region{old}, false)
	if len(steps) != 1 || len(steps[0].Obstacles) > 0 {
		t.Errorf("the range that the cloud chose is written now: %+v", steps)
	}
}

func TestWhoHasAccessChangesInPlaceAndTheNATDoesNot(t *testing.T) {
	have := there(at(region.AWS, "lon1", "10.7.0.0/16"), region.Ready)
	have.Spec.Access = []string{"203.0.113.0/24", "198.51.100.0/24"}
	same, fewer, zones := have.Spec, have.Spec, have.Spec
	same.Access, same.NAT = []string{"198.51.100.0/24", "203.0.113.0/24"}, region.SingleNAT
	if got := lines(region.Compare([]region.Spec{same}, []region.Region{have}, false)); got != "" {
		t.Errorf("the order means nothing, nor does what is the default: the plan is to %s", got)
	}
	fewer.Access = nil
	steps := region.Compare([]region.Spec{fewer}, []region.Region{have}, false)
	if lines(steps) != "change lon1 (access_cidrs: 198.51.100.0/24 203.0.113.0/24 -> everybody)" || len(steps[0].Obstacles) > 0 {
		t.Errorf("the plan is %+v", steps)
	}
	zones.NAT = region.PerZoneNAT
	steps = region.Compare([]region.Spec{zones}, []region.Region{have}, false)
	if lines(steps) != "change lon1 (nat: single -> per-zone)" || len(steps[0].Obstacles) != 1 {
		t.Errorf("the plan is %+v", steps)
	}
}

// Of a network that is begun the range is as fixed as the place.
func TestABegunNetworkFixesItsRange(t *testing.T) {
	begun := region.Region{Spec: at(region.AWS, "lon1", "10.7.0.0/16"), Status: region.Failed, Version: 7, Network: region.Net{Name: "m3o-micro-lon1"}}
	other := at(region.AWS, "lon1", "10.8.0.0/16")
	other.Kubernetes.Nodes.Size = "another"
	steps := region.Compare([]region.Spec{other}, []region.Region{begun}, false)
	if len(steps) != 1 || len(steps[0].Obstacles) != 1 || !strings.HasPrefix(steps[0].Obstacles[0].Message, "cidr cannot be changed") {
		t.Errorf("the plan is %+v", steps)
	}
}
