package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

// fires is a signal of a key that begins to fire.
func fires(key string) alert.Signal {
	return alert.Signal{Project: "shop", Action: alert.Trigger, DedupKey: key, Source: alert.FromAPI, Summary: key + " fires", Severity: alert.Critical,
		Labels: map[string]string{"cause": "disk"}}
}

func resolves(key string) alert.Signal {
	return alert.Signal{Project: "shop", Action: alert.Resolve, DedupKey: key, Source: alert.FromAPI}
}

// relay is whoever relays, with the lease.
type relay struct {
	t     *testing.T
	s     *store.Store
	lease store.Lease
	rules alert.Rules
}

func relays(t *testing.T, s *store.Store) *relay {
	lease, err := s.TakeLease(t.Context(), store.Lease{Name: store.RelayLease}, "me")
	must(t, err)
	return &relay{t: t, s: s, lease: lease, rules: alert.Rules{Project: "shop", Default: alert.Route{Name: "default", GroupBy: []string{"cause"}}}}
}

// route brings all that is new into groups, and returns what the groups are to be told.
func (r *relay) route() (parcels []store.Parcel) {
	r.t.Helper()
	from, err := r.s.Cursor(r.t.Context(), store.SignalCursor)
	must(r.t, err)
	signals, err := r.s.Signals(r.t.Context(), from, 0)
	must(r.t, err)
	_, err = r.s.RouteSignals(r.t.Context(), r.lease, from, signals, r.rules.GroupOf)
	must(r.t, err)
	refs, err := r.s.PendingGroups(r.t.Context())
	must(r.t, err)
	for _, ref := range refs {
		p, pending, err := r.s.Digest(r.t.Context(), ref)
		must(r.t, err)
		if !pending {
			r.t.Errorf("%v is pending and has no digest", ref)
		}
		parcels = append(parcels, p)
	}
	return parcels
}

func TestSignalsOfOneCauseAreOneDigest(t *testing.T) {
	s := fresh(t)
	r := relays(t, s)
	var signals []alert.Signal
	for i := range 700 {
		signals = append(signals, fires(fmt.Sprintf("disk-%03d", i)))
	}
	numbers, err := s.AppendSignals(t.Context(), signals)
	must(t, err)
	if len(numbers) != 700 || numbers[0] != 1 || numbers[699] != 700 {
		t.Errorf("numbered %d…%d", numbers[0], numbers[len(numbers)-1])
	}
	parcels := r.route()
	if len(parcels) != 1 {
		t.Fatalf("%d digests", len(parcels))
	}
	d := parcels[0].Digest
	if d.Upto != 700 || d.Signals != 700 || d.Firing != 700 || len(d.Samples) != alert.MaxLines || d.Samples[0].Summary != "disk-000 fires" || d.Drill {
		t.Errorf("the digest is %+v", d)
	}
	must(t, s.MarkSent(t.Context(), r.lease, parcels))
	if again := r.route(); len(again) != 0 {
		t.Errorf("told again: %+v", again)
	}
}

func TestWhatCameInWhileADigestWasDeliveredIsToldNext(t *testing.T) {
	s := fresh(t)
	r := relays(t, s)
	appends(t, s, fires("a"))
	first := r.route()
	appends(t, s, resolves("a"))
	r.route()
	must(t, s.MarkSent(t.Context(), r.lease, first))
	second := r.route()
	if len(second) != 1 || second[0].Digest.Upto != 2 || second[0].Digest.Signals != 1 || second[0].Digest.Firing != 0 {
		t.Errorf("then told %+v", second)
	}
}

func TestAKeyThatFiredAndEndedBeforeAnybodyWasToldIsToldOf(t *testing.T) {
	s := fresh(t)
	r := relays(t, s)
	appends(t, s, fires("a"))
	appends(t, s, resolves("a"))
	first := r.route()
	if len(first) != 1 || first[0].Digest.Firing != 0 || first[0].Digest.Fired != 1 || len(first[0].Digest.Samples) != 1 || first[0].Digest.Samples[0].Summary != "a fires" {
		t.Fatalf("told %+v", first)
	}
	must(t, s.MarkSent(t.Context(), r.lease, first))
	appends(t, s, fires("a"))
	if second := r.route(); len(second) != 1 || second[0].Digest.Firing != 1 || second[0].Digest.Fired != 1 || second[0].Digest.Signals != 1 {
		t.Errorf("then told %+v", second)
	}
}

func TestAKeyThatFiresStaysInItsGroupWhenRulesChange(t *testing.T) {
	s := fresh(t)
	r := relays(t, s)
	appends(t, s, fires("a"))
	before := r.route()
	must(t, s.MarkSent(t.Context(), r.lease, before))
	r.rules.Default.GroupBy = nil
	appends(t, s, fires("a"))
	appends(t, s, resolves("a"))
	after := r.route()
	if len(after) != 1 || after[0].Input.Hash != before[0].Input.Hash || after[0].Digest.Firing != 0 {
		t.Fatalf("told %+v, and before %+v", after, before)
	}
	must(t, s.MarkSent(t.Context(), r.lease, after))
	appends(t, s, fires("a")) // anew: the rules of now hold
	if anew := r.route(); len(anew) != 1 || anew[0].Input.Hash == before[0].Input.Hash {
		t.Errorf("told %+v", anew)
	}
}

func TestAResolveOfWhatDoesNotFireTellsNobody(t *testing.T) {
	s := fresh(t)
	r := relays(t, s)
	appends(t, s, resolves("a"))
	if parcels := r.route(); len(parcels) != 0 {
		t.Errorf("told %+v", parcels)
	}
	appends(t, s, fires("a"))
	first := r.route()
	must(t, s.MarkSent(t.Context(), r.lease, first))
	must(t, s.CloseGroup(t.Context(), "shop", first[0].Input.Hash))
	if keys, err := s.FiringKeys(t.Context(), "shop"); err != nil || len(keys) != 0 {
		t.Errorf("%v fire, %v", keys, err)
	}
	appends(t, s, resolves("a"))
	if parcels := r.route(); len(parcels) != 0 {
		t.Errorf("told %+v", parcels)
	}
}

func TestWhoLostTheLeaseRelaysNothing(t *testing.T) {
	s := fresh(t)
	r := relays(t, s)
	appends(t, s, fires("a"))
	_, err := s.TakeLease(t.Context(), r.lease, "another")
	must(t, err)
	signals, err := s.Signals(t.Context(), 0, 0)
	must(t, err)
	_, err = s.RouteSignals(t.Context(), r.lease, 0, signals, r.rules.GroupOf)
	wantFault(t, err, fault.Conflict)
	wantFault(t, s.MoveCursor(t.Context(), r.lease, store.CallbackCursor, 0, 1), fault.Conflict)
	wantFault(t, s.AppendFrom(t.Context(), r.lease, store.EventCursor, 0, 1, signals), fault.Conflict)
	if at, err := s.Cursor(t.Context(), store.SignalCursor); err != nil || at != 0 {
		t.Errorf("the cursor is at %d, %v", at, err)
	}
}

func TestTheSameCallbackIsKeptOnce(t *testing.T) {
	s := fresh(t)
	for _, want := range []bool{true, false} {
		fresh, err := s.AppendCallback(t.Context(), alert.Callback{Channel: alert.SMS, Body: "Body=1a"}, []byte("digest"))
		must(t, err)
		if fresh != want {
			t.Errorf("fresh: %v, want %v", fresh, want)
		}
	}
	_, err := s.AppendCallback(t.Context(), alert.Callback{Channel: alert.Slack, Body: "payload"}, []byte("digest"))
	must(t, err)
	all, err := s.Callbacks(t.Context(), 0, 0)
	must(t, err)
	if len(all) != 2 || all[0].Seq != 1 || all[0].Body != "Body=1a" || all[1].Seq != 2 {
		t.Errorf("kept %+v", all)
	}
}

func TestSignalsOfLongAgoAreForgottenOnceRelayed(t *testing.T) {
	s := fresh(t)
	r := relays(t, s)
	appends(t, s, fires("a"))
	appends(t, s, fires("b"))
	r.route()
	appends(t, s, resolves("a"))
	must(t, s.MarkSent(t.Context(), r.lease, r.route()))
	appends(t, s, resolves("b"))
	n, err := s.ForgetSignals(t.Context(), time.Now().Add(time.Hour))
	must(t, err)
	left, err := s.Signals(t.Context(), 0, 0)
	must(t, err)
	if n != 4 || len(left) != 1 || left[0].Seq != 4 { // three signals, and the key that is quiet
		t.Errorf("forgot %d, left %+v", n, left)
	}
	if p := r.route(); len(p) != 1 || p[0].Digest.Firing != 0 {
		t.Errorf("told %+v", p)
	}
}

func appends(t *testing.T, s *store.Store, signal alert.Signal) {
	t.Helper()
	_, err := s.AppendSignals(t.Context(), []alert.Signal{signal})
	must(t, err)
}
