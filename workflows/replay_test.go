package workflows_test

import (
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/workflows"
)

// nondeterminism is Temporal's code for it.
const nondeterminism = "TMPRL1100"

// TestASwappedStepDoesNotReplay: what workers' replay test stands for is only worth something if it fails when it must.
func TestASwappedStepDoesNotReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/replay/" + region.BootstrapWorkflow + "-*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded bootstraps: %v", err)
	}
	for _, file := range files {
		if err := replayAs(workflows.BootstrapRegion, file); err != nil {
			t.Errorf("%s does not replay as it is: %v", file, err)
		}
		err := replayAs(workflows.SwappedBootstrap, file)
		if err == nil || !strings.Contains(err.Error(), nondeterminism) {
			t.Errorf("%s: with two steps swapped the replay ended with %v; want a nondeterminism error", file, err)
		}
	}
}

func replayAs(bootstrap any, file string) error {
	r := worker.NewWorkflowReplayer()
	r.RegisterWorkflowWithOptions(bootstrap, workflow.RegisterOptions{Name: region.BootstrapWorkflow})
	return r.ReplayWorkflowHistoryFromJSONFile(quiet{}, file)
}
