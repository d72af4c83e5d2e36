package digitalocean

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/m3o/platform/deploy/workers"
)

// TestTheWorkersScopesAreTheTable: no more and no less. That the table has what is really called is for the contract check, which reads
// this package.
func TestTheWorkersScopesAreTheTable(t *testing.T) {
	var policy struct{ Scopes []string }
	if err := json.Unmarshal(workerpolicy.Of("digitalocean"), &policy); err != nil {
		t.Fatal(err)
	}
	if want := allPermissions(); !slices.Equal(policy.Scopes, want) {
		t.Errorf("the policy document has %v, the table %v", policy.Scopes, want)
	}
}
