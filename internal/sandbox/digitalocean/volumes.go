package digitalocean

import (
	"errors"
	"net/http"
	"regexp"
	"slices"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Volumes that are made through the API belong to no cluster, whatever their tags say: like what a cluster left behind, they
// stay until somebody deletes them.

var volumeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// maxVolumeGiB is 16 TiB.
const maxVolumeGiB = 16 << 10

type volumeRequest struct {
	Name        string   `json:"name"`
	Region      string   `json:"region"`
	Description string   `json:"description"`
	SizeGiB     int      `json:"size_gigabytes"`
	Snapshot    string   `json:"snapshot_id"`
	Filesystem  string   `json:"filesystem_type"`
	Tags        []string `json:"tags"`
}

func (r volumeRequest) check() error {
	if !volumeName.MatchString(r.Name) {
		return invalid("name must be lower case, begin with a letter, and have at most 64 letters, numbers and dashes")
	}
	if where, known := findRegion(r.Region); !known || !where.Available {
		return invalid("region is not valid")
	}
	if r.SizeGiB < 1 || r.SizeGiB > maxVolumeGiB {
		return invalid("size_gigabytes must be between 1 and %d", maxVolumeGiB)
	}
	if r.Snapshot != "" || r.Filesystem != "" {
		return invalid("the sandbox has no snapshots and formats no volumes: leave out snapshot_id and filesystem_type")
	}
	return checkTags(r.Tags)
}

func createVolume(c *exchange) (reply, error) {
	var asked volumeRequest
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	if err := asked.check(); err != nil {
		return reply{}, err
	}
	v := belonging{ID: uuid.NewString(), Kind: kindVolume, Name: asked.Name, Region: asked.Region, SizeGiB: asked.SizeGiB,
		Description: asked.Description, Tags: asked.Tags, CreatedAt: c.At}
	err := c.Commit(func(tx *world.Tx) error {
		others, err := world.List[belonging](tx, ref(kindVolume, ""))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(others, func(o belonging) bool { return o.Name == v.Name && o.Region == v.Region }) {
			return conflict("a volume with this name already exists in " + v.Region)
		}
		effect := c.Effect(world.Created, kindVolume, v.ID, v.Name)
		effect.Tags = v.Tags
		return errors.Join(putBelonging(tx, v), tx.Record(effect))
	})
	return reply{status: http.StatusCreated, body: map[string]any{"volume": v.wireVolume()}}, err
}
