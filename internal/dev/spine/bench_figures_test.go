//go:build embedded && bench

package spine

import (
	"debug/buildinfo"
	"flag"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/dev/figures"
)

var (
	chosen      = flag.String("figures", "ready,first,starts,bootstrap,deploy", "which figures are taken, separated by commas")
	benchStarts = flag.Int("starts", 5, "how often m3o dev is started anew, and on what is there")
	benchRounds = flag.Int("rounds", 10, "rounds of first deploys, and of workflow starts through the API and by the bare SDK")
	against     = flag.String("against", "", "the program of another version, beside which are m3o-kube and images: it takes turns in the figure first")
	deploys     = flag.Int("deploys", 20, "deploys in one region, and again in three")
	benchScale  = flag.Float64("scale", 0.5, "how much of their time the clouds take in the bootstrap figure; the path is to be 120 s at least")
)

// kinds are the figures there are.
var kinds = []string{"ready", "first", "starts", "bootstrap", "deploy"}

// TestFigures measures what the platform costs its users, and prints tables that can be taken again. It fails when something
// does not work, never because it was slow: the reader compares with the goals, which stand beside the figures.
func TestFigures(t *testing.T) {
	wanted := map[string]bool{}
	for _, kind := range strings.Split(*chosen, ",") {
		if !slices.Contains(kinds, kind) {
			t.Fatalf("-figures: %q is none of %s", kind, strings.Join(kinds, ", "))
		}
		wanted[kind] = true
	}
	began := time.Now()
	describeMachine(t)
	if wanted["ready"] {
		t.Run("ready", timeToReady)
	}
	if wanted["first"] {
		t.Run("first", firstDeploys)
	}
	if wanted["starts"] {
		t.Run("starts", workflowStarts)
	}
	if wanted["bootstrap"] || wanted["deploy"] {
		t.Run("one region", func(t *testing.T) { measureSite(t, wanted, "lon1") })
	}
	if wanted["bootstrap"] || wanted["deploy"] || wanted["ready"] {
		t.Run("three regions", func(t *testing.T) { measureSite(t, wanted, "lon1", "nyc3", "sgp1") })
	}
	figures.Say("All of it took %s.", time.Since(began).Round(time.Second))
}

// describeMachine says what the figures were taken with.
func describeMachine(t *testing.T) {
	p := &platform{t: t, dir: t.TempDir()}
	version := strings.TrimSpace(p.must("version"))
	info, err := buildinfo.ReadFile(program(t))
	if err != nil {
		t.Fatal(err)
	}
	modules := []string{}
	for _, m := range info.Deps {
		if slices.Contains([]string{"go.temporal.io/server", "go.temporal.io/sdk", "k8s.io/client-go", "modernc.org/sqlite"}, m.Path) {
			modules = append(modules, m.Path+" "+m.Version)
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	figures.Say("\nFigures of %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	figures.Say("m3o: %s; %s; %s", version, info.GoVersion, strings.Join(modules, ", "))
	figures.Say("machine: %d cores, %s, %s MiB of memory, Linux %s", runtime.NumCPU(), runtime.GOARCH, memoryMiB(), strings.TrimSpace(string(kernel)))
	figures.Say("durable: the store (SQLite) syncs every commit before the answer; Temporal's SQLite writes a log that is not synced at every commit")
	figures.Say("beside the figures: %s", figures.WeatherLegend)
}

func memoryMiB() string {
	data, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(data)) {
		if rest, found := strings.CutPrefix(line, "MemTotal:"); found {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return strconv.Itoa(kib >> 10)
		}
	}
	return "?"
}

// observe takes the weather beside a round.
func observe(t *testing.T, dir string) figures.Weather {
	t.Helper()
	w, err := figures.Observe(dir)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
