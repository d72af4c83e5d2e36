//go:build embedded && bench

package spine

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/dev/figures"
)

// timeToReady starts m3o dev on a new data directory, and again on the same one, until /readyz answers 200.
func timeToReady(t *testing.T) {
	var fresh, existing []time.Duration
	var rows [][]string
	for i := range *benchStarts {
		t.Run(fmt.Sprint("start ", i+1), func(t *testing.T) {
			w := observe(t, t.TempDir())
			began := time.Now()
			p := start(t, settings{scale: 0.02, poll: "500ms"})
			fresh = append(fresh, time.Since(began))
			p.stop()
			existing = append(existing, p.again())
			rows = append(rows, append([]string{fmt.Sprint(i + 1), figures.Secs(fresh[i]), figures.Secs(existing[i])}, w.Cells()...))
		})
	}
	figures.Table("Time to ready, rounds (seconds until /readyz is 200)", append([]string{"round", "new directory", "existing directory"}, figures.WeatherHeader...), rows)
	figures.Table("Time to ready (goal < 10 s)", []string{"data directory", "n", "median s", "max s"}, [][]string{
		{"new", fmt.Sprint(len(fresh)), figures.Secs(figures.Median(fresh)), figures.Secs(slices.Max(fresh))},
		{"existing, no regions", fmt.Sprint(len(existing)), figures.Secs(figures.Median(existing)), figures.Secs(slices.Max(existing))}})
}

// again starts m3o dev on what is there, and says how long that took.
func (p *platform) again() time.Duration {
	p.t.Helper()
	began := time.Now()
	p.up()
	return time.Since(began)
}

// returnToRegions starts m3o dev again where regions are: after Ctrl-C their clusters have to start too, after a kill of its
// process group they run on.
func returnToRegions(t *testing.T, p *platform) {
	var stopped, killed []time.Duration
	for range 3 {
		p.kill()
		killed = append(killed, p.again())
		p.stop()
		stopped = append(stopped, p.again())
	}
	figures.Table("Time to ready where three regions and a service are (goal < 10 s)", []string{"how it ended before", "n", "median s", "max s"}, [][]string{
		{"kill -9; the clusters run on", fmt.Sprint(len(killed)), figures.Secs(figures.Median(killed)), figures.Secs(slices.Max(killed))},
		{"Ctrl-C; the clusters start again", fmt.Sprint(len(stopped)), figures.Secs(figures.Median(stopped)), figures.Secs(slices.Max(stopped))}})
}

// usage is the memory of the processes of one kind, in bytes.
type usage struct {
	processes int
	pss, rss  int64
}

// memory prints what everything of the data directory holds, by kind of process: the median of five readings.
func memory(t *testing.T, p *platform) {
	time.Sleep(20 * time.Second) // what a deploy or a bootstrap took is given back
	var readings []map[string]usage
	var totals []int64
	for range 5 {
		reading := readMemory(t, p.dir)
		readings = append(readings, reading)
		totals = append(totals, sum(reading).pss)
		time.Sleep(3 * time.Second)
	}
	middle := readings[slices.Index(totals, figures.Quantile(totals, 0.5))]
	var rows [][]string
	for _, kind := range slices.Sorted(maps.Keys(middle)) {
		rows = append(rows, middle[kind].row(kind))
	}
	rows = append(rows, sum(middle).row("**all**"))
	figures.Table("Memory with three regions ready and hello in each (goal < 2.5 GB)", []string{"process", "n", "PSS MB", "RSS MB (counts shared pages again)"}, rows)
	figures.Say("PSS of all, n=%d readings: median %d MB, max %d MB; %s", len(totals), figures.Median(totals)/1e6, slices.Max(totals)/1e6,
		strings.Join(observe(t, p.dir).Cells(), " / ")+" (load / cpu ms / fsync ms)")
}

func (u usage) row(kind string) []string {
	return []string{kind, fmt.Sprint(u.processes), fmt.Sprint(u.pss / 1e6), fmt.Sprint(u.rss / 1e6)}
}

func sum(reading map[string]usage) usage {
	var all usage
	for _, u := range reading {
		all = usage{all.processes + u.processes, all.pss + u.pss, all.rss + u.rss}
	}
	return all
}

// readMemory adds up the processes whose command line names the directory, and all that they started.
func readMemory(t *testing.T, dir string) map[string]usage {
	t.Helper()
	found := map[string]usage{}
	for _, pid := range family(dir) {
		rollup, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
		line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err != nil || len(line) == 0 {
			continue // it has ended since
		}
		kind := kindOfProcess(line)
		u := found[kind]
		found[kind] = usage{u.processes + 1, u.pss + field(rollup, "Pss:"), u.rss + field(rollup, "Rss:")}
	}
	if len(found) == 0 {
		t.Fatal("no process of the data directory was found")
	}
	return found
}

func field(rollup []byte, name string) int64 {
	for line := range bytes.Lines(rollup) {
		if words := strings.Fields(string(line)); len(words) > 1 && words[0] == name {
			kib, _ := strconv.ParseInt(words[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// kindOfProcess is a program and its first word, if that is a command.
func kindOfProcess(line []byte) string {
	words := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	kind := filepath.Base(words[0])
	if len(words) > 1 && words[1] != "" && !strings.ContainsAny(words[1][:1], "-/.") && !strings.Contains(words[1], "/") {
		kind += " " + words[1]
	}
	return kind
}

// family lists the processes of the directory and their descendants.
func family(dir string) []int {
	children := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		if words := strings.Fields(rest); len(words) > 1 {
			parent, _ := strconv.Atoi(words[1])
			children[parent] = append(children[parent], pid)
		}
	}
	seen := map[int]bool{}
	queue := slices.Collect(maps.Keys(processesOf(dir)))
	for len(queue) > 0 {
		pid := queue[0]
		queue = queue[1:]
		if pid == os.Getpid() || seen[pid] {
			continue
		}
		seen[pid] = true
		queue = append(queue, children[pid]...)
	}
	return slices.Sorted(maps.Keys(seen))
}
