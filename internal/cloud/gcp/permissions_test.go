package gcp

import (
	"encoding/json"
	"slices"
	"testing"

	workerpolicy "github.com/m3o/platform/deploy/workers"
)

// The role of a worker is what the table says, no more and no less. That the table has what is really called is for the
// conformance suite, which records it.
func TestTheWorkersRoleIsTheTable(t *testing.T) {
	var role struct {
		Title       string   `json:"title"`
		Permissions []string `json:"includedPermissions"`
	}
	if err := json.Unmarshal(workerpolicy.Of("gcp"), &role); err != nil {
		t.Fatal(err)
	}
	if want := allPermissions(); !slices.Equal(role.Permissions, want) || role.Title == "" {
		data, err := json.MarshalIndent(want, "  ", "  ")
		t.Errorf("the policy document differs from the table, whose permissions are %s, %v", data, err)
	}
}
