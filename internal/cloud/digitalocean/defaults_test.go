package digitalocean_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/digitalocean/digitaloceantest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
)

// unused is an account that nobody has used yet, with the words the tests are written in.
type unused struct {
	digitaloceantest.Account
	cloudtest.Harness
	t   *testing.T
	sdk *godo.Client
}

func newUnused(t *testing.T) unused {
	t.Helper()
	account := newAccount(t, sandbox.Config{NewAccount: true})
	return unused{Account: account, Harness: account.Harness(t), t: t, sdk: account.SDK(t)}
}

func (u unused) make(name, location, description string) {
	u.t.Helper()
	request := godo.VPCCreateRequest{Name: name, RegionSlug: location, Description: description}
	if _, _, err := u.sdk.VPCs.Create(u.t.Context(), &request); err != nil {
		u.t.Fatal(err)
	}
}

// makeOurs makes the region's network as an older version did: the first of its location.
func (u unused) makeOurs() {
	u.t.Helper()
	spec := u.Region.NetworkSpec()
	u.make(spec.Name, spec.Location, spec.Owner.Owner())
}

// wantVPCs compares with what there is, each as "name", and the default of its location as "name*".
func (u unused) wantVPCs(want ...string) {
	u.t.Helper()
	all, _, err := u.sdk.VPCs.List(u.t.Context(), &godo.ListOptions{PerPage: 200})
	if err != nil {
		u.t.Fatal(err)
	}
	var got []string
	for _, v := range all {
		name := v.Name
		if v.Default {
			name += "*"
		}
		got = append(got, name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		u.t.Errorf("the account has the VPCs %v, want %v", got, want)
	}
}

// wantEffects compares with what happened to the VPC of that name.
func (u unused) wantEffects(name string, want ...string) {
	u.t.Helper()
	var got []string
	for _, e := range u.Effects(u.t) {
		if e.Name == name {
			got = append(got, e.Change)
		}
	}
	if !slices.Equal(got, want) {
		u.t.Errorf("%s was %v, want %v", name, got, want)
	}
}

// insist does it again while the answer is lost, and returns how often it was.
func (u unused) insist(do func(context.Context) error) (lost int) {
	u.t.Helper()
	for ; ; lost++ {
		err := do(u.t.Context())
		if err == nil {
			return lost
		}
		if !fault.Is(err, fault.Unavailable) || lost > 5 {
			u.t.Fatalf("after %d lost answers: %v", lost, err)
		}
	}
}

func (u unused) ensure(ctx context.Context) error {
	_, err := u.Provider.EnsureNetwork(ctx, u.Region.NetworkSpec(), "")
	return err
}

func (u unused) delete(ctx context.Context) error {
	_, err := u.Provider.DeleteNetwork(ctx, u.Region.NetworkSpec(), "")
	return err
}

func TestOursIsNeverALocationsDefault(t *testing.T) {
	u := newUnused(t)
	u.insist(u.ensure)
	u.wantVPCs("default-lon1*", "m3o-micro-lon1")
	if owned, err := u.Provider.Owned(t.Context(), u.Region.Key(), u.Region.Location); err != nil || len(owned) != 1 {
		t.Errorf("ours are %v, %v; want the network alone", owned, err)
	}
	for range 2 {
		u.insist(u.delete)
		u.wantVPCs("default-lon1*")
	}
	u.insist(u.ensure)
	u.insist(u.delete)
	u.wantEffects("default-lon1", "created")
	u.wantEffects("m3o-micro-lon1", "created", "deleted", "created", "deleted")
}

func TestAPlaceInUseIsLeftAsItIs(t *testing.T) {
	u := newUnused(t)
	u.make("somebodys", "lon1", "")
	u.make("default-lon1", "nyc3", "")
	u.insist(u.ensure)
	u.insist(u.delete)
	u.wantVPCs("somebodys*", "default-lon1*")
}

func TestLostAnswersAboutDefaultsAreFoundAgain(t *testing.T) {
	for after, name := range []string{"default-lon1", "m3o-micro-lon1"} {
		t.Run("create "+name, func(t *testing.T) {
			u := newUnused(t)
			u.Fault(t, "vpcs_create", "lost", after)
			if lost := u.insist(u.ensure); lost != 1 {
				t.Errorf("%d answers were lost", lost)
			}
			u.wantVPCs("default-lon1*", "m3o-micro-lon1")
			u.wantEffects("default-lon1", "created")
			u.wantEffects("m3o-micro-lon1", "created")
		})
	}
	for _, operations := range [][]string{{"vpcs_create"}, {"vpcs_patch"}, {"vpcs_delete"}, {"vpcs_create", "vpcs_patch", "vpcs_delete"}} {
		t.Run("delete "+strings.Join(operations, " "), func(t *testing.T) {
			u := newUnused(t)
			u.makeOurs()
			u.wantVPCs("m3o-micro-lon1*")
			for _, operation := range operations {
				u.Fault(t, operation, "lost", 0)
			}
			if lost := u.insist(u.delete); lost != len(operations) {
				t.Errorf("%d answers were lost, want %d", lost, len(operations))
			}
			u.wantVPCs("default-lon1*")
			u.wantEffects("default-lon1", "created", "updated")
			u.wantEffects("m3o-micro-lon1", "created", "deleted")
		})
	}
}

// What keeps a network from being deleted is looked for as before once another is the default.
func TestADefaultWithMembersIsAConflict(t *testing.T) {
	u := newUnused(t)
	u.makeOurs()
	network, err := u.Provider.EnsureNetwork(t.Context(), u.Region.NetworkSpec(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Provider.EnsureCluster(t.Context(), u.Region.ClusterSpec(network), ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := u.delete(t.Context()); !fault.Is(err, fault.Conflict) {
			t.Errorf("got %v, want a Conflict", err)
		}
		u.wantVPCs("default-lon1*", "m3o-micro-lon1")
	}
}

func TestWhatTakesOursPlaceAsDefault(t *testing.T) {
	for _, c := range []struct {
		name  string
		there [][3]string // name, location and description of what is there besides
		want  []string
	}{
		{"one of the place that is nobody's region's", [][3]string{{"somebodys", "lon1", "mail"}, {"another", "lon1", ""}}, []string{"another", "somebodys*"}},
		{"what DigitalOcean makes, before others", [][3]string{{"somebodys", "lon1", ""}, {"default-lon1", "lon1", ""}}, []string{"default-lon1*", "somebodys"}},
		{"no region's, and none of another place", [][3]string{{"m3o-micro-two", "lon1", "m3o:micro:two"}, {"somebodys", "nyc3", ""}},
			[]string{"default-lon1*", "m3o-micro-two", "somebodys*"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUnused(t)
			u.makeOurs()
			for _, v := range c.there {
				u.make(v[0], v[1], v[2])
			}
			u.insist(u.delete)
			u.wantVPCs(c.want...)
		})
	}
}

// Names are unique in an account, so the default's can be taken where it is of no use.
func TestATakenNameForTheDefaultIsExplained(t *testing.T) {
	u := newUnused(t)
	u.make("default-lon1", "nyc3", "")
	refused := func(err error) {
		t.Helper()
		if text := fault.Message(err); !fault.Is(err, fault.Exists) || !strings.Contains(text, "VPC default-lon1 (") || !strings.Contains(text, "in nyc3") {
			t.Errorf("got %v of kind %s", err, fault.Of(err))
		}
	}
	refused(u.ensure(t.Context()))
	u.wantVPCs("default-lon1*")
	u.makeOurs()
	refused(u.delete(t.Context()))
	u.wantVPCs("default-lon1*", "m3o-micro-lon1*")
}

// Attempts at once, of two regions, on an account that nobody has used.
func TestTogetherOnANewAccount(t *testing.T) {
	u := newUnused(t)
	other := u.Region
	other.Name = "two"
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	for i := range cap(failed) {
		spec := u.Region.NetworkSpec()
		if i%2 == 1 {
			spec = other.NetworkSpec()
		}
		wg.Go(func() {
			if _, err := u.Provider.EnsureNetwork(t.Context(), spec, ""); err != nil {
				failed <- fmt.Errorf("%s: %w", spec.Name, err)
			}
		})
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	u.wantVPCs("default-lon1*", "m3o-micro-lon1", "m3o-micro-two")
	u.wantEffects("default-lon1", "created")
}

func TestANetworkHasTheRangeThatIsAskedFor(t *testing.T) {
	u := newUnused(t)
	u.Region.CIDR = "10.50.0.0/18"
	made, err := u.Provider.EnsureNetwork(t.Context(), u.Region.NetworkSpec(), "")
	if err != nil || made.CIDR != "10.50.0.0/18" {
		t.Errorf("made %+v, %v", made, err)
	}
	other := u.Region
	other.Name, other.CIDR = "other", "10.50.32.0/20"
	for want, spec := range map[string]region.Spec{"": u.Region, "cidr 10.50.32.0/20 of region " + other.Key().String() + " overlaps 10.50.0.0/18 of the VPC " + made.Name: other} {
		got, err := u.Provider.Preflight(t.Context(), spec, nil)
		words := fmt.Sprint(got.Obstacles)
		if err != nil || (want == "") != (len(got.Obstacles) == 0) || !strings.Contains(words, want) {
			t.Errorf("%s: %s, %v", spec.CIDR, words, err)
		}
	}
}
