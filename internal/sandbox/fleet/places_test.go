package fleet_test

import (
	"testing"

	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// TestPlacesAreSharedByAllClouds has two clouds ask one runner for room, with documents of different shapes.
func TestPlacesAreSharedByAllClouds(t *testing.T) {
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	type flat struct {
		Place string `json:"place"`
	}
	type nested struct {
		Cluster flat `json:"cluster"`
	}
	free := func(tx *world.Tx) string {
		place, _, err := fleet.FreePlace(tx, []string{"first", "second"})
		if err != nil {
			t.Fatal(err)
		}
		return place
	}
	err = w.Update(t.Context(), func(tx *world.Tx) error {
		a, b := world.Ref{Provider: "a", Kind: "cluster", ID: "1"}, world.Ref{Provider: "b", Kind: "cluster", ID: "1"}
		for _, step := range []struct {
			change func() error
			want   string
		}{
			{func() error { return nil }, "first"},
			{func() error { return tx.Put(a, world.Meta{}, flat{"first"}) }, "second"},
			{func() error { return tx.Put(b, world.Meta{}, nested{flat{"second"}}) }, ""},
			{func() error { return tx.Delete(a) }, "first"},
		} {
			if err := step.change(); err != nil {
				return err
			}
			if got := free(tx); got != step.want {
				t.Errorf("free is %q, want %q", got, step.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
