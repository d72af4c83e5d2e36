package digitalocean_test

import (
	"net/http"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/sandbox/digitalocean"
	"github.com/m3o/platform/internal/sandbox/world"
)

func (c *cloud) vpcs() []*godo.VPC {
	c.t.Helper()
	all, _, err := c.VPCs.List(c.ctx, &godo.ListOptions{PerPage: 200})
	must(c.t, err)
	return all
}

// defaults are the names of the regions' default VPCs.
func (c *cloud) defaults() map[string]string {
	c.t.Helper()
	names := map[string]string{}
	for _, v := range c.vpcs() {
		if v.Default && names[v.RegionSlug] != "" {
			c.t.Errorf("%s has the defaults %s and %s", v.RegionSlug, names[v.RegionSlug], v.Name)
		}
		if v.Default {
			names[v.RegionSlug] = v.Name
		}
	}
	return names
}

func TestAnAccountInUseHasADefaultVPCInEveryRegion(t *testing.T) {
	c := newCloud(t)
	regions, _, err := c.Regions.List(c.ctx, &godo.ListOptions{PerPage: 200})
	must(t, err)
	names := c.defaults()
	for _, r := range regions {
		want := ""
		if r.Available {
			want = "default-" + r.Slug
		}
		equal(t, "default of "+r.Slug, names[r.Slug], want)
	}
	equal(t, "lines of the ledger", len(c.ledger()), 0)
	equal(t, "a further VPC is the default", c.vpc("net-1").Default, false)
	cluster := c.cluster("lon1", 1)
	network, _, err := c.VPCs.Get(c.ctx, cluster.VPCUUID)
	must(t, err)
	equal(t, "network of a cluster that names none", network.Name, "default-lon1")
	c.balanced()
}

func TestTheFirstVPCOfARegionIsItsDefault(t *testing.T) {
	c := newAccount(t)
	equal(t, "VPCs", len(c.vpcs()), 0)
	first, second := c.vpc("net-1"), c.vpc("net-2")
	equal(t, "the first is the default", first.Default, true)
	equal(t, "the second is the default", second.Default, false)
	elsewhere, _, err := c.VPCs.Create(c.ctx, &godo.VPCCreateRequest{Name: "net-3", RegionSlug: "nyc3"})
	must(t, err)
	equal(t, "the first elsewhere is the default", elsewhere.Default, true)

	before := len(c.ledger())
	_, err = c.VPCs.Delete(c.ctx, first.ID)
	refused(t, err, http.StatusForbidden, "Can not delete default VPCs")
	_, _, err = c.VPCs.Update(c.ctx, first.ID, &godo.VPCUpdateRequest{Name: "other", Default: godo.PtrTo(false)})
	refused(t, err, http.StatusForbidden, "Can not unset default VPCs")
	equal(t, "lines of the ledger", len(c.ledger()), before)
	equal(t, "default of lon1", c.defaults()["lon1"], "net-1")

	_, _, err = c.VPCs.Set(c.ctx, second.ID, godo.VPCSetDefault())
	must(t, err)
	equal(t, "default of lon1", c.defaults()["lon1"], "net-2")
	equal(t, "default of nyc3", c.defaults()["nyc3"], "net-3")
	_, _, err = c.VPCs.Update(c.ctx, first.ID, &godo.VPCUpdateRequest{Name: "net-1", Default: godo.PtrTo(false)})
	must(t, err)
	_, err = c.VPCs.Delete(c.ctx, first.ID)
	must(t, err)
	c.balanced()
}

// TestStatesOfOldAreFurnished: a directory from before there were defaults gets them, and what was made in it stays.
func TestStatesOfOldAreFurnished(t *testing.T) {
	dir := t.TempDir()
	old := open(t, dir, 0.001, digitalocean.Config{NewAccount: true})
	old.vpc("net-1")
	_, _, err := old.VPCs.Create(old.ctx, &godo.VPCCreateRequest{Name: "default-nyc3", RegionSlug: "sgp1"})
	must(t, err)
	must(t, old.world.Update(old.ctx, noDefaults))
	old.stop()
	for range 2 {
		c := open(t, dir, 0.001, digitalocean.Config{})
		names := c.defaults()
		equal(t, "default of lon1", names["lon1"], "default-lon1")
		equal(t, "default of nyc3, whose name is taken", names["nyc3"], "")
		equal(t, "VPCs", len(c.vpcs()), 2+13)
		equal(t, "lines of the ledger", len(c.ledger()), 2)
		c.stop()
	}
}

// noDefaults makes every VPC one like those that were made before there were defaults.
func noDefaults(tx *world.Tx) error {
	ref := world.Ref{Provider: digitalocean.Name, Kind: "vpc"}
	all, err := world.List[map[string]any](tx, ref)
	for _, v := range all {
		v["default"] = false
		ref.ID = v["id"].(string)
		if err == nil {
			err = tx.Put(ref, world.Meta{Name: v["name"].(string)}, v)
		}
	}
	return err
}
