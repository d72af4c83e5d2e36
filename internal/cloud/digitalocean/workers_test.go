package digitalocean_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/rate"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox"
)

// asWorker tells the test's own program to be a worker of a cloud instead.
const asWorker = "TEST_AS_CLOUD_WORKER"

func TestMain(m *testing.M) {
	if text := os.Getenv(asWorker); text != "" {
		if err := work(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// assignment is what a worker is told, and tally what it reports.
type assignment struct {
	URL, Token string
	Workers    int
	Requests   int // in an hour, that the worker takes for the limit
	Scale      float64
	For        time.Duration
}

type tally struct {
	Answered int // requests that the API answered
	Refused  int // requests that it refused, for there were too many
}

// work calls the API as often as it may, as a process of its own.
func work(text string) error {
	var a assignment
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return err
	}
	hour := time.Duration(float64(digitalocean.Period) * a.Scale)
	limited, err := rate.New(http.DefaultTransport, rate.Options{Provider: "DigitalOcean", Limits: digitalocean.Limits(a.Requests, hour), Workers: a.Workers})
	if err != nil {
		return err
	}
	p, err := digitalocean.New(digitalocean.Config{Token: a.Token, BaseURL: a.URL, Transport: limited})
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), a.For)
	defer stop()
	var mu sync.Mutex
	var sum tally
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for ctx.Err() == nil {
				_, err := p.Access(ctx, region.Spec{Platform: "micro", Name: "lon1"}.ClusterSpec(region.Net{}))
				mu.Lock()
				switch {
				case fault.Is(err, fault.NotFound):
					sum.Answered++
				case fault.Is(err, fault.Throttled) && strings.Contains(err.Error(), "DigitalOcean refused"):
					sum.Refused++
				}
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	return json.NewEncoder(os.Stdout).Encode(sum)
}

// The sandbox counts as DigitalOcean does, 250 requests in any minute: of 1.2 s here.
const minuteScale = 0.02

// busyFor is a little more than three of the sandbox's minutes.
const busyFor = 4 * time.Second

// twoProcesses runs two workers that are as busy as they can be, and adds up what they report.
func twoProcesses(t *testing.T, workers, requests int) (sum tally) {
	t.Helper()
	account := newAccount(t, sandbox.Config{TimeScale: minuteScale})
	told, err := json.Marshal(assignment{account.URL, account.Token, workers, requests, minuteScale, busyFor})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			worker := exec.CommandContext(t.Context(), os.Args[0])
			worker.Env = append(os.Environ(), asWorker+"="+string(told))
			worker.Stderr = os.Stderr
			said, err := worker.Output()
			var one tally
			if err == nil {
				err = json.Unmarshal(said, &one)
			}
			if err != nil {
				t.Errorf("a worker: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Answered, sum.Refused = sum.Answered+one.Answered, sum.Refused+one.Refused
		})
	}
	running.Wait()
	return sum
}

func TestTwoProcessesStayWithinOneBudget(t *testing.T) {
	sum := twoProcesses(t, 2, digitalocean.Requests)
	if sum.Refused > 0 {
		t.Errorf("DigitalOcean refused %d requests of two workers that share its limits", sum.Refused)
	}
	if sum.Answered < 150 { // a new worker keeps to its share of the hour from the first minute on: some 250 of 5000 in a twentieth of it
		t.Errorf("%d requests in three minutes: the limits are hardly used", sum.Answered)
	}
	t.Logf("%d requests were answered in three of the sandbox's minutes, which allow 250 each", sum.Answered)
}

// Two that take more than there is run into the limit: the sandbox does count.
func TestTwoProcessesThatTakeMoreThanTheBudgetAreRefused(t *testing.T) {
	if sum := twoProcesses(t, 1, 4*digitalocean.Requests); sum.Refused == 0 {
		t.Errorf("all of %d requests were answered", sum.Answered)
	}
}
