package aws_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/aws"
	"github.com/m3o/platform/internal/cloud/aws/awstest"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
)

// kindsOwned are the kinds of what is the region's, by how many there are.
func kindsOwned(t *testing.T, p cloud.Provider, b *awstest.Built) map[string]int {
	t.Helper()
	all, err := p.Owned(t.Context(), b.Spec.Key(), b.Spec.Location, b.Cluster.ID)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, r := range all {
		count[r.Kind]++
	}
	return count
}

// A gateway's load balancer with its target groups, and the disk of a part, are made by what runs in the cluster, and stay when it
// goes.
func TestWhatRanInTheClusterLeavesNothing(t *testing.T) {
	t.Parallel()
	runner := clusterstest.New(20)
	runner.Made(clusters.Inventory{LoadBalancers: []clusters.LoadBalancer{{UID: "0a1b2c3d-0000-4000-8000-00000000beef", Name: "m3o/gateway", IP: "127.0.0.1", Ports: []clusters.Port{{Protocol: "TCP", Port: 80, NodePort: 30080}}}},
		Volumes: []clusters.Volume{{UID: "0a1b2c3d-0000-4000-8000-00000000cafe", Name: "m3o/data-etcd-0", SizeGiB: 5}}})
	account := newAccount(t, sandbox.Config{Clusters: runner, Policies: workerpolicy.All()}) // which lets a worker delete no other disks
	p := account.Provider(t)
	b := awstest.Build(t, p, awstest.Region())
	awstest.Until(t, func() (bool, error) {
		found := kindsOwned(t, p, b)
		return found["load balancer"] == 1 && found["target group"] > 0 && found["volume"] == 1, nil
	})
	b.Remove(t, p)
}

func TestWhatIsThereIsListedByKind(t *testing.T) {
	t.Parallel()
	p := newAccount(t, sandbox.Config{}).Provider(t)
	b := awstest.Build(t, p, awstest.Region())
	found := kindsOwned(t, p, b)
	for kind, want := range map[string]int{"vpc": 1, "subnet": 6, "internet gateway": 1, "address": 1, "NAT gateway": 1, "route table": 2, "role": 4,
		"kubernetes cluster": 1, "node group": 1, "launch template": 1, "instance": 2} {
		if found[kind] != want {
			t.Errorf("%d of kind %s are listed, want %d: %v", found[kind], kind, want, found)
		}
	}
	b.Remove(t, p)
}

// Somebody's machine in the VPC keeps it, whole: nothing is taken away from who still uses it.
func TestANetworkThatIsUsedIsLeftWhole(t *testing.T) {
	t.Parallel()
	p := newAccount(t, sandbox.Config{}).Provider(t)
	b := awstest.Build(t, p, awstest.Region())
	before := kindsOwned(t, p, b)
	for range 3 {
		if now, err := p.DeleteNetwork(t.Context(), b.Spec.NetworkSpec(), ""); err != nil || now.Gone {
			t.Errorf("a network with a cluster in it: %+v, %v", now, err)
		}
	}
	if after := kindsOwned(t, p, b); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("there was %v, and is %v", before, after)
	}
	b.Remove(t, p)
}

// recorder notes the operations that are asked for.
type recorder struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.seen[awstest.Operation(request)] = true
	r.mu.Unlock()
	return http.DefaultTransport.RoundTrip(request)
}

// rare are the operations that no life of a region asks for, with when they are.
var rare = map[string]string{
	"ec2:ReplaceRoute":   "somebody deleted the NAT gateway that a route leads to",
	"ec2:DeleteSnapshot": "somebody has the disk driver make snapshots",
}

// TestEveryOperationHasItsPermissions: the reviewed table is of what is asked for in the lives of regions, no less and no more.
func TestEveryOperationHasItsPermissions(t *testing.T) {
	t.Parallel()
	runner := clusterstest.New(20)
	runner.Made(clusters.Inventory{LoadBalancers: []clusters.LoadBalancer{{UID: "0a1b2c3d-0000-4000-8000-00000000beef", Name: "m3o/gateway", IP: "127.0.0.1", Ports: []clusters.Port{{Protocol: "TCP", Port: 80, NodePort: 30080}}}},
		Volumes: []clusters.Volume{{UID: "0a1b2c3d-0000-4000-8000-00000000cafe", Name: "m3o/data-etcd-0", SizeGiB: 5}}})
	account := newAccount(t, sandbox.Config{Clusters: runner})
	seen := &recorder{seen: map[string]bool{}}
	account.Transport = seen
	p := account.Provider(t)
	spec := awstest.Region()
	preflight := func(change func(*region.Spec)) {
		want := spec
		change(&want)
		if _, err := p.Preflight(t.Context(), want, nil); err != nil {
			t.Fatal(err)
		}
	}
	preflight(func(s *region.Spec) { s.Kubernetes.Nodes.Size = "huge" })
	b := awstest.Build(t, p, spec)
	preflight(func(*region.Spec) {})
	b.Spec.Kubernetes.Nodes.Count, b.Spec.Access = 3, []string{"203.0.113.0/24"}
	b.Converge(t, p)
	awstest.Until(t, func() (bool, error) {
		found := kindsOwned(t, p, b)
		return found["load balancer"] == 1 && found["volume"] == 1, nil
	})
	b.Remove(t, p)
	if missing := aws.Unlisted(keys(seen.seen)); len(missing) > 0 {
		t.Errorf("asked for, and not in the table of permissions: %v", missing)
	}
	for _, operation := range aws.Operations() {
		if _, is := rare[operation]; seen.seen[operation] == is {
			t.Errorf("%s: asked for is %v, among the rare is %v", operation, seen.seen[operation], is)
		}
	}
}

func keys(set map[string]bool) []string {
	var list []string
	for key := range set {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}

// TestLimitsAreCountedByWhatIsAsked: each request counts for one limit, and all of them together for an idle region's hour.
func TestLimitsAreCountedByWhatIsAsked(t *testing.T) {
	t.Parallel()
	account := newAccount(t, sandbox.Config{})
	limits := aws.Limits(time.Hour)
	var wrong []string
	account.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		counted := 0
		for _, l := range limits {
			if l.Counts(r) {
				counted++
			}
		}
		if counted != 1 {
			wrong = append(wrong, fmt.Sprintf("%s counts for %d limits", awstest.Operation(r), counted))
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	p := account.Provider(t)
	b := awstest.Build(t, p, awstest.Region())
	if _, err := p.Preflight(t.Context(), b.Spec, nil); err != nil {
		t.Fatal(err)
	}
	b.Remove(t, p)
	if len(wrong) > 0 {
		t.Errorf("%v", wrong)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }
