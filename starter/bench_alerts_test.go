//go:build embedded && bench

package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/dev/figures"
)

var (
	alertFigures = flag.String("alerts", "ingest,pages,storm,memory", "which figures of alerting are taken, separated by commas")
	alertRounds  = flag.Int("rounds", 10, "rounds of the figure ingest")
	alertSpan    = flag.Duration("span", time.Minute, "how long alerts come in for the figure pages")
	stormOf      = flag.Int("storm", 10_000, "alerts of the figure storm")
	openAlerts   = flag.Int("open", 500, "alerts that are open in the figure memory")
)

// The load of the figures.
const (
	ingestSpan    = 2 * time.Second
	ingestClients = 32
	ingestGroups  = 20
	prometheus    = 64 // alerts that Prometheus puts into a request at most
	pagesRate     = 100
	pagesGroups   = 20
)

// TestAlertFigures measures alerting beside Alertmanager, and prints tables that can be taken again. It fails when something does not work,
// never because it was slow: the goals stand beside the figures.
func TestAlertFigures(t *testing.T) {
	figures.Say("\nFigures of %s: %d cores, %s, %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), runtime.GOARCH, runtime.Version())
	figures.Say("durable: a signal is accepted when the store (SQLite) has synced it; Alertmanager keeps alerts in memory")
	figures.Say("beside the figures: %s", figures.WeatherLegend)
	for _, one := range []struct {
		name string
		take func(*testing.T)
	}{{"ingest", alertIngest}, {"pages", alertPages}, {"storm", alertStorm}, {"memory", alertMemory}} {
		if slices.Contains(strings.Split(*alertFigures, ","), one.name) {
			t.Run(one.name, one.take)
		}
	}
}

// taker is one side of the figure ingest.
type taker struct {
	name string
	pids func() []int
	post func(client *http.Client, group string, keys []string) error
}

// taken is what a side took in a round.
type taken struct {
	rate float64       // alerts a second
	cpu  time.Duration // of its processes, for each alert
	p50  time.Duration
}

// alertIngest has 32 clients post alerts one after the other, to us and to Alertmanager in turns: one alert a request, and as many as
// Prometheus puts into one.
func alertIngest(t *testing.T) {
	a := newAlone(t, time.Hour, mailRules)
	peer := newAlertmanager(t, serveHook(t, func(amNotification) {}), "group")
	sides := []taker{
		{name: "m3o", pids: a.pids, post: a.postWebhook},
		{name: "Alertmanager", pids: func() []int { return []int{peer.cmd.Process.Pid} }, post: func(client *http.Client, group string, keys []string) error {
			all := make([]amAlert, len(keys))
			for i, key := range keys {
				all[i] = amAlert{Labels: map[string]string{"alertname": "Flood", "group": group, "key": key}}
			}
			return peer.post(client, all...)
		}},
	}
	for _, each := range []int{1, prometheus} {
		var rows [][]string
		results := map[string][]taken{}
		for round := range *alertRounds {
			weather, err := figures.Observe(t.TempDir())
			a.must("look at the machine", err)
			row := []string{strconv.Itoa(round + 1), "", ""}
			for i := range sides {
				at := (i + round) % len(sides)
				one := sides[at].take(t, each)
				results[sides[at].name] = append(results[sides[at].name], one)
				row[1+at] = fmt.Sprintf("%.0f/s, p50 %s, CPU %.2f", one.rate, figures.Millis(one.p50), ms(one.cpu))
				a.caughtUp()
			}
			rows = append(rows, append(row, weather.Cells()...))
		}
		figures.Table(fmt.Sprintf("Intake, %d clients, alerts a request: %d; rounds (ms)", ingestClients, each),
			append([]string{"round", sides[0].name, sides[1].name}, figures.WeatherHeader...), rows)
		sumIngest(each, results, sides)
	}
}

func sumIngest(each int, results map[string][]taken, sides []taker) {
	ours, theirs := results[sides[0].name], results[sides[1].name]
	var rates, cpus []float64
	for i := range ours {
		rates = append(rates, ours[i].rate/theirs[i].rate)
		cpus = append(cpus, float64(ours[i].cpu)/float64(theirs[i].cpu))
	}
	var rows [][]string
	for _, side := range sides {
		var rate []float64
		var cpu, p50 []time.Duration
		for _, one := range results[side.name] {
			rate, cpu, p50 = append(rate, one.rate), append(cpu, one.cpu), append(p50, one.p50)
		}
		rows = append(rows, []string{side.name, fmt.Sprintf("%.0f", figures.Median(rate)), figures.Millis(figures.Median(p50)), fmt.Sprintf("%.3f", ms(figures.Median(cpu)))})
	}
	rows[0] = append(rows[0], fmt.Sprintf("%.2f", figures.Median(rates)), fmt.Sprintf("%.2f", figures.Median(cpus)))
	rows[1] = append(rows[1], "1", "1")
	figures.Table(fmt.Sprintf("Intake, alerts a request: %d; medians of %d rounds (goal: rate over Alertmanager's >= 0.25)", each, len(ours)),
		[]string{"", "alerts/s", "p50 of a request ms", "CPU ms per alert", "rate over Alertmanager's", "CPU over Alertmanager's"}, rows)
}

// take has clients post for a while.
func (side taker) take(t *testing.T, each int) taken {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: ingestClients}}
	defer client.CloseIdleConnections()
	var accepted atomic.Int64
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	var clients sync.WaitGroup
	before, began := cpuOf(side.pids()), time.Now()
	for c := range ingestClients {
		clients.Go(func() {
			keys := make([]string, each)
			for n := 0; time.Since(began) < ingestSpan; n++ {
				for i := range keys {
					keys[i] = fmt.Sprintf("c%02d/%d", c, (n*each+i)%500)
				}
				asked := time.Now()
				err := side.post(client, fmt.Sprintf("g%02d", c%ingestGroups), keys)
				mu.Lock()
				times = append(times, time.Since(asked))
				if err != nil {
					failed = err
				}
				mu.Unlock()
				if err != nil {
					return
				}
				accepted.Add(int64(each))
			}
		})
	}
	clients.Wait()
	if failed != nil {
		t.Fatalf("%s: %v", side.name, failed)
	}
	n := accepted.Load()
	return taken{rate: float64(n) / time.Since(began).Seconds(), cpu: (cpuOf(side.pids()) - before) / time.Duration(n), p50: figures.Median(times)}
}

// cpuOf is the processor time that processes have used so far.
func cpuOf(pids []int) (total time.Duration) {
	for _, pid := range pids {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			continue
		}
		for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
			ticks, _ := strconv.ParseInt(field, 10, 64)
			total += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return total
}

// memoryOf is what processes hold of the machine's memory, in bytes.
func memoryOf(pids ...int) (total int64) {
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			total += pages * int64(os.Getpagesize())
		}
	}
	return total
}

// alertPages measures how long it takes from an alert's first key to its first message, while many come in; and Alertmanager with the same.
func alertPages(t *testing.T) {
	a := newAlone(t, time.Hour, mailRules)
	var mu sync.Mutex
	told := map[string]time.Time{}
	peer := newAlertmanager(t, serveHook(t, func(n amNotification) {
		mu.Lock()
		defer mu.Unlock()
		if group := n.GroupLabels["group"]; told[group].IsZero() {
			told[group] = time.Now()
		}
	}), "group")
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: pagesRate}}
	weather, err := figures.Observe(t.TempDir())
	a.must("look at the machine", err)
	var rows [][]string
	for _, side := range []struct {
		name string
		send func(context.Context, message) error
		done func() map[string]time.Time
	}{
		{"m3o", a.send, func() map[string]time.Time { a.quiet(); return a.firstSent() }},
		{"Alertmanager", func(_ context.Context, m message) error {
			one := amAlert{Labels: map[string]string{"alertname": "Flood", "group": m.group, "key": m.key}}
			if now := time.Now(); m.over {
				one.EndsAt = &now
			}
			return peer.post(client, one)
		}, func() map[string]time.Time { time.Sleep(3 * time.Second); return told }},
	} {
		f := &flood{rate: pagesRate, groups: pagesGroups, life: 2 * time.Second, burst: 3 * time.Second, rest: 4 * time.Second, fresh: true,
			send: []func(context.Context, message) error{side.send}}
		over := make(chan struct{})
		time.AfterFunc(*alertSpan, func() { close(over) })
		f.run(a.ctx, over)
		var took []time.Duration
		first := side.done()
		mu.Lock()
		for group, began := range f.begun {
			if at := first[group]; !at.IsZero() {
				took = append(took, at.Sub(began))
			}
		}
		mu.Unlock()
		rows = append(rows, []string{side.name, strconv.Itoa(f.count()), strconv.Itoa(len(f.begun)), strconv.Itoa(len(took)), figures.Millis(figures.Quantile(took, 0.5)),
			figures.Millis(figures.Quantile(took, 0.9)), figures.Millis(figures.Quantile(took, 0.99))})
	}
	figures.Table(fmt.Sprintf("From an alert's first key to its first message: %d keys a second begin to fire in %d groups, and end; the weather before: %s (goal: p50 <= 100 ms, p99 <= 1 s)",
		pagesRate, pagesGroups, strings.Join(weather.Cells(), " / ")), []string{"", "signals", "alerts", "with a message", "p50 ms", "p90 ms", "p99 ms"}, rows)
}

// alertStorm has everything of one group fire at once, and then end.
func alertStorm(t *testing.T) {
	a := newAlone(t, time.Hour, mailRules)
	began := time.Now()
	a.storm(*stormOf, false)
	accepted := time.Since(began)
	a.caughtUp()
	told := time.Since(began)
	a.settled()
	quiet := time.Since(began)
	pages, events, runs := len(a.delivered()), 0, 0
	events, runs = a.history()
	row := []string{strconv.Itoa(*stormOf), figures.Secs(accepted), figures.Secs(told), figures.Secs(quiet), strconv.Itoa(pages), fmt.Sprintf("%d in %d", events, runs)}
	began = time.Now()
	a.storm(*stormOf, true)
	a.quiet()
	events, runs = a.history()
	row = append(row, figures.Secs(time.Since(began)), strconv.Itoa(len(a.delivered())), fmt.Sprintf("%d in %d", events, runs))
	figures.Table("A storm in one group (goal: at most 10 messages before it ends)", []string{"alerts", "accepted s", "alert knows of all s", "quiet s", "messages", "events, runs",
		"all ended s", "messages by then", "events, runs by then"}, [][]string{row})
}

// storm posts keys of one group by many clients.
func (a *alone) storm(n int, over bool) {
	a.t.Helper()
	var clients sync.WaitGroup
	for c := range ingestClients {
		clients.Go(func() {
			for i := c; i < n; i += ingestClients {
				if err := a.send(a.ctx, message{group: "storm", key: fmt.Sprintf("storm/%d", i), over: over}); err != nil {
					a.t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// alertMemory is what open alerts hold of each process's memory.
func alertMemory(t *testing.T) {
	a := newAlone(t, time.Hour, mailRules)
	a.open(0, 20) // what the first ones need is not theirs
	names := slices.Sorted(maps.Keys(a.processes))
	before := map[string]int64{}
	for _, name := range names {
		before[name] = memoryOf(a.processes[name].cmd.Process.Pid)
	}
	a.open(20, *openAlerts)
	var rows [][]string
	for _, name := range names {
		now := memoryOf(a.processes[name].cmd.Process.Pid)
		rows = append(rows, []string{name, fmt.Sprintf("%.1f", float64(before[name])/(1<<20)), fmt.Sprintf("%.1f", float64(now)/(1<<20)),
			fmt.Sprintf("%.1f", float64(now-before[name])/1024/float64(*openAlerts))})
	}
	figures.Table(fmt.Sprintf("Memory of open alerts, each paged once: %d of them", *openAlerts), []string{"process", "before MiB", "after MiB", "KiB for each"}, rows)
}

// open has that many alerts, numbered from a first, open and paged.
func (a *alone) open(from, n int) {
	a.t.Helper()
	for i := from; i < from+n; i++ {
		name := fmt.Sprintf("open-%d", i)
		a.must("send an alert", a.send(a.ctx, message{group: name, key: name}))
	}
	a.settled()
}
