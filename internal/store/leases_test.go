package store_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

func TestALeaseIsTakenByOne(t *testing.T) {
	s := fresh(t)
	free, err := s.Lease(t.Context(), "watch")
	must(t, err)
	var group sync.WaitGroup
	var got atomic.Int32
	for _, me := range []string{"a", "b", "c", "d"} {
		group.Go(func() {
			if _, err := s.TakeLease(t.Context(), free, me); err == nil {
				got.Add(1)
			} else if !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
		})
	}
	if group.Wait(); got.Load() != 1 {
		t.Errorf("%d hold it", got.Load())
	}
}

func TestALeaseIsRenewedTakenOverAndLeft(t *testing.T) {
	s := fresh(t)
	first, err := s.TakeLease(t.Context(), store.Lease{Name: "watch"}, "a")
	must(t, err)
	renewed, err := s.TakeLease(t.Context(), first, "a")
	must(t, err)
	_, err = s.TakeLease(t.Context(), first, "b") // as it was before it was renewed
	wantFault(t, err, fault.Conflict)
	over, err := s.TakeLease(t.Context(), renewed, "b")
	must(t, err)
	must(t, s.LeaveLease(t.Context(), renewed)) // a's, which has it no more
	now, err := s.Lease(t.Context(), "watch")
	must(t, err)
	if now != over || now.Holder != "b" {
		t.Errorf("got %+v, want %+v", now, over)
	}
	must(t, s.LeaveLease(t.Context(), over))
	if now, err := s.Lease(t.Context(), "watch"); err != nil || now.Holder != "" {
		t.Errorf("got %+v, %v", now, err)
	}
}
