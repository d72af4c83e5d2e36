package workers

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/region"
)

var update = flag.Bool("update", false, "write testdata/registered.golden anew")

// everything are the holdings of a process that serves all queues.
func everything() Holdings {
	return Holdings{
		Flows: &FlowHoldings{Regions: &activities.Regions{}, Traffic: &activities.Traffic{}, Releases: &activities.Releases{}, Projects: &activities.Projects{}, Gateways: &activities.Gateways{},
			Operators: &activities.Operators{}, Flows: &activities.Flows{}},
		Build: &activities.Builds{},
		Clouds: map[region.Provider]CloudHoldings{region.DigitalOcean: {Networks: &activities.Networks{}, Clusters: &activities.Clusters{}, Accounts: &activities.Accounts{},
			Parts: &activities.Parts{}, Kubeconfigs: &activities.Kubeconfigs{}, Services: &activities.Services{}}},
	}
}

// registered lists what the table serves: queue, kind, name, and for workflows how their runs move to new code.
func registered(table []seat) []string {
	var lines []string
	for _, s := range table {
		for _, f := range s.flows {
			moves := "pinned"
			if f.moves == workflow.VersioningBehaviorAutoUpgrade {
				moves = "upgrades"
			}
			lines = append(lines, fmt.Sprintf("%s workflow %s %s", s.queue, f.name, moves))
		}
		for _, a := range s.activities {
			for i := range reflect.TypeOf(a).NumMethod() {
				lines = append(lines, fmt.Sprintf("%s activity %s", s.queue, reflect.TypeOf(a).Method(i).Name))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// TestRegisteredNames: runs that live know workflows and activities by these names. A name that goes, or moves to another
// queue, strands them; so does an entity that no longer moves to new code. `go test ./workers -update` after a look.
func TestRegisteredNames(t *testing.T) {
	got := strings.Join(registered(seats(everything())), "\n") + "\n"
	const golden = "testdata/registered.golden"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
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

func TestNamesAreGivenOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range registered(seats(everything())) {
		name := strings.Fields(line)[2]
		if seen[name] {
			t.Errorf("%s is registered twice", name)
		}
		seen[name] = true
	}
}

// TestAProcessServesWhatItHolds: without a cloud's identity there is no queue of that cloud.
func TestAProcessServesWhatItHolds(t *testing.T) {
	all := everything()
	for name, c := range map[string]struct {
		holds Holdings
		want  []string
	}{
		"nothing": {Holdings{}, nil}, "database": {Holdings{Flows: all.Flows}, []string{"flows"}}, "builder": {Holdings{Build: all.Build}, []string{"build"}},
		"cloud": {Holdings{Clouds: all.Clouds}, []string{"cloud-digitalocean"}}, "all": {all, []string{"flows", "build", "cloud-digitalocean"}},
	} {
		var queues []string
		for _, s := range seats(c.holds) {
			queues = append(queues, s.queue)
			if s.atOnce < 1 {
				t.Errorf("%s: %s does nothing at once", name, s.queue)
			}
		}
		if !slices.Equal(queues, c.want) {
			t.Errorf("%s serves %v, want %v", name, queues, c.want)
		}
	}
}

// TestEntitiesMoveToNewCode: what lives for years cannot wait for the workers that it began with.
func TestEntitiesMoveToNewCode(t *testing.T) {
	for _, f := range flows() {
		entity := strings.HasPrefix(f.name, "Operate")
		if moves := f.moves == workflow.VersioningBehaviorAutoUpgrade; moves != entity {
			t.Errorf("%s moves to new code: %t", f.name, moves)
		}
	}
}
