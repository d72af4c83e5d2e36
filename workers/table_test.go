package workers

import (
	"strings"
	"testing"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/alert"
)

// TestEntitiesMoveToNewCode: what lives for years, or retries without end, cannot wait for the workers that it began with.
func TestEntitiesMoveToNewCode(t *testing.T) {
	for _, f := range flows() {
		entity := strings.HasPrefix(f.name, "Operate") || strings.HasSuffix(f.name, "Project") || f.name == alert.EscalateWorkflow
		if moves := f.moves == workflow.VersioningBehaviorAutoUpgrade; moves != entity {
			t.Errorf("%s moves to new code: %t", f.name, moves)
		}
	}
}
