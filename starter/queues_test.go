package main

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/workers"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// registered lists what the table serves: queue, kind, name, and for workflows how their runs move to new code.
func registered() []string {
	var lines []string
	for _, r := range queues {
		for _, name := range (workers.Seat{Queue: r.queue, Workflows: r.workflows, Activities: r.serves, AtOnce: r.atOnce}).Names() {
			lines = append(lines, r.queue+" "+name)
		}
	}
	slices.Sort(lines)
	return lines
}

// TestRegisteredNames: runs that live know workflows and activities by these names. A name that goes, or moves to another
// queue, strands them; so does an entity that no longer moves to new code. `go test ./starter -run TestRegisteredNames -update`
// after a look.
func TestRegisteredNames(t *testing.T) {
	got := strings.Join(registered(), "\n") + "\n"
	const golden = "testdata/registered.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range differ(string(want), got) {
		t.Errorf("no longer registered: %s", line)
	}
	for _, line := range differ(got, string(want)) {
		t.Errorf("newly registered: %s", line)
	}
}

// differ lists the lines of a that b lacks.
func differ(a, b string) []string {
	have := strings.Split(b, "\n")
	return slices.DeleteFunc(strings.Split(a, "\n"), func(line string) bool { return slices.Contains(have, line) })
}

// TestNamesAreGivenOnce: clouds serve the same activities, each on its own queue; nothing else is served twice.
func TestNamesAreGivenOnce(t *testing.T) {
	seen := map[string]string{}
	for _, line := range registered() {
		words := strings.Fields(line)
		if other, found := seen[words[2]]; found && !(strings.HasPrefix(other, "cloud-") && strings.HasPrefix(words[0], "cloud-")) {
			t.Errorf("%s is registered on %s and on %s", words[2], other, words[0])
		}
		seen[words[2]] = words[0]
	}
}

func TestEveryProviderHasAQueue(t *testing.T) {
	for _, p := range region.Providers() {
		if !slices.ContainsFunc(queues, func(r row) bool { return r.cloud && r.queue == queue.Cloud(p) }) {
			t.Errorf("a platform file may name %s, and no worker serves it", p)
		}
	}
}

func TestEveryRowSaysWhatItIs(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range queues {
		if r.queue == "" || seen[r.queue] || r.atOnce < 1 || r.open == nil || r.serves == nil || len(r.settings) == 0 {
			t.Errorf("row %q is not whole: %+v", r.queue, r)
		}
		seen[r.queue] = true
		if r.cloud != strings.HasPrefix(r.queue, "cloud-") || r.cloud && !slices.ContainsFunc(r.settings, func(p config.Part) bool { return p.Name == config.Cloud.Name }) {
			t.Errorf("row %q: is it a cloud's?", r.queue)
		}
	}
}

// TestTheREADMEListsChannelsSettings: who sets up a channel finds each of its settings there.
func TestTheREADMEListsChannelsSettings(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "### Alerting")
	text, _, _ = strings.Cut(text, "### ")
	for line := range strings.Lines(config.Describe(config.Part{Name: config.Pages.Name, Own: pagesSettings{}})) {
		if name := strings.Fields(line)[0]; !strings.Contains(text, "`"+name+"`") {
			t.Errorf("README.md does not list %s", name)
		}
	}
}

// TestTheREADMEListsCloudsSettings: who places a worker in a cloud finds each of its settings there, the cloud's own in its row.
func TestTheREADMEListsCloudsSettings(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range queues {
		if !r.cloud {
			continue
		}
		for _, part := range r.settings {
			text := string(readme)
			if part.Own != nil {
				_, text, _ = strings.Cut(text, "| `"+r.queue+"` |")
				text, _, _ = strings.Cut(text, "\n")
			}
			for line := range strings.Lines(config.Describe(config.Part{Name: part.Name, Own: part.Own})) {
				if name := strings.Fields(line)[0]; !strings.Contains(text, "`"+name+"`") {
					t.Errorf("README.md does not list %s of the queue %s", name, r.queue)
				}
			}
		}
	}
}
