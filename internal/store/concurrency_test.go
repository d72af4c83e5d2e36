package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// several opens one database as often as processes would.
func several(t *testing.T, n int) []*store.Store {
	t.Helper()
	url := database(t)
	stores := make([]*store.Store, n)
	for i := range stores {
		stores[i] = open(t, url)
	}
	must(t, stores[0].Migrate(t.Context()))
	return stores
}

func TestNumbersAreNeverGivenTwice(t *testing.T) {
	const writers, each = 12, 8
	stores := several(t, 3)
	var wg sync.WaitGroup
	numbers := make([][]int, writers)
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				// Two writers ask with each key, as two attempts of one activity would.
				r, err := stores[w%len(stores)].AllocateRelease(t.Context(), release.Allocation{Request: request(hello), RequestKey: fmt.Sprintf("%d-%d", w/2, i)})
				if err != nil {
					errs[w] = err
					return
				}
				numbers[w] = append(numbers[w], r.Number)
			}
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	var all []int
	for w := 0; w < writers; w += 2 {
		if !slices.Equal(numbers[w], numbers[w+1]) {
			t.Errorf("the same keys got %v and %v", numbers[w], numbers[w+1])
		}
		all = append(all, numbers[w]...)
	}
	slices.Sort(all)
	for i, n := range all {
		if n != i+1 {
			t.Fatalf("numbers %v", all)
		}
	}
	if len(all) != writers/2*each {
		t.Errorf("%d numbers", len(all))
	}
}

// A reader that goes by the last number it saw must meet every event, whoever commits when.
func TestReadersMissNoEvent(t *testing.T) {
	const writers, each = 9, 12
	stores := several(t, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() { errs[w] = recordMany(ctx, stores[w%3], fmt.Sprintf("r%d", w), each) })
	}
	var last int64
	for last < writers*each && ctx.Err() == nil {
		events, err := stores[3].Events(ctx, last, nil, 5)
		must(t, err)
		for _, e := range events {
			if e.Seq != last+1 {
				t.Fatalf("after event %d came %d", last, e.Seq)
			}
			last = e.Seq
		}
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	if last != writers*each {
		t.Fatalf("saw %d of %d events", last, writers*each)
	}
}

func recordMany(ctx context.Context, s *store.Store, name string, n int) error {
	r := lon1()
	r.Spec.Name = name
	for i := range n {
		r.Version, r.Message = int64(i+1), fmt.Sprint(i+1)
		if err := s.RecordRegion(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// Records of one row that arrive in any order, from anywhere, leave the newest.
func TestTheNewestRecordWins(t *testing.T) {
	const writers, versions = 8, 10
	stores := several(t, 4)
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for v := range versions {
				version := int64((v*7+w*3)%versions + 1)
				service := release.Service{Key: hello, Status: release.Running, Message: fmt.Sprint(version), Version: version}
				errs[w] = errors.Join(errs[w], stores[w%4].RecordService(t.Context(), service))
			}
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	got, err := stores[0].Service(t.Context(), hello)
	must(t, err)
	if got.Version != versions || got.Message != fmt.Sprint(versions) {
		t.Errorf("got version %d, message %q", got.Version, got.Message)
	}
	events, err := stores[0].Events(t.Context(), 0, nil, 0)
	must(t, err)
	for i := 1; i < len(events); i++ {
		before, _ := strconv.Atoi(events[i-1].Message)
		if now, _ := strconv.Atoi(events[i].Message); now <= before {
			t.Errorf("version %d was told after %d", now, before)
		}
	}
}

func TestOneOfManyClaimsIsNew(t *testing.T) {
	stores := several(t, 4)
	var wg sync.WaitGroup
	states := make([]store.ClaimState, 16)
	errs := make([]error, len(states))
	for i := range states {
		wg.Go(func() {
			c, err := stores[i%4].Claim(t.Context(), "ada", "r", "k", hash("body"))
			states[i], errs[i] = c.State, err
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	fresh := 0
	for _, s := range states {
		if s == store.ClaimNew {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d of %v are new", fresh, states)
	}
}

// writeUntilKilled is the process that the next tests kill. It says each version once it is committed.
func writeUntilKilled(url, name string) int {
	ctx := context.Background()
	s, err := store.Open(ctx, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	r := lon1()
	r.Spec.Name, r.Version = name, 0
	if old, err := s.Region(ctx, r.Spec.Key()); err == nil {
		r.Version = old.Version
	}
	for {
		r.Version++
		r.Message = fmt.Sprint(r.Version)
		if err := s.RecordRegion(ctx, r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(r.Version)
	}
}

// killedWriter runs a writer, kills it after some commits, and returns the last version that it said was committed.
func killedWriter(ctx context.Context, url, name string, commits int) (said int64, err error) {
	writer := exec.CommandContext(ctx, os.Args[0], "-crash.database="+url, "-crash.region="+name)
	writer.Stderr = os.Stderr
	out, err := writer.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := writer.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = writer.Wait() }()
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if said, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
			return 0, err
		}
		if n == commits {
			err = writer.Process.Kill()
		}
	}
	if said == 0 {
		return 0, errors.New("the writer wrote nothing")
	}
	return said, err
}

// agrees sees that what was said to be committed is there, and that the row and its events did not come apart.
func agrees(t *testing.T, s *store.Store, said map[string]int64) {
	t.Helper()
	var all int64
	for name, version := range said {
		got, err := s.Region(t.Context(), region.Key{Platform: "micro", Name: name})
		must(t, err)
		if got.Version < version || got.Message != fmt.Sprint(got.Version) {
			t.Fatalf("version %d of %s was committed, the database has %d (%q)", version, name, got.Version, got.Message)
		}
		all += got.Version
	}
	last, err := s.LastEvent(t.Context())
	must(t, err)
	if last != all {
		t.Fatalf("%d events for %d records", last, all)
	}
}

func TestWhatWasCommittedSurvivesKill(t *testing.T) {
	url := database(t)
	s := open(t, url)
	must(t, s.Migrate(t.Context()))
	for round := range 8 {
		said, err := killedWriter(t.Context(), url, "lon1", 1+round*5)
		must(t, err)
		agrees(t, s, map[string]int64{"lon1": said})
	}
}

func TestProcessesShareOneDatabase(t *testing.T) {
	url := database(t)
	s := open(t, url)
	must(t, s.Migrate(t.Context()))
	var wg sync.WaitGroup
	names := []string{"a", "b", "c"}
	versions, errs := make([]int64, len(names)), make([]error, len(names))
	for i, name := range names {
		wg.Go(func() { versions[i], errs[i] = killedWriter(t.Context(), url, name, 20+10*i) })
	}
	must(t, recordMany(t.Context(), s, "d", 20))
	wg.Wait()
	must(t, errors.Join(errs...))
	agrees(t, s, map[string]int64{"a": versions[0], "b": versions[1], "c": versions[2], "d": 20})
}
