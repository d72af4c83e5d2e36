//go:build embedded && bench

package spine

import (
	"crypto/sha256"
	"debug/buildinfo"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	figures     = flag.String("figures", "ready,first,starts,bootstrap,deploy", "which figures are taken, separated by commas")
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
	for _, kind := range strings.Split(*figures, ",") {
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
	say("All of it took %s.", time.Since(began).Round(time.Second))
}

// say prints a line of the report; go test keeps nothing of it back with -v.
func say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }

// printTable prints a table that is readable as it is, and in Markdown.
func printTable(title string, header []string, rows [][]string) {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	line := func(row []string, fill string) string {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(fill, widths[i]-len([]rune(cell))) + " ")
		}
		return b.String() + "|"
	}
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "-"
	}
	say("\n%s\n\n%s\n%s", title, line(header, " "), line(rule, "-"))
	for _, row := range rows {
		say("%s", line(row, " "))
	}
	say("")
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
	say("\nFigures of %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	say("m3o: %s; %s; %s", version, info.GoVersion, strings.Join(modules, ", "))
	say("machine: %d cores, %s, %s MiB of memory, Linux %s", runtime.NumCPU(), runtime.GOARCH, memoryMiB(), strings.TrimSpace(string(kernel)))
	say("durable: the store (SQLite) syncs every commit before the answer; Temporal's SQLite writes a log that is not synced at every commit")
	say("beside the figures: load is the 1-minute load average, cpu the time to hash 32 MiB on one core, fsync the median of 9 writes of 4 KiB with fsync")
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

// weather is how busy the machine is beside a round: what others do to it moves every figure.
type weather struct {
	load       float64
	cpu, fsync time.Duration
}

func (w weather) cells() []string {
	return []string{fmt.Sprintf("%.1f", w.load), millis(w.cpu), millis(w.fsync)}
}

// weatherHeader heads the cells of a weather.
var weatherHeader = []string{"load", "cpu ms", "fsync ms"}

func observe(t *testing.T, dir string) weather {
	t.Helper()
	w := weather{load: loadAverage()}
	block := make([]byte, 1<<20)
	began := time.Now()
	hash := sha256.New()
	for range 32 {
		hash.Write(block)
	}
	w.cpu = time.Since(began)
	file, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var syncs []time.Duration
	for range 9 {
		began := time.Now()
		if _, err := file.Write(block[:4096]); err != nil {
			t.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
		syncs = append(syncs, time.Since(began))
	}
	w.fsync = median(syncs)
	return w
}

func loadAverage() float64 {
	data, _ := os.ReadFile("/proc/loadavg")
	load, _ := strconv.ParseFloat(strings.Fields(string(data) + " 0")[0], 64)
	return load
}

type number interface{ ~int64 | ~float64 }

// quantile is the nearest rank: with fewer than 100 values, p99 is the largest.
func quantile[T number](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median[T number](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
func secs(d time.Duration) string   { return fmt.Sprintf("%.2f", d.Seconds()) }
