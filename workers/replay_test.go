package workers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// recorded is where `make record` keeps the histories of released workflows.
const recorded = "../workflows/testdata/replay"

// TestRecordedHistoriesReplay holds the workflows to what running ones expect: a change to what a workflow does in which
// order fails here. Such a change belongs behind a named function in workflows/versions.go, and the old histories stay.
func TestRecordedHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recorded, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	replayer := worker.NewWorkflowReplayer()
	missing := map[string]bool{}
	for _, f := range flows() {
		replayer.RegisterWorkflowWithOptions(f.function, workflow.RegisterOptions{Name: f.name})
		missing[f.name] = true
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(data), `"name": "`+name+`"`) {
				t.Errorf("the file holds no %s", name)
			}
			delete(missing, name)
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(silent{}, file); err != nil {
				t.Error(err)
			}
		})
	}
	for name := range missing {
		t.Errorf("%s has no recorded history: make record", name)
	}
}

func TestRecordedHistoriesNameNoMachine(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(recorded, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded histories: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"identity\":", "/root/", "/home/", "/tmp/", "binary/encrypted", "@" + host} {
			if strings.Contains(string(data), word) {
				t.Errorf("%s holds %q", file, word)
			}
		}
	}
}

// silent drops the SDK's log.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
