//go:build embedded && (chaos || bench)

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/dev/engine"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
	"github.com/m3o/platform/internal/sandbox/world"
	"github.com/m3o/platform/internal/store"
)

// What `m3o dev` holds itself, or starts with clusters, as processes that can be killed alone.
const (
	asTemporal = "temporal" // folder, port
	asSandbox  = "channels" // folder, first port, where it calls back
)

func init() {
	processes[asTemporal] = func() int { return beServer(serveTemporal) }
	processes[asSandbox] = func() int { return beServer(serveSandbox) }
}

// beServer runs a server until it is told to stop. Its arguments are a folder and a port.
func beServer(serve func(ctx context.Context, dir string, port int) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	port, err := strconv.Atoi(os.Args[4])
	if err == nil {
		err = serve(ctx, os.Args[3], port)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serveTemporal(ctx context.Context, dir string, port int) error {
	e, err := engine.Start(ctx, engine.Config{Dir: dir, Port: port, Namespace: control.Namespace, Retention: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return e.Stop()
}

func serveSandbox(ctx context.Context, dir string, port int) error {
	return sandbox.Run(ctx, sandbox.Config{Dir: dir, BasePort: port, Hooks: os.Args[5], TimeScale: 0.01, Clusters: clusterstest.New(1), LeaseTimeout: -1, Logger: slog.New(slog.DiscardHandler)})
}

// alone is the platform of alerts with each of its processes by itself, as `m3o dev --split` and production have it, and Temporal and the
// sandbox of channels as processes, too.
type alone struct {
	*watchedPlatform
	processes map[string]*process
	hook      monitor
	client    *http.Client
	db        *store.Store
	people    map[string]*person
}

// aloneRules have groups told by their label, and reach people by every channel: a Slack channel and a mailing list at once, and ana by Slack
// and by SMS.
const aloneRules = `
project: default
policies:
- name: everybody
  steps:
  - {after: 0s, targets: [{slack: "#ops"}, {person: ana}]}
  - {after: 2s, targets: [{email: ops@example.com}]}
default: {policy: everybody, group_by: [group]}
notify:
  high: [{channel: slack, after: 0s}, {channel: sms, after: 1s}]
limits: {pages_per_alert: 100, per_person_hour: 1000, per_contact_hour: 1000}
`

// mailRules page by mail alone: Slack takes one message a second for a channel, which is not what figures are about.
const mailRules = `
project: default
policies:
- name: mail
  steps: [{after: 0s, targets: [{email: ops@example.com}]}]
default: {policy: mail, group_by: [group]}
limits: {per_person_hour: 1000, per_contact_hour: 1000}
`

// newAlone brings up all of it, with somebody to page.
func newAlone(t *testing.T, limit time.Duration, rules string) *alone {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	dir := t.TempDir()
	a := &alone{watchedPlatform: &watchedPlatform{t: t, ctx: ctx}, processes: map[string]*process{},
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}}
	t.Cleanup(a.stopAll)
	s := a.within(dir)
	s.Temporal, a.api = a.free(), s.PublicURL
	first := freePorts(t, 12)
	a.run(dir, nil, asTemporal, filepath.Join(dir, "temporal"), port(s.Temporal))
	a.run(dir, nil, asSandbox, filepath.Join(dir, "sandbox"), strconv.Itoa(first), s.PublicURL)
	a.control = fmt.Sprintf("http://127.0.0.1:%d", first)
	var health struct{ Endpoints sandbox.Endpoints }
	a.until("the sandbox is there", func() bool { return getJSON(a.control+"/healthz", &health) == nil })
	s = a.channels(filepath.Join(dir, "sandbox"), health.Endpoints.Providers, s)
	a.until("Temporal is there", func() bool {
		c, err := net.Dial("tcp", s.Temporal)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	a.settings = s
	a.must("make keys", makeKeys(s))
	a.admit(s)
	for _, p := range platformProcesses(nil) {
		if p.Args[0] != "worker" || slices.Contains([]string{queue.Flows, queue.Pages}, p.Args[2]) {
			a.run(dir, s.Of(p.Parts...).Environ(), p.Args...)
		}
	}
	a.until("the API is ready", func() bool { return getJSON(a.api+"/readyz", nil) == nil })
	var err error
	a.db, err = openStore(ctx, s)
	a.must("open the store", err)
	t.Cleanup(func() { _ = a.db.Close() })
	a.newPerson("ana", alert.SMS, alert.Slack)
	a.alertRules(rules)
	a.hook = a.newSource("flood")
	return a
}

// run starts a process, which is called by its first argument and what it serves.
func (a *alone) run(dir string, env []string, args ...string) {
	a.t.Helper()
	name := args[0]
	if name == "worker" {
		name += "-" + args[2]
	}
	a.processes[name] = &process{name: name, args: args, env: env, log: filepath.Join(dir, name+".log")}
	a.must("start "+name, a.processes[name].start())
}

// stopAll ends what was started, and shows the logs of a test that failed.
func (a *alone) stopAll() {
	for _, p := range a.processes {
		p.kill()
		if text, _ := os.ReadFile(p.log); a.t.Failed() && len(text) > 0 {
			a.t.Logf("end of the log of %s: %s", p.name, text[max(0, len(text)-2000):])
		}
	}
}

// pids are those of the platform's own processes, without Temporal and the sandbox.
func (a *alone) pids() (all []int) {
	for name, p := range a.processes {
		if name != asTemporal && name != asSandbox {
			all = append(all, p.cmd.Process.Pid)
		}
	}
	return all
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// freePorts finds so many ports in a row.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first := 20000 + rand.IntN(10000)
		free := true
		for i := 0; i < n && free; i++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
			if free = err == nil; free {
				_ = l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports were found")
	return 0
}

// getJSON reads what a URL answers, if it is well.
func getJSON(url string, into any) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(r.Body).Decode(into)
}

// send posts a message of a flood to the hook, as our own event.
func (a *alone) send(_ context.Context, m message) error {
	body := map[string]any{"action": alert.Trigger, "dedup_key": m.key, "summary": m.key + " fires", "severity": alert.Critical, "labels": map[string]string{"group": m.group}}
	if m.over {
		body = map[string]any{"action": alert.Resolve, "dedup_key": m.key}
	}
	return a.hook.post(a.client, body)
}

// postWebhook posts keys that fire as Alertmanager's webhook does.
func (a *alone) postWebhook(client *http.Client, group string, keys []string) error {
	all := make([]map[string]any, len(keys))
	for i, key := range keys {
		all[i] = map[string]any{"status": "firing", "fingerprint": key, "labels": map[string]string{"alertname": "Flood", "group": group, "key": key, "severity": "info"}}
	}
	return a.hook.post(client, map[string]any{"version": "4", "status": "firing", "alerts": all})
}

// signals are all that were kept.
func (a *alone) signals() (all []alert.Signal) {
	a.t.Helper()
	for after := int64(0); ; after = all[len(all)-1].Seq {
		some, err := a.db.Signals(a.ctx, after, store.MaxSignals)
		a.must("read the signals", err)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

// alerts are all that there were, newest first.
func (a *alone) alerts() (all []alert.Alert) {
	a.t.Helper()
	page := store.Page{Limit: 200}
	for {
		some, next, err := a.db.Alerts(a.ctx, account.DefaultProject, alert.Filter{}, page)
		a.must("list the alerts", err)
		if all = append(all, some...); next == "" {
			return all
		}
		page.Cursor = next
	}
}

func (a *alone) pages(number int64) []alert.PageRow {
	a.t.Helper()
	pages, err := a.db.PagesOf(a.ctx, account.DefaultProject, number)
	a.must("list the pages", err)
	return pages
}

// channelOf is the platform's name of a sandbox's provider.
var channelOf = map[string]alert.Channel{"smtp": alert.Email, "twilio": alert.SMS, "slack": alert.Slack}

// sent are the messages that the sandbox took, but for codes and answers to replies, which are of no alert.
func (a *alone) sent() (all []world.Effect) { return a.effects(world.Sent) }

func (a *alone) effects(kind string) []world.Effect {
	a.t.Helper()
	effects, err := sandboxtest.Effects(a.control)
	a.must("read the ledger", err)
	return slices.DeleteFunc(effects, func(e world.Effect) bool {
		return e.Kind != kind || !strings.HasPrefix(e.Key, account.DefaultProject+"/")
	})
}

// delivered counts them by key and channel.
func (a *alone) delivered() map[string]int {
	a.t.Helper()
	count := map[string]int{}
	for _, e := range a.sent() {
		count[e.Key+" "+string(channelOf[e.Provider])]++
	}
	return count
}

// updated are the alerts of which messages were brought up to date in place.
func (a *alone) updated() map[int64]bool {
	a.t.Helper()
	alerts := map[int64]bool{}
	for _, e := range a.effects(world.Updated) {
		if _, number, err := alert.AlertOf(e.Key); err == nil && channelOf[e.Provider] == alert.Slack {
			alerts[number] = true
		}
	}
	return alerts
}

// firstSent is when the first message of the newest alert of each group was taken.
func (a *alone) firstSent() map[string]time.Time {
	a.t.Helper()
	groups, first := map[int64]string{}, map[string]time.Time{}
	for _, one := range a.alerts() {
		groups[one.Number] = one.Labels["group"]
	}
	for _, e := range a.sent() {
		_, number, err := alert.AlertOf(e.Key)
		a.must("read a key", err)
		if at, known := first[groups[number]]; !known || e.Time.Before(at) {
			first[groups[number]] = e.Time
		}
	}
	return first
}

// caughtUp waits until every alert knows of every signal.
func (a *alone) caughtUp() {
	a.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		heads, err := a.db.Heads(a.ctx)
		a.must("read what is new", err)
		at, err := a.db.Cursor(a.ctx, store.SignalCursor)
		a.must("read the cursor", err)
		pending, err := a.db.PendingGroups(a.ctx)
		a.must("list what is pending", err)
		if at == heads.Signals && len(pending) == 0 {
			return
		}
	}
	a.t.Fatal("after five minutes there are signals that alerts do not know of")
}

// settled waits until nothing is sent any more.
func (a *alone) settled() {
	a.t.Helper()
	a.caughtUp()
	for before := -1; ; time.Sleep(3 * time.Second) {
		now := len(a.sent())
		if now == before {
			return
		}
		before = now
	}
}

// history is how many events the workflows of all groups have, and how many runs they took.
func (a *alone) history() (events, runs int) {
	a.t.Helper()
	temporal := temporalAt(a.settings)
	keys, err := control.LoadKeys(a.settings.PayloadKeys)
	a.must("read the payload keys", err)
	temporal.Codec, err = control.NewCodec(keys)
	a.must("make the codec", err)
	c, err := control.Dial(a.ctx, temporal)
	a.must("dial Temporal", err)
	defer c.Close()
	list, err := c.ListWorkflow(a.ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000, Query: fmt.Sprintf("WorkflowType = '%s'", alert.EscalateWorkflow)})
	a.must("list the workflows", err)
	for _, one := range list.Executions {
		about, err := c.DescribeWorkflowExecution(a.ctx, one.Execution.WorkflowId, one.Execution.RunId)
		a.must("describe a workflow", err)
		events += int(about.WorkflowExecutionInfo.HistoryLength)
		runs++
	}
	return events, runs
}

// quietIn is how long alerts may take to end, and pages to be sent or given up: how an alert went on is told for ten minutes, and Slack
// takes one message a second for a channel.
const quietIn = 12 * time.Minute

// quiet waits until every alert has ended and no page is on its way, and fails the test with those that are after that.
func (a *alone) quiet() {
	a.t.Helper()
	var open []string
	for deadline := time.Now().Add(quietIn); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		open = open[:0]
		for _, one := range a.alerts() {
			if !one.Status.Final() && one.Labels["group"] != "" { // the platform's own may say for longer what happened to it
				open = append(open, fmt.Sprintf("%d of %v: %s, %d keys fire", one.Number, one.Labels, one.Status, one.Firing))
			}
			for _, p := range a.pages(one.Number) {
				if p.State == alert.Sending {
					open = append(open, fmt.Sprintf("page %s: %s", p.Key, p.State))
				}
			}
		}
		if len(open) == 0 {
			return
		}
	}
	a.t.Errorf("%s after the last signal there are: %v", quietIn, open[:min(len(open), 20)])
}
