package digitalocean

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// A region in which there is any VPC has a default one, where everything goes that names no other. The first becomes it; another
// can be made it in its place, but it can neither be unset nor deleted.

func defaultOf(all []vpc, where string) (vpc, bool) {
	i := slices.IndexFunc(all, func(v vpc) bool { return v.Default && v.Region == where })
	if i < 0 {
		return vpc{}, false
	}
	return all[i], true
}

// newDefault is a default VPC as the cloud makes it by itself.
func newDefault(where string, all []vpc, at time.Time) (vpc, error) {
	v := vpc{ID: uuid.NewString(), Name: "default-" + where, Region: where, Default: true, CreatedAt: at}
	return v, v.fit(all)
}

// defaultVPC returns the region's default VPC, and makes it for the first that needs it.
func (c *exchange) defaultVPC(tx *world.Tx, where string) (string, error) {
	all, err := world.List[vpc](tx, ref(kindVPC, ""))
	if err != nil {
		return "", err
	}
	if v, has := defaultOf(all, where); has {
		return v.ID, nil
	}
	v, err := newDefault(where, all, c.At)
	if err != nil {
		return "", err
	}
	return v.ID, c.addVPC(tx, v, c.At)
}

// furnish makes the account one that is in use, with a default VPC in every region. They count as there before anything
// happened, so the ledger has no line about them. A region that has a default keeps it; one where the name or every network
// is taken goes without, until somebody makes a VPC there.
func (c *Cloud) furnish() error {
	return c.World.Update(context.Background(), func(tx *world.Tx) error {
		all, err := world.List[vpc](tx, ref(kindVPC, ""))
		if err != nil {
			return err
		}
		for _, r := range regions {
			if _, has := defaultOf(all, r.Slug); has || !r.Available {
				continue
			}
			v, err := newDefault(r.Slug, all, c.World.Clock.Now())
			if err != nil {
				continue
			}
			if err := putVPC(tx, v); err != nil {
				return err
			}
			all = append(all, v)
		}
		return nil
	})
}
