package gcp

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"golang.org/x/oauth2"
	"google.golang.org/api/cloudresourcemanager/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/rate"
	"github.com/m3o/platform/internal/region"
)

func TestARangeIsDivided(t *testing.T) {
	for cidr, want := range map[string]string{
		"":              "10.0.0.0/20 10.0.16.0/20 10.0.128.0/17 255",
		"10.20.0.0/16":  "10.20.0.0/20 10.20.16.0/20 10.20.128.0/17 255",
		"10.20.32.0/20": "10.20.32.0/24 10.20.33.0/24 10.20.40.0/21 15",
	} {
		parts, err := divide(cidr)
		if got := fmt.Sprint(parts.nodes, parts.services, parts.pods, parts.mostNodes()); err != nil || got != want {
			// Sprint puts no blanks between operands of which one is a string: none is.
			t.Errorf("%q: got %s, %v, want %s", cidr, got, err, want)
		}
		if parts.nodes.Overlaps(parts.services) || parts.services.Overlaps(parts.pods) || parts.nodes.Overlaps(parts.pods) {
			t.Errorf("%q: parts overlap: %+v", cidr, parts)
		}
		if got := around(parts.nodes.String()); netip.MustParsePrefix(got) != parts.all {
			t.Errorf("%q: found again as %s", cidr, got)
		}
	}
	for _, cidr := range []string{"10.20.0.1/16", "10.0.0.0/8", "10.0.0.0/24", "fd00::/16", "nonsense"} {
		if _, err := divide(cidr); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Message(err), cidr) {
			t.Errorf("%q: got %v", cidr, err)
		}
	}
}

// Any number of nodes is spread over the zones, and growing moves none.
func TestNodesAreSharedByZones(t *testing.T) {
	zones := []string{"europe-west1-d", "europe-west1-b", "europe-west1-c"}
	before := map[string]int{}
	for count := range 8 {
		shares := share(zones, count)
		sum := 0
		for zone, n := range shares {
			sum += n
			if n < before[zone] {
				t.Errorf("%d nodes: %s goes from %d to %d", count, zone, before[zone], n)
			}
		}
		if sum != count || len(shares) != min(count, 3) {
			t.Errorf("%d nodes are shared as %v", count, shares)
		}
		before = shares
	}
	if got := share(nil, 3); len(got) != 0 {
		t.Errorf("without zones: %v", got)
	}
	if poolName("europe-west1-b") != "nodes-b" {
		t.Error(poolName("europe-west1-b"))
	}
}

// The newest families take no persistent disks, and every family but the oldest has a quota of its own.
func TestMachinesHaveTheirDisksAndQuotas(t *testing.T) {
	for machine, want := range map[string]string{"e2-standard-2": "pd-balanced SSD_TOTAL_GB CPUS", "n1-standard-1": "pd-balanced SSD_TOTAL_GB CPUS", "n2d-standard-4": "pd-balanced SSD_TOTAL_GB N2D_CPUS",
		"n4-standard-2": "hyperdisk-balanced HDB_TOTAL_GB N4_CPUS", "c4a-standard-4-lssd": "hyperdisk-balanced HDB_TOTAL_GB C4A_CPUS"} {
		pool := nodePool(region.ClusterSpec{Nodes: region.Nodes{Size: machine}}, "europe-west1-b", 1)
		if got := strings.Join([]string{pool.GetConfig().GetDiskType(), diskOf(machine).metric, cpuMetric(machine)}, " "); got != want {
			t.Errorf("%s: got %s, want %s", machine, got, want)
		}
	}
}

// Names that are too long for one kind of thing are cut for it alone, and stay apart.
func TestNamesKeepToTheirLimits(t *testing.T) {
	long := region.Key{Platform: strings.Repeat("p", 40), Name: strings.Repeat("r", 40)}.ResourceName()
	for name, c := range map[string]struct {
		cut   func(string) string
		limit int
	}{"network": {networkName, 63}, "cluster": {clusterName, 40}, "service account": {accountName, 30}} {
		if got := c.cut(long); len(got) > c.limit || got == c.cut(long+"x") {
			t.Errorf("%s: %s has %d characters", name, got, len(got))
		}
	}
	if shortest := (region.Key{Platform: "a", Name: "b"}).ResourceName(); len(accountName(shortest)) < 6 {
		t.Errorf("the account %s is too short", shortest)
	}
	owner := region.Key{Platform: strings.Repeat("p", 40), Name: strings.Repeat("r", 40)}
	if text := describe(owner); len(text) > 256 || !describes(text, owner) || describes(text, region.Key{Platform: "a", Name: "b"}) {
		t.Errorf("a service account's description has 256 characters: %q", text)
	}
	for key, value := range labels(owner.Tags()) {
		if len(key) > 63 || len(value) > 63 {
			t.Errorf("a label: %s=%s", key, value)
		}
	}
	p := &Provider{project: "example.com:acme-prod"}
	if got := p.accountEmail("m3o-a-b"); got != "m3o-a-b@acme-prod.example.com.iam.gserviceaccount.com" {
		t.Errorf("an account in an organisation's project: %s", got)
	}
}

// The project's policy is everybody's.
func TestAPolicyKeepsWhatIsNotOurs(t *testing.T) {
	conditional := &cloudresourcemanager.Binding{Role: nodeRole, Members: []string{"user:ada@example.com"}, Condition: &cloudresourcemanager.Expr{Expression: "true"}}
	policy := &projectPolicy{&cloudresourcemanager.Policy{Etag: "e", Bindings: []*cloudresourcemanager.Binding{conditional,
		{Role: "roles/owner", Members: []string{"user:ada@example.com"}}}}}
	const email = "m3o-a-b@acme-prod.iam.gserviceaccount.com"
	if !policy.bind(nodeRole, email) || policy.bind(nodeRole, email) {
		t.Error("a binding is made once")
	}
	if slices.Contains(conditional.Members, memberOf(email)) || !slices.Equal(policy.roles(email), []string{nodeRole}) {
		t.Errorf("a binding with a condition is somebody's own: %v", policy.Bindings)
	}
	policy.Bindings = append(policy.Bindings, &cloudresourcemanager.Binding{Role: "roles/viewer", Members: []string{"deleted:" + memberOf(email) + "?uid=1", "deleted:" + memberOf("other"+email) + "?uid=2"}})
	if !policy.unbind(email) || policy.unbind(email) || len(policy.roles(email)) > 0 {
		t.Errorf("left are %v", policy.Bindings)
	}
	if len(policy.Bindings) != 3 || len(policy.Bindings[2].Members) != 1 {
		t.Errorf("others' are gone: %v", policy.Bindings)
	}
}

func TestAccessIsRestrictedOnDemand(t *testing.T) {
	p := &Provider{egress: []string{"198.51.100.0/28"}}
	spec := region.ClusterSpec{Network: region.Net{Egress: []string{"203.0.113.7"}}}
	if open := p.accessList(spec); open.GetEnabled() || len(open.GetCidrBlocks()) > 0 {
		t.Errorf("nothing is restricted: %v", open)
	}
	spec.Access = []string{"192.0.2.0/24", "198.51.100.0/28"}
	want := p.accessList(spec)
	if got := strings.Join(blocks(want), " "); got != "192.0.2.0/24 198.51.100.0/28 203.0.113.7/32" || !want.GetEnabled() || want.GetGcpPublicCidrsAccessEnabled() {
		t.Errorf("got %s of %v", got, want)
	}
	c := &containerpb.Cluster{}
	p.connect(c, spec)
	if !sameAccess(c, want) || sameAccess(c, p.accessList(region.ClusterSpec{})) || sameAccess(&containerpb.Cluster{}, want) {
		t.Error("what differs is not told from what does not")
	}
}

func TestRequestsAreCountedByService(t *testing.T) {
	for path, want := range map[string]service{
		"/compute/v1/projects/p/global/networks": computeService, "/v1/projects/p/locations/europe-west1/clusters": containerService,
		"/v1/projects/p/serviceAccounts/a@b": iamService, "/v1/projects/p:getIamPolicy": projectService, "/v1/projects/p/services:batchGet": usageService,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		counted := 0
		for _, l := range Limits(Requests, time.Hour) {
			if l.Requests < 1 || l.Per != time.Minute {
				t.Errorf("the limit %+v", l)
			}
			if l.Counts(r) {
				counted++
			}
		}
		if serviceOf(r) != want || counted != 1 {
			t.Errorf("%s is %s, counted by %d limits", path, serviceOf(r), counted)
		}
	}
}

// Of an hour's few requests a minute has less than one for each worker, whom the limiter refuses that.
func TestASmallLimitCanBeShared(t *testing.T) {
	for requests, workers := range map[int]int{40: 1, 200: 2, 1000: 3, 5000: 3} {
		limits := Limits(requests, time.Hour)
		if _, err := rate.New(http.DefaultTransport, rate.Options{Provider: "GCP", Limits: limits, Workers: workers}); err != nil {
			t.Errorf("%d requests an hour for %d workers: %v", requests, workers, err)
		}
		if l := limits[0]; float64(l.Requests)*time.Hour.Hours()/l.Per.Hours() > float64(requests) {
			t.Errorf("of %d requests an hour %s are %d in %s", requests, l.Name, l.Requests, l.Per)
		}
	}
	for _, l := range Limits(1, time.Hour) {
		if l.Requests < 1 {
			t.Errorf("%s are %d in %s", l.Name, l.Requests, l.Per)
		}
	}
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})
	for want, c := range map[string]Config{
		`"Acme" is not the id`:      {Project: "Acme", Tokens: tokens},
		`"" is not the id`:          {Tokens: tokens},
		"has no credentials":        {Project: "acme-prod"},
		"is not the base URL":       {Project: "acme-prod", Tokens: tokens, URL: "ftp://x"},
		"send credentials in clear": {Project: "acme-prod", Tokens: tokens, URL: "http://example.com"},
	} {
		if _, err := New(c); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Message(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := New(Config{Project: "acme-prod", Tokens: tokens}); err != nil {
		t.Error(err)
	}
}

// A token's end is the access' end, and one that is about to end is not handed out.
func TestAccessEndsWithItsToken(t *testing.T) {
	at := time.Now().Add(time.Hour).Round(time.Second)
	short, long := &oauth2.Token{AccessToken: "short", Expiry: time.Now().Add(time.Minute)}, &oauth2.Token{AccessToken: "long", Expiry: at}
	p, err := New(Config{Project: "acme-prod", URL: "http://127.0.0.1:1", Tokens: &tokens{short, long},
		Transport: answers(func(*http.Request) (int, http.Header, string) {
			return 200, nil, `{"name":"m3o-micro-ew1","status":"RUNNING","endpoint":"192.0.2.1","resourceLabels":{"managed-by":"m3o","m3o-platform":"micro","m3o-region":"ew1"},"masterAuth":{"clusterCaCertificate":"Y2E="}}`
		})})
	if err != nil {
		t.Fatal(err)
	}
	spec := region.Spec{Platform: "micro", Name: "ew1", Location: "europe-west1"}.ClusterSpec(region.Net{})
	if _, err := p.tokens.Token(); err != nil { // the first one ends soon
		t.Fatal(err)
	}
	access, err := p.Access(t.Context(), spec)
	if err != nil || !access.Expires.Equal(at) || !strings.Contains(string(access.Kubeconfig), `"token":"long"`) {
		t.Errorf("got %s until %s, %v", access.Kubeconfig, access.Expires, err)
	}
	var config map[string]any
	if err := json.Unmarshal(access.Kubeconfig, &config); err != nil || !slices.Contains(slices.Collect(maps.Keys(config)), "current-context") {
		t.Errorf("got %v, %v", config, err)
	}
}

// tokens are handed out one after the other, the last one for ever.
type tokens []*oauth2.Token

func (s *tokens) Token() (*oauth2.Token, error) {
	first := (*s)[0]
	if len(*s) > 1 {
		*s = (*s)[1:]
	}
	return first, nil
}
