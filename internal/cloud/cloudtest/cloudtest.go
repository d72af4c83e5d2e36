// Package cloudtest is the conformance suite of package cloud: what every provider promises, in the users' words, run
// against an account that behaves as the real one does and misbehaves when told to.
//
// A provider's own test makes a Harness over its sandbox and calls Run. The suite looks at effects as an outsider sees
// them, never at what calls are made of. What only one provider does (its words, its wire protocol) is for that provider's own
// tests. That the suite finds what is wrong is tested here on a provider in memory, of several stages, and on broken copies of it.
// Only tests import this package.
package cloudtest

import (
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Harness is an account to test with: empty, of its own, and gone after the test.
type Harness struct {
	Provider cloud.Provider
	Region   region.Spec    // that the account can hold, with room for three more nodes but not for a hundred
	Stranger cloud.Provider // the same account with credentials that are not valid
	Kinds    []Kind         // what a region consists of there, as Foreign makes it

	Wired   func(t *testing.T, w Wire) cloud.Provider        // the account as a new process sees it, over that wire
	Break   func(t *testing.T, b Breakage)                   // makes the next calls fail
	Effects func(t *testing.T) []Effect                      // everything that happened in the account, in order
	Foreign func(t *testing.T, kind Kind, name string)       // makes a thing of that name that is nobody's region's
	Outlive func(t *testing.T, c region.Cluster) string      // makes something as the cluster would have, which outlives it; its id
	Upgrade func(t *testing.T, c region.Cluster) (to string) // has the cloud give a cluster another version by itself
	Within  time.Duration                                    // how long anything may take there
	Poll    time.Duration                                    // how often it is looked at
}

// Kind is what the suite makes.
type Kind string

// The kinds that the suite knows. An account may have others, which count in its effects.
const (
	Network  Kind = "network"
	Identity Kind = "identity"
	Cluster  Kind = "cluster"
)

// Call is one thing the account is asked, whatever the provider calls it.
type Call string

// The calls that the suite breaks.
const (
	ListNetworks  Call = "list networks"
	CreateNetwork Call = "create network"
	ListClusters  Call = "list clusters"
	CreateCluster Call = "create cluster"
	ScaleCluster  Call = "scale cluster"
	DeleteCluster Call = "delete cluster" // the first call that removes something of a cluster
	GiveAccess    Call = "give access"
	DescribeLimit Call = "describe limits"
)

// Way is how a call goes wrong.
type Way string

// The ways.
const (
	Throttled  Way = "throttled"   // too many calls; come back in a while
	Failing    Way = "failing"     // an internal error, before anything was done
	LostBefore Way = "lost before" // the connection ended before anything was done
	Denied     Way = "denied"      // the credentials may not
	Quota      Way = "quota"       // a limit of the account
	Slow       Way = "slow"        // answered much later
	Stuck      Way = "stuck"       // accepted, and never done
	Late       Way = "late"        // accepted, and failed in the end
)

// Breakage makes a call go wrong once.
type Breakage struct {
	Call Call
	Way  Way
}

// Wire is between a provider and its account. It is asked about every call, by a name that equal calls share ("GET
// /v2/vpcs"), and says what becomes of it. Calls of one provider come one after the other.
type Wire func(call string) Passage

// Passage is what becomes of a call.
type Passage string

// The passages.
const (
	Passes    Passage = ""
	CutBefore Passage = "cut before" // it does not arrive
	CutAfter  Passage = "cut after"  // it is done, and the answer does not arrive
	Refused   Passage = "throttled"  // too many calls; come back soon
	Expired   Passage = "expired"    // the credentials have ended
)

// Effect is one thing that happened in the account. Change is "created", "updated" or "deleted".
type Effect struct {
	Change string
	Kind   Kind
	Name   string
}

// Run runs the suite. fresh makes a new account for each test.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		{"a region's life leaves nothing behind", life},
		{"a half-made region leaves nothing behind", halfMade},
		{"what a cluster leaves goes with it", leftovers},
		{"asking again makes nothing twice", again},
		{"asking at the same time makes nothing twice", together},
		{"a process may end at any call", killed},
		{"an answer may be lost at any call", lost},
		{"credentials may end at any call", expired},
		{"every call may be throttled", throttled},
		{"hints may be lost, old or nonsense", hints},
		{"what is not ours is refused and left alone", foreign},
		{"long names are cut and kept apart", longNames},
		{"two regions of one name on two platforms are kept apart", namesakes},
		{"failures have a kind and the provider's words", kinds},
		{"credentials that are not valid are denied", stranger},
		{"a cluster that fails says so and can be removed", late},
		{"a cluster that is stuck is neither ready nor broken", stuck},
		{"nodes are added and removed", scale},
		{"a version that the cloud changed is told and left alone", upgraded},
		{"preflight tells price and obstacles", preflight},
		{"a version that is not offered is refused", version},
		{"calls end with their context", slow},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, suite{Harness: fresh(t)})
		})
	}
}

// suite is a harness with the words the tests are written in.
type suite struct{ Harness }

// twin is another region of the same account, of which there is nothing yet.
func (s suite) twin() region.Spec {
	twin := s.Region
	twin.Name += "-two"
	return twin
}

func (s suite) owned(t *testing.T, clusters ...string) []region.Resource {
	t.Helper()
	owned, err := s.Provider.Owned(t.Context(), s.Region.Key(), s.Region.Location, clusters...)
	if err != nil {
		t.Fatalf("list what is ours: %v", err)
	}
	return owned
}

// happened counts the effects of a kind, whatever their name.
func (s suite) happened(t *testing.T, change string, kind Kind) int {
	t.Helper()
	n := 0
	for _, e := range s.Effects(t) {
		if e.Change == change && e.Kind == kind {
			n++
		}
	}
	return n
}

func (s suite) wantHappened(t *testing.T, change string, kind Kind, want int) {
	t.Helper()
	if got := s.happened(t, change, kind); got != want {
		t.Errorf("%d %ss were %s, want %d; effects: %v", got, kind, change, want, s.Effects(t))
	}
}

// wantOnce checks that everything there ever was has been made once, and is there still or has been removed once.
func (s suite) wantOnce(t *testing.T, gone bool) {
	t.Helper()
	type thing struct {
		kind Kind
		name string
	}
	made, removed := map[thing]int{}, map[thing]int{}
	for _, e := range s.Effects(t) {
		switch e.Change {
		case "created":
			made[thing{e.Kind, e.Name}]++
		case "deleted":
			removed[thing{e.Kind, e.Name}]++
		}
	}
	if len(made) < len(s.Kinds) {
		t.Errorf("made were only %v", made)
	}
	for one, times := range made {
		if times != 1 || gone && removed[one] != 1 || !gone && removed[one] != 0 {
			t.Errorf("%s %s was made %d times and removed %d times", one.kind, one.name, times, removed[one])
		}
	}
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Errorf("got %v (kind %s), want a fault of kind %s", err, fault.Of(err), want)
	}
}
