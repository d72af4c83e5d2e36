package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m3o/platform/internal/sandbox/clusters"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/fleet"
	"github.com/m3o/platform/internal/sandbox/world"
)

// keeper has clusters that are only names.
type keeper struct {
	fleet *fleet.Fleet

	mu        sync.Mutex
	ids       []string
	unsettled bool
	turns     map[string]int
	having    map[string]bool
	together  int // turns of one cluster at once
	slow      chan struct{}
	err       error
	found     map[string]int
}

func (k *keeper) Clusters(context.Context) ([]string, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string{}, k.ids...), k.unsettled, nil
}

func (k *keeper) Turn(ctx context.Context, id string) error {
	k.mu.Lock()
	k.turns[id]++
	if k.having[id] {
		k.together++
	}
	k.having[id] = true
	slow, err := k.slow, k.err
	k.mu.Unlock()
	if id == "slow" {
		select {
		case <-slow:
		case <-ctx.Done():
		}
	}
	k.fleet.Look(ctx, id)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.having[id] = false
	return err
}

func (k *keeper) Belongings(_ context.Context, id string, found clusters.Inventory) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.found[id] += len(found.LoadBalancers)
	return nil
}

func (k *keeper) change(how func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	how()
}

// run runs a fleet until the test ends, and returns what it logs.
func run(t *testing.T, k *keeper, runner clusters.Runner) (log *bytes.Buffer, stop func()) {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	k.turns, k.having, k.found, k.slow = map[string]int{}, map[string]bool{}, map[string]int{}, make(chan struct{})
	log = &bytes.Buffer{}
	k.fleet = fleet.New("p", w, runner, k, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- k.fleet.Run(ctx) }()
	return log, func() {
		cancel()
		if err := errors.Join(<-stopped, w.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestSlowClusterHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{ids: []string{"slow", "fine"}, unsettled: true}
		_, stop := run(t, k, clusterstest.New(1))
		defer stop()
		time.Sleep(time.Second)
		k.change(func() {
			if k.turns["slow"] != 1 || k.turns["fine"] < 15 || k.together != 0 {
				t.Errorf("turns within a second: %v, at once %d", k.turns, k.together)
			}
			close(k.slow)
		})
		time.Sleep(time.Second)
		k.change(func() {
			if k.turns["slow"] < 15 || k.together != 0 {
				t.Errorf("turns when it is no longer slow: %v, at once %d", k.turns, k.together)
			}
		})
	})
}

func TestSettledClustersAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{ids: []string{"fine"}}
		_, stop := run(t, k, clusterstest.New(1))
		defer stop()
		time.Sleep(10 * time.Second)
		k.change(func() {
			if n := k.turns["fine"]; n < 9 || n > 12 {
				t.Errorf("%d turns within ten seconds", n)
			}
		})
	})
}

func TestSameComplaintIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{ids: []string{"bad"}, unsettled: true, err: errors.New("no such place")}
		log, stop := run(t, k, clusterstest.New(1))
		time.Sleep(time.Second)
		k.change(func() { k.err = nil })
		time.Sleep(time.Second)
		k.change(func() { k.err = errors.New("no such place") })
		time.Sleep(time.Second)
		stop()
		if n := strings.Count(log.String(), "no such place"); n != 2 {
			t.Errorf("it was logged %d times:\n%s", n, log)
		}
	})
}

func TestInventoryIsTakenFromTimeToTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{ids: []string{"fine"}, unsettled: true}
		runner := clusterstest.New(1)
		runner.Made(clusters.Inventory{LoadBalancers: []clusters.LoadBalancer{{UID: "1"}}})
		_, stop := run(t, k, runner)
		defer stop()
		time.Sleep(10 * time.Second)
		k.change(func() {
			if n := k.found["fine"]; n != 4 {
				t.Errorf("%d inventories within ten seconds", n)
			}
		})
	})
}
