package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/config"
	"go.yaml.in/yaml/v3"
)

// ofTheMachine are settings of the files themselves, from which the machine is made, not the worker.
var ofTheMachine = []string{"M3O_PROGRAM", "M3O_PROGRAM_SHA256", "M3O_VAULT"}

// TestFilesThatPlaceWorkersAreTrue: each cloud has them, they are YAML where they say so, they serve that cloud's queue, and every
// setting in them is one of its worker's.
func TestFilesThatPlaceWorkersAreTrue(t *testing.T) {
	variable := regexp.MustCompile(`\bM3O_[A-Z0-9_]+\b`)
	for _, r := range queues {
		cloud, isCloud := strings.CutPrefix(r.queue, "cloud-")
		if !isCloud {
			continue
		}
		dir := filepath.Join("..", "deploy", "workers", cloud)
		known := variable.FindAllString(config.Describe(partsOf([]row{r})...), -1)
		for _, must := range []string{"README.md", "policy.json", "worker.yaml"} {
			if _, err := os.Stat(filepath.Join(dir, must)); err != nil {
				t.Errorf("%s: %v", cloud, err)
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		serves := 0
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			if strings.Contains(text, r.queue) && f.Name() != "README.md" {
				serves++
			}
			if strings.HasSuffix(f.Name(), ".yaml") {
				for d := yaml.NewDecoder(strings.NewReader(text)); ; {
					var document map[string]any
					if err := d.Decode(&document); err != nil {
						if err.Error() != "EOF" {
							t.Errorf("%s/%s: %v", cloud, f.Name(), err)
						}
						break
					}
				}
			}
			for _, name := range variable.FindAllString(text, -1) {
				if !slices.Contains(known, name) && !slices.Contains(ofTheMachine, name) {
					t.Errorf("%s/%s tells the worker %s, which it does not know", cloud, f.Name(), name)
				}
			}
		}
		if serves < 2 {
			t.Errorf("%s: %d files serve %s: one is to be for a machine, one for a cluster", cloud, serves, r.queue)
		}
	}
}
