package digitalocean

import (
	"errors"
	"net/http"
	"slices"

	"github.com/m3o/platform/internal/sandbox/world"
)

func listUpgrades(c *exchange) (reply, error) {
	versions := []wireVersion{}
	err := c.View(func(tx *world.Tx) error {
		f, err := c.family(tx)
		if err == nil {
			for _, minor := range c.cloud.upgradesFrom(f.cluster.Version) {
				versions = append(versions, wireVersionOf(minor))
			}
		}
		return err
	})
	return reply{status: http.StatusOK, body: map[string]any{"available_upgrade_versions": versions}}, err
}

// upgradesFrom lists where a cluster can go: one minor version up, as there.
func (c *Cloud) upgradesFrom(slug string) []string {
	current := minorNumber(minorOf(slug))
	return slices.DeleteFunc(slices.Clone(c.Versions), func(minor string) bool { return minorNumber(minor) != current+1 })
}

func upgradeCluster(c *exchange) (reply, error) {
	var asked struct {
		Version string `json:"version"`
	}
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	err := c.Commit(func(tx *world.Tx) error {
		f, err := c.liveFamily(tx)
		if err != nil {
			return err
		}
		one := f.cluster
		if one.State != running {
			return unprocessable("the cluster is %s: only a running cluster can be upgraded", one.State)
		}
		target, known := resolveVersion(asked.Version, c.cloud.upgradesFrom(one.Version))
		if !known {
			return unprocessable("version %q is not an available upgrade from %s", asked.Version, one.Version)
		}
		if one.Transition, err = c.begin(tx, one.ID+target, clusterUpgrade); err != nil {
			return err
		}
		one.State, one.Target, one.UpdatedAt = upgrading, target, c.At
		effect := c.Effect(world.Updated, kindCluster, one.ID, one.Name)
		effect.Tags, effect.State = one.Tags, upgrading
		return errors.Join(putCluster(tx, one), tx.Record(effect))
	})
	return reply{status: http.StatusAccepted}, err
}
