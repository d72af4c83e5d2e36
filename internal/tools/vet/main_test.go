package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Only facts of others are left out: what is to be reported, and whatever is ours or the standard library's, the program sees.
func TestWhatIsSkipped(t *testing.T) {
	for _, c := range []struct {
		path      string
		factsOnly bool
		skipped   bool
	}{
		{"k8s.io/kubernetes/pkg/kubelet", true, true}, {"go.temporal.io/server/common", true, true},
		{"k8s.io/kubernetes/pkg/kubelet", false, false},
		{"fmt", true, false}, {"encoding/json", true, false}, {"encoding/json", false, false},
		{ours, true, false}, {ours + "/internal/fault", true, false}, {ours + "/internal/kube/tree", false, false},
	} {
		dir := t.TempDir()
		file, output := filepath.Join(dir, "vet.cfg"), filepath.Join(dir, "vet.out")
		data, err := json.Marshal(config{ImportPath: c.path, VetxOnly: c.factsOnly, VetxOutput: output})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		skipped, err := skip(file)
		if _, missing := os.Stat(output); err != nil || skipped != c.skipped || skipped == (missing != nil) {
			t.Errorf("%s, facts only %t: skipped %t, %v; output: %v", c.path, c.factsOnly, skipped, err, missing)
		}
	}
}
