package relay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/relay"
	"github.com/m3o/platform/internal/store"
)

// workflows are what the relay tells.
type workflows struct {
	mu        sync.Mutex
	away      bool
	digests   []told
	callbacks []int64
	changed   []string
}

type told struct {
	in alert.EscalateInput
	d  alert.Digest
	at time.Time
}

func (w *workflows) do(what func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return errors.New("Temporal does not answer")
	}
	what()
	return nil
}

func (w *workflows) DeliverDigest(_ context.Context, in alert.EscalateInput, d alert.Digest) error {
	return w.do(func() { w.digests = append(w.digests, told{in, d, time.Now()}) })
}

func (w *workflows) AlertRulesChanged(_ context.Context, project, group string) error {
	return w.do(func() { w.changed = append(w.changed, project+"/"+group) })
}

func (w *workflows) ProcessCallback(_ context.Context, c alert.Callback) error {
	return w.do(func() { w.callbacks = append(w.callbacks, c.Seq) })
}

func (w *workflows) setAway(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

func (w *workflows) told() []told {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.digests)
}

// signals counts what the workflows were told of, and what fires at last.
func (w *workflows) signals() (signals int64, firing int) {
	for _, t := range w.told() {
		signals, firing = signals+t.d.Signals, t.d.Firing
	}
	return signals, firing
}

// ruled is a store whose rules group by cause.
type ruled struct{ *store.Store }

func (ruled) Rules(_ context.Context, project string) (alert.Rules, error) {
	return alert.Rules{Project: project, Default: alert.Route{Name: "default", GroupBy: []string{"cause"}}}, nil
}

func open(t *testing.T) *store.Store {
	s, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "m3o.db"))
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	must(t, s.Migrate(t.Context()))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// relays relays until it is stopped.
func relays(t *testing.T, s *store.Store, w *workflows) (stop func()) {
	r := &relay.Relay{Signals: ruled{s}, Groups: s, Sequences: s, Flows: w, Leases: s, Metrics: relay.NewMetrics(), Logger: slog.New(slog.DiscardHandler),
		FromEvent: func(e event.Event) (alert.Signal, bool) {
			return alert.Signal{Project: alert.Platform, Action: alert.Trigger, DedupKey: e.Subject, Source: alert.FromPlatform, Summary: e.Message,
				Labels: map[string]string{"cause": e.Kind}}, e.Kind == "project.suspended"
		}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func fires(cause, key string) alert.Signal {
	return alert.Signal{Project: "shop", Action: alert.Trigger, DedupKey: key, Source: alert.FromAPI, Summary: key, Severity: alert.Critical,
		Labels: map[string]string{"cause": cause}}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in 15 s: " + what)
		}
	}
}

func TestAQuietGroupIsToldAtOnce(t *testing.T) {
	s, w := open(t), &workflows{}
	relays(t, s, w)
	_, err := s.AppendSignals(t.Context(), []alert.Signal{fires("warm up", "a")})
	must(t, err)
	eventually(t, "the first is told", func() bool { return len(w.told()) == 1 })
	began := time.Now()
	_, err = s.AppendSignals(t.Context(), []alert.Signal{fires("disk", "b")})
	must(t, err)
	eventually(t, "the second is told", func() bool { return len(w.told()) == 2 })
	if took := w.told()[1].at.Sub(began); took > 200*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

func TestAStormIsFewDigests(t *testing.T) {
	s, w := open(t), &workflows{}
	relays(t, s, w)
	began := time.Now()
	for i := range 20 {
		var batch []alert.Signal
		for n := range 500 {
			batch = append(batch, fires("disk", fmt.Sprintf("%d/%d", i, n)))
		}
		_, err := s.AppendSignals(t.Context(), batch)
		must(t, err)
	}
	eventually(t, "all are told", func() bool { n, firing := w.signals(); return n == 10_000 && firing == 10_000 })
	all := w.told()
	if most := int(time.Since(began)/(250*time.Millisecond)) + 2; len(all) > most {
		t.Errorf("%d digests in %s", len(all), time.Since(began))
	}
	for i := 1; i < len(all); i++ {
		if apart := all[i].at.Sub(all[i-1].at); apart < 200*time.Millisecond {
			t.Errorf("two digests are %s apart", apart)
		}
		if all[i].d.Upto <= all[i-1].d.Upto || len(all[i].d.Samples) != alert.MaxLines {
			t.Errorf("digest %d is %+v", i, all[i].d)
		}
	}
}

func TestNothingIsLostWhileTemporalIsAwayAndTheRelayIsKilled(t *testing.T) {
	s, w := open(t), &workflows{away: true}
	stop := relays(t, s, w)
	_, err := s.AppendSignals(t.Context(), []alert.Signal{fires("disk", "a"), fires("net", "b")})
	must(t, err)
	_, err = s.AppendCallback(t.Context(), alert.Callback{Channel: alert.SMS}, []byte("x"))
	must(t, err)
	must(t, s.EnsureProject(t.Context(), "shop"))
	eventually(t, "they are in groups", func() bool { refs, err := s.PendingGroups(t.Context()); return err == nil && len(refs) == 2 })
	stop()
	if len(w.told()) != 0 {
		t.Fatal("told while away")
	}
	w.setAway(false)
	relays(t, s, w)
	eventually(t, "all are told", func() bool {
		n, _ := w.signals()
		w.mu.Lock()
		defer w.mu.Unlock()
		return n == 2 && slices.Equal(w.callbacks, []int64{1})
	})
}

// forgetful loses the note that a digest was delivered: the relay was killed between.
type forgetful struct {
	*store.Store
	kill func()
}

func (f forgetful) MarkSent(context.Context, store.Lease, []store.Parcel) error {
	f.kill()
	return errors.New("killed")
}

func TestADigestThatIsRepeatedIsKnownByUpto(t *testing.T) {
	s, w := open(t), &workflows{}
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	_, err := s.AppendSignals(t.Context(), []alert.Signal{fires("disk", "a")})
	must(t, err)
	r := &relay.Relay{Signals: ruled{s}, Groups: forgetful{s, kill}, Sequences: s, Flows: w, Leases: s, Metrics: relay.NewMetrics(), Logger: slog.New(slog.DiscardHandler),
		FromEvent: func(event.Event) (alert.Signal, bool) { return alert.Signal{}, false }}
	r.Run(ctx)
	relays(t, s, w)
	eventually(t, "it is told again", func() bool { return len(w.told()) == 2 })
	if all := w.told(); all[0].d.Upto != 1 || all[1].d.Upto != 1 || all[0].in.Hash != all[1].in.Hash {
		t.Errorf("told %+v", all)
	}
}

func TestEventsOfThePlatformAreSignals(t *testing.T) {
	s, w := open(t), &workflows{}
	must(t, s.EnsureProject(t.Context(), "shop"))
	relays(t, s, w)
	_, err := s.RecordSuspension(t.Context(), account.SuspendInput{Project: "shop", Reason: account.ByOperator, Message: "too loud", By: "ana"})
	must(t, err)
	eventually(t, "it is told", func() bool { return len(w.told()) == 1 })
	d := w.told()[0].d
	if d.Firing != 1 || d.Samples[0].Summary != "operator (too loud), by ana" || w.told()[0].in.Group.Project != alert.Platform {
		t.Errorf("told %+v", d)
	}
}

func TestAlertsThatFireHearOfEverySilence(t *testing.T) {
	s, w := open(t), &workflows{}
	must(t, s.EnsureProject(t.Context(), "shop"))
	relays(t, s, w)
	_, err := s.AppendSignals(t.Context(), []alert.Signal{fires("disk", "a"), fires("net", "b")})
	must(t, err)
	eventually(t, "both are told", func() bool { return len(w.told()) == 2 })
	silence := alert.Silence{Project: "shop", Comment: "new disk", By: "ana", Begins: time.Now(), Ends: time.Now().Add(time.Hour),
		Match: []alert.Matcher{{Name: "cause", Op: "=", Value: "disk"}}}
	_, err = s.CreateSilence(t.Context(), silence)
	must(t, err)
	eventually(t, "both decide anew", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, told := range w.digests {
			if !slices.Contains(w.changed, "shop/"+told.in.Hash) {
				return false
			}
		}
		return true
	})
}
