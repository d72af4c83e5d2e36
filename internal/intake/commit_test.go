package intake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/intake"
)

// slow is a store whose transactions wait until they are let go.
type slow struct {
	mu      sync.Mutex
	batches [][]alert.Signal
	release chan error
}

func (s *slow) AppendSignals(_ context.Context, signals []alert.Signal) ([]int64, error) {
	s.mu.Lock()
	s.batches = append(s.batches, signals)
	s.mu.Unlock()
	return nil, <-s.release
}

func TestRequestsThatComeAtTheSameTimeAreOneTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{release: make(chan error)}
		c := intake.NewCommitter(store)
		var group sync.WaitGroup
		keep := func(key string) {
			group.Go(func() {
				if err := c.Keep(t.Context(), []alert.Signal{{DedupKey: key}}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		keep("first")
		for i := range 100 {
			keep(fmt.Sprint(i))
		}
		store.release <- nil
		store.release <- nil
		group.Wait()
		if len(store.batches) != 2 || len(store.batches[1]) != 100 || store.batches[1][99].DedupKey != "99" {
			t.Errorf("%d transactions", len(store.batches))
		}
	})
}

func TestAFullQueueIsRefusedWithTheTimeToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{release: make(chan error)}
		c := intake.NewCommitter(store)
		answers := make(chan error, 100)
		keep := func(n int) {
			go func() { answers <- c.Keep(t.Context(), make([]alert.Signal, n)) }()
			synctest.Wait()
		}
		keep(1)
		for range 20 {
			keep(1000)
		}
		keep(1)
		var refused *fault.Error
		if err := <-answers; !errors.As(err, &refused) || refused.Kind != fault.Unavailable || refused.RetryAfter == 0 {
			t.Errorf("got %v", err)
		}
		full := errors.New("the disk is full")
		for range 11 {
			store.release <- full
		}
		for range 21 {
			if err := <-answers; !errors.Is(err, full) {
				t.Errorf("got %v", err)
			}
		}
		keep(1)
		store.release <- nil
		if err := <-answers; err != nil {
			t.Error(err)
		}
	})
}

func TestLargeAlertsFillTheQueueByTheirSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{release: make(chan error)}
		c := intake.NewCommitter(store)
		large := make([]alert.Signal, 100)
		for i := range large {
			large[i].Details = strings.Repeat("x", alert.MaxDetails)
		}
		answers := make(chan error, 200)
		for range 120 { // of 0.8 MB each
			go func() { answers <- c.Keep(t.Context(), large) }()
			synctest.Wait()
		}
		refused := len(answers)
		if refused < 30 || refused > 60 {
			t.Errorf("%d were refused", refused)
		}
		for range refused {
			if err := <-answers; !fault.Is(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
		}
		close(store.release)
		synctest.Wait()
		for _, batch := range store.batches {
			if len(batch) > 500 {
				t.Errorf("%d large alerts are one transaction", len(batch))
			}
		}
	})
}
