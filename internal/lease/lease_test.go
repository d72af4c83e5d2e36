package lease

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m3o/platform/internal/store"
)

var holdDatabase = flag.String("hold.database", "", "hold the lease in this database until killed, instead of testing")

func TestMain(m *testing.M) {
	flag.Parse()
	if *holdDatabase != "" {
		os.Exit(holdUntilKilled(*holdDatabase))
	}
	os.Exit(m.Run())
}

// quick is a pace for tests.
var quick = pace{look: 20 * time.Millisecond, stale: 400 * time.Millisecond, yield: 250 * time.Millisecond}

func holder(leases Leases) *Keeper {
	k := New(leases, store.WatchLease, "watches", slog.New(slog.DiscardHandler))
	k.pace = quick
	return k
}

// holdUntilKilled is another process with the lease.
func holdUntilKilled(url string) int {
	s, err := store.Open(context.Background(), url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	holder(s).Run(context.Background(), func(ctx context.Context, _ store.Lease) {
		fmt.Println("holds")
		<-ctx.Done()
	})
	return 0
}

func database(t *testing.T) (*store.Store, string) {
	t.Helper()
	url := "sqlite://" + filepath.Join(t.TempDir(), "store.db")
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, url
}

// keep runs a keeper, and counts how many work at once.
func keep(t *testing.T, k *Keeper, atWork *atomic.Int32) (began chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	began, done := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx, func(ctx context.Context, _ store.Lease) {
			if atWork.Add(1) > 1 {
				t.Error("two work at once")
			}
			began <- struct{}{}
			<-ctx.Done()
			atWork.Add(-1)
		})
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return began, stop
}

func await(t *testing.T, what string, signal <-chan struct{}) time.Duration {
	t.Helper()
	asked := time.Now()
	select {
	case <-signal:
	case <-time.After(20 * time.Second):
		t.Fatalf("it never happens that %s", what)
	}
	return time.Since(asked)
}

func TestAWorkerThatIsKilledIsReplaced(t *testing.T) {
	s, url := database(t)
	other := exec.Command(os.Args[0], "-hold.database", url)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "holds\n" {
		t.Fatalf("%q, %v", line, err)
	}
	var atWork atomic.Int32
	began, _ := keep(t, holder(s), &atWork)
	select {
	case <-began:
		t.Fatal("the lease was taken from one that lives")
	case <-time.After(3 * quick.stale):
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, "the lease of one that was killed is taken over", began)
}

func TestAWorkerThatStopsLeavesTheLease(t *testing.T) {
	s, _ := database(t)
	var atWork atomic.Int32
	first, stop := keep(t, holder(s), &atWork)
	await(t, "the first one works", first)
	second, _ := keep(t, holder(s), &atWork)
	stop()
	if took := await(t, "the second one works", second); took >= quick.stale {
		t.Errorf("it took %s, as if the first one had been killed", took)
	}
}

// broken is a database that can be away.
type broken struct {
	Leases
	away atomic.Bool
}

func (b *broken) Lease(ctx context.Context, name string) (store.Lease, error) {
	if b.away.Load() {
		return store.Lease{}, errors.New("the database does not answer")
	}
	return b.Leases.Lease(ctx, name)
}

// One that cannot renew stops before another one begins, and goes on when the database is back.
func TestAWorkerWithoutItsDatabaseYields(t *testing.T) {
	s, _ := database(t)
	var atWork atomic.Int32
	cut := &broken{Leases: s}
	first, stop := keep(t, holder(cut), &atWork)
	await(t, "the first one works", first)
	second, stopSecond := keep(t, holder(s), &atWork)
	cut.away.Store(true)
	await(t, "the second one takes over", second)
	cut.away.Store(false)
	stopSecond()
	await(t, "the first one works again", first)
	stop()
}

// A worker that cannot have the lease says so, once.
func TestAWorkerThatCannotTakeTheLeaseSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		cut := &broken{}
		cut.away.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		New(cut, store.WatchLease, "watches", slog.New(slog.NewTextHandler(&log, nil))).Run(ctx, func(context.Context, store.Lease) {})
		if strings.Count(log.String(), "the database does not answer") != 1 {
			t.Errorf("it says %q", log.String())
		}
	})
}

// lossy renews, and loses the answer.
type lossy struct {
	Leases
	lose atomic.Bool
}

func (l *lossy) TakeLease(ctx context.Context, seen store.Lease, me string) (store.Lease, error) {
	taken, err := l.Leases.TakeLease(ctx, seen, me)
	if err == nil && l.lose.Swap(false) {
		return store.Lease{}, errors.New("the connection broke")
	}
	return taken, err
}

func TestARenewalWhoseAnswerIsLostIsOne(t *testing.T) {
	s, _ := database(t)
	var atWork atomic.Int32
	l := &lossy{Leases: s}
	began, _ := keep(t, holder(l), &atWork)
	await(t, "it works", began)
	l.lose.Store(true)
	time.Sleep(2 * quick.yield)
	if atWork.Load() != 1 || len(began) > 0 || l.lose.Load() {
		t.Error("it took itself for another")
	}
}

// hanging is a database whose answers stop coming once the lease is taken.
type hanging struct{ taken bool }

func (*hanging) LeaveLease(context.Context, store.Lease) error { return nil }

func (h *hanging) TakeLease(ctx context.Context, seen store.Lease, me string) (store.Lease, error) {
	h.taken = true
	return store.Lease{Name: seen.Name, Holder: me, Beat: seen.Beat + 1}, nil
}

func (h *hanging) Lease(ctx context.Context, name string) (store.Lease, error) {
	if h.taken {
		<-ctx.Done()
		return store.Lease{}, ctx.Err()
	}
	return store.Lease{Name: name}, nil
}

// One whose database hangs has stopped before another one may take the lease over, however its attempts fall.
func TestAWorkerYieldsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		began := time.Now()
		go func() {
			defer close(done)
			New(&hanging{}, store.WatchLease, "watches", slog.New(slog.DiscardHandler)).Run(ctx, func(ctx context.Context, _ store.Lease) {
				<-ctx.Done()
				if held := time.Since(began); held > usual.yield {
					t.Errorf("it held the lease for %s, another one takes it after %s", held, usual.stale)
				}
				cancel()
			})
		}()
		<-done
	})
}
