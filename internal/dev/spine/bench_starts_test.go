//go:build embedded && bench

package spine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	temporalclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/dev/figures"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/release"
)

// contest compares ways to start the same workflow: the first deploy of a service, each of a name of its own. There is no
// region, so that a release ends at once and what is compared is not drowned in what follows.
type contest struct {
	*platform
	histories *histories
	token     string
	ways      []contender
	started   int // deploys so far, all of which end
}

// contender is one way to start it.
type contender struct {
	name  string
	start func(ctx context.Context, service string) error
}

// heat is one way's result of one round.
type heat struct {
	rate, cpu float64 // starts per second; CPU seconds per start, of the platform and of the driver
	p50, p99  time.Duration
}

// bare is the contender that the others are compared with.
const bare = "bare SDK"

func workflowStarts(t *testing.T) {
	p := start(t, settings{scale: 0.02, poll: "500ms"})
	c := &contest{platform: p, histories: p.histories(t), token: p.token(t)}
	c.ways = []contender{
		{"API, as the command line (Idempotency-Key)", func(ctx context.Context, service string) error { return c.post(ctx, service, true) }},
		{"API, without a key", func(ctx context.Context, service string) error { return c.post(ctx, service, false) }},
		{bare, c.update},
	}
	for _, atOnce := range []int{1, 16} {
		c.rounds(t, atOnce)
	}
}

// starts is how many starts make a heat of some seconds on this machine: enough for the loop to be full, few enough for all the
// rounds to end.
func (c *contest) starts(t *testing.T, atOnce int) int {
	rate := 0.0
	for _, way := range c.ways { // these also fill connections and caches
		rate = max(rate, c.heat(t, way, atOnce, max(4, atOnce)).rate)
	}
	return max(8, 2*atOnce, min(6*atOnce, int(4*rate)), min(40, int(4*rate)))
}

// rounds has every contender take its turn, in another order each round, and prints the medians of the ratios of each round.
func (c *contest) rounds(t *testing.T, atOnce int) {
	starts := c.starts(t, atOnce)
	results := make([]map[string]heat, *benchRounds)
	var rows [][]string
	for i := range results {
		w := observe(t, c.dir)
		results[i] = map[string]heat{}
		for j := range c.ways {
			way := c.ways[(i+j)%len(c.ways)]
			results[i][way.name] = c.heat(t, way, atOnce, starts)
		}
		row := []string{fmt.Sprint(i + 1)}
		for _, way := range c.ways {
			h := results[i][way.name]
			row = append(row, fmt.Sprintf("%.1f/s, p50 %s", h.rate, figures.Millis(h.p50)))
		}
		rows = append(rows, append(row, w.Cells()...))
	}
	header := []string{"round"}
	for _, way := range c.ways {
		header = append(header, way.name)
	}
	title := fmt.Sprintf("Workflow starts, closed loop of %d, %d starts each", atOnce, starts)
	figures.Table(title+", rounds", append(header, figures.WeatherHeader...), rows)
	rows = nil
	for _, way := range c.ways {
		rows = append(rows, compared(way.name, results))
	}
	figures.Table(fmt.Sprintf("%s: medians of %d rounds (goal: >= 0.90 of the bare SDK's throughput, p50 <= 1.15 of its)", title, len(results)),
		[]string{"way", "starts/s", "p50 ms", "p99 ms", "CPU ms per start", "throughput over bare (middle half)", "p50 over bare", "CPU over bare"}, rows)
}

// compared is one contender's line: medians of its own figures, and of its ratios within each round.
func compared(name string, results []map[string]heat) []string {
	middle := func(of func(map[string]heat) float64) float64 {
		var values []float64
		for _, r := range results {
			values = append(values, of(r))
		}
		return figures.Median(values)
	}
	over := func(r map[string]heat) float64 { return r[name].rate / r[bare].rate }
	var ratios []float64
	for _, r := range results {
		ratios = append(ratios, over(r))
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	return []string{name,
		fmt.Sprintf("%.1f", middle(func(r map[string]heat) float64 { return r[name].rate })),
		fmt.Sprintf("%.1f", middle(func(r map[string]heat) float64 { return ms(r[name].p50) })),
		fmt.Sprintf("%.1f", middle(func(r map[string]heat) float64 { return ms(r[name].p99) })),
		fmt.Sprintf("%.1f", middle(func(r map[string]heat) float64 { return r[name].cpu * 1000 })),
		fmt.Sprintf("%.3f (%.2f to %.2f)", middle(over), figures.Quantile(ratios, 0.25), figures.Quantile(ratios, 0.75)),
		fmt.Sprintf("%.3f", middle(func(r map[string]heat) float64 { return float64(r[name].p50) / float64(r[bare].p50) })),
		fmt.Sprintf("%.3f", middle(func(r map[string]heat) float64 { return r[name].cpu / r[bare].cpu })),
	}
}

// heat starts so many services, always so many at once, and waits until what that set off is over.
func (c *contest) heat(t *testing.T, way contender, atOnce, starts int) heat {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cpu := c.cpu(t)
	took := make([]time.Duration, starts)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for range atOnce {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < int64(starts); i = next.Add(1) - 1 {
				began := time.Now()
				if err := way.start(ctx, fmt.Sprintf("s%d", c.started+int(i))); err != nil {
					return fmt.Errorf("%s: %w", way.name, err)
				}
				took[i] = time.Since(began)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	elapsed := time.Since(began)
	c.started += starts
	c.settle(t)
	return heat{rate: float64(starts) / elapsed.Seconds(), cpu: (c.cpu(t) - cpu) / float64(starts), p50: figures.Median(took), p99: figures.Quantile(took, 0.99)}
}

// settle waits until every release that was started has ended, and its end is recorded.
func (c *contest) settle(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		answer, err := c.histories.temporal.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Namespace: control.Namespace,
			Query: fmt.Sprintf("WorkflowType = %q AND ExecutionStatus = 'Completed'", release.DeployWorkflow)})
		if err == nil && answer.GetCount() != int64(c.started) {
			err = fmt.Errorf("%d of %d releases have ended", answer.GetCount(), c.started)
		}
		return err
	})
	time.Sleep(300 * time.Millisecond)
}

// cpu is the processor time, in seconds, of the platform's process and of this one.
func (c *contest) cpu(t *testing.T) float64 {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.dev.Process.Pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	words := strings.Fields(rest)
	user, _ := strconv.ParseFloat(words[11], 64)
	system, _ := strconv.ParseFloat(words[12], 64)
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	const ticks = 100 // per second, on every Linux
	return (user+system)/ticks + time.Duration(own.Utime.Nano()+own.Stime.Nano()).Seconds()
}

func contestRequest(service string) release.Request {
	return release.Request{Service: release.Key{Project: "default", Name: service}, Origin: release.Origin{Image: "127.0.0.1/measured:1"}, By: "admin"}
}

// post starts it through the API.
func (c *contest) post(ctx context.Context, service string, keyed bool) error {
	body, err := json.Marshal(map[string]string{"image": contestRequest(service).Origin.Image})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api+"/v1/services/"+service+"/releases", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	if keyed {
		req.Header.Set("Idempotency-Key", service)
	}
	_, err = fetch(req, http.StatusAccepted)
	return err
}

// update starts it as the API's own handler does, without the API: one update-with-start, and its answer.
func (c *contest) update(ctx context.Context, service string) error {
	in := contestRequest(service)
	begin := c.histories.temporal.NewWithStartWorkflowOperation(temporalclient.StartWorkflowOptions{
		ID: in.Service.OperateID(), TaskQueue: queue.Flows, StaticSummary: fmt.Sprintf("Service %s of project %s", in.Service.Name, in.Service.Project),
		TypedSearchAttributes:    temporal.NewSearchAttributes(attribute.Project.ValueSet(in.Service.Project), attribute.Service.ValueSet(in.Service.Name)),
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, release.OperateWorkflow, release.OperateInput{Key: in.Service})
	handle, err := c.histories.temporal.UpdateWithStartWorkflow(ctx, temporalclient.UpdateWithStartWorkflowOptions{StartWorkflowOperation: begin,
		UpdateOptions: temporalclient.UpdateWorkflowOptions{UpdateID: service, UpdateName: release.DeployUpdate, WorkflowID: in.Service.OperateID(),
			Args: []any{in}, WaitForStage: temporalclient.WorkflowUpdateStageCompleted}})
	if err != nil {
		return err
	}
	var accepted release.Accepted
	if err := handle.Get(ctx, &accepted); err != nil {
		return err
	}
	if accepted.Release != 1 {
		return fmt.Errorf("service %s was there before: release %d", service, accepted.Release)
	}
	return nil
}
