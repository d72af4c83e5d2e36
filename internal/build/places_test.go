package build

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// crowd asks for places at a clock of its own.
type crowd struct {
	*testing.T
	*places
	clock time.Time
	done  map[string]func()
}

func newCrowd(t *testing.T, total int) *crowd {
	c := &crowd{T: t, places: newPlaces("a free builder", total), clock: time.Unix(1_000_000, 0), done: map[string]func(){}}
	c.now = func() time.Time { return c.clock }
	return c
}

// ask asks for a place for work, "project/name", and reports whether it was given.
func (c *crowd) ask(work string) bool {
	c.Helper()
	project, name, _ := strings.Cut(work, "/")
	done, err := c.take(release.Key{Project: project, Name: name}, "")
	if err == nil {
		c.done[work] = done
		return true
	}
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Throttled || f.RetryAfter < time.Second || f.RetryAfter > backLate || !strings.Contains(f.Message, "waits for a free builder") {
		c.Errorf("%s is turned away with %v", work, err)
	}
	return false
}

func (c *crowd) expect(given bool, works ...string) {
	c.Helper()
	for _, work := range works {
		if c.ask(work) != given {
			c.Errorf("%s: a place is given: %t, want %t", work, !given, given)
		}
	}
}

func (c *crowd) ends(work string) { c.done[work]() }

func TestOneProjectLeavesAPlaceToAnother(t *testing.T) {
	c := newCrowd(t, 3)
	c.expect(true, "noisy/1", "noisy/2")
	c.expect(false, "noisy/3", "noisy/4")
	c.expect(true, "quiet/1")
	c.expect(false, "quiet/2", "third/1")
	c.ends("noisy/1")
	c.expect(false, "noisy/3", "quiet/2") // third waits, and has nothing
	c.expect(true, "third/1")
	c.ends("noisy/2")
	c.ends("noisy/2") // twice is once
	c.ends("third/1")
	c.expect(true, "noisy/3")
}

func TestASinglePlaceGoesRound(t *testing.T) {
	c := newCrowd(t, 1)
	c.expect(true, "a/1")
	c.expect(false, "a/2", "a/3", "b/1", "b/2", "c/1")
	holds, turns := "a/1", "a"
	for range 5 {
		c.clock = c.clock.Add(time.Second)
		c.ends(holds)
		for _, work := range []string{"a/3", "a/2", "b/2", "b/1", "c/1"} { // in whatever order they come
			if c.done[work] == nil && c.ask(work) {
				holds, turns = work, turns+work[:1]
			}
		}
		for _, work := range []string{"c/1", "b/1", "b/2", "a/2", "a/3"} {
			if c.done[work] == nil && c.ask(work) {
				holds, turns = work, turns+work[:1]
			}
		}
	}
	if turns != "abcaba" && turns != "acbaba" {
		t.Errorf("the place went round as %s", turns)
	}
}

func TestWithinAProjectWhoAskedFirstComesFirst(t *testing.T) {
	c := newCrowd(t, 1)
	c.expect(true, "a/0")
	for i := range 5 {
		c.clock = c.clock.Add(100 * time.Millisecond)
		c.expect(false, fmt.Sprint("a/", i+1))
	}
	c.ends("a/0")
	c.expect(false, "a/5", "a/2")
	c.expect(true, "a/1")
}

// said is what whoever asks is told.
func (c *crowd) said(work string) string {
	c.Helper()
	project, name, _ := strings.Cut(work, "/")
	_, err := c.take(release.Key{Project: project, Name: name}, "")
	return fmt.Sprint(err)
}

func TestWhoWaitsIsToldItsPlaceInLine(t *testing.T) {
	c := newCrowd(t, 3)
	c.expect(true, "noisy/1", "noisy/2")
	for i, want := range []string{"1st", "2nd", "3rd"} {
		c.clock = c.clock.Add(time.Millisecond)
		for range 2 { // asking again changes nothing
			if got, want := c.said(fmt.Sprint("noisy/", i+3)), "waits for a free builder: project noisy has 2 of 3, and the rest is for others; "+want+" in line"; got != want {
				t.Errorf("it is told %q, want %q", got, want)
			}
		}
	}
	c.expect(true, "quiet/1")
	if got, want := c.said("noisy/3"), "waits for a free builder: 3 of 3 are taken; 1st in line"; got != want {
		t.Errorf("it is told %q, want %q", got, want)
	}
	c.expect(false, "third/1")
	if got, want := c.said("noisy/3"), "waits for a free builder: 3 of 3 are taken; 2nd in line"; got != want {
		t.Errorf("once another project waits it is told %q, want %q", got, want)
	}
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 102: "102nd", 111: "111th"} {
		if got := ordinal(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}

func TestWhoDoesNotComeBackIsNotWaitedFor(t *testing.T) {
	c := newCrowd(t, 1)
	c.expect(true, "a/1")
	c.expect(false, "b/1")
	c.ends("a/1")
	c.expect(false, "a/2")
	c.clock = c.clock.Add(backLate + backGrace)
	c.expect(true, "a/2")
	if len(c.waiting) != 0 {
		t.Errorf("%d are waited for", len(c.waiting))
	}
}

func TestTwentyBuildsOfOneProjectDoNotKeepAnotherWaiting(t *testing.T) {
	c := newCrowd(t, 3)
	for i := range 20 {
		c.ask(fmt.Sprint("noisy/", i))
	}
	// Every few moments one ends and all that wait ask again, the quiet one last.
	waits := 0
	for !c.ask("quiet/1") {
		waits++
		c.clock = c.clock.Add(time.Second)
		if waits > 1 {
			t.Fatal("it waits behind the others")
		}
	}
}

func TestTurnsOfManyProjectsAreForgotten(t *testing.T) {
	c := newCrowd(t, 1)
	for i := range maxServed + 2 {
		work := fmt.Sprintf("p%d/1", i)
		c.expect(true, work)
		c.ends(work)
	}
	if len(c.served) > maxServed {
		t.Errorf("%d turns are remembered", len(c.served))
	}
}

// TestSlowBuildsOfOneProjectLeaveRoom compiles for real: two slow sources of one project hold all that it may have.
func TestSlowBuildsOfOneProjectLeaveRoom(t *testing.T) {
	b := builder(t, func(c *Config) { c.AtOnce = 0 }) // the default
	ended := make(chan string, 2)
	for i := range 2 {
		files := slow()
		files["main.go"] += fmt.Sprintf("var again = %d\n", i)
		in := input(files)
		in.Service.Project = "noisy"
		go func() {
			_, err := b.Build(t.Context(), in, &bytes.Buffer{})
			ended <- fmt.Sprint(err)
		}()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		b.compiles.mu.Lock()
		held := b.compiles.held["noisy"]
		b.compiles.mu.Unlock()
		if held == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("they do not begin")
		}
	}
	in := input(map[string]string{"go.mod": gomod, "main.go": print})
	in.Service.Project = "noisy"
	var log bytes.Buffer
	if _, err := b.Build(t.Context(), in, &log); !fault.Is(err, fault.Throttled) || log.Len() > 0 {
		t.Errorf("a third build of the project: %v, log %q", err, log.String())
	}
	in.Service.Project = "quiet"
	build(t, b, in)
	select {
	case how := <-ended:
		t.Errorf("a slow build ended first (%s): this shows nothing", how)
	default:
	}
	for range 2 {
		if how := <-ended; how != "<nil>" {
			t.Error(how)
		}
	}
}

// silent is a registry that takes connections and never answers.
func silent(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	return l.Addr().String()
}

// TestARegistryThatDoesNotAnswerHoldsNobodyUp: references are strangers', and so are the registries in them.
func TestARegistryThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	b := builder(t, nil)
	b.waits = 4 * time.Second
	mute := silent(t)
	failed, turned := make(chan error, 100), 0
	for i := range 40 {
		go func() {
			_, err := b.Resolve(t.Context(), release.Key{Project: "noisy", Name: fmt.Sprint("s", i)}, fmt.Sprintf("%s/x%d:v1", mute, i))
			failed <- err
		}()
	}
	for range 8 {
		if err := <-failed; fault.Is(err, fault.Throttled) {
			turned++
		}
	}
	if turned != 8 {
		t.Errorf("%d of one project's are turned away at once, want the 8 over half of the places", turned)
	}
	began := time.Now()
	in := input(map[string]string{"go.mod": gomod, "main.go": print})
	in.Service.Project = "quiet"
	built, _ := build(t, b, in)
	if got, err := b.Resolve(t.Context(), in.Service, built.Reference); err != nil || got != built.Reference {
		t.Errorf("Resolve = %s, %v", got, err)
	}
	if took := time.Since(began); len(failed) > 0 {
		t.Errorf("another project's build took %s", took)
	}
	for range 32 {
		if err := <-failed; !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("Resolve = %v", err)
		}
	}
	if took := time.Since(began); took > b.waits+5*time.Second {
		t.Errorf("a try took %s", took)
	}
}

func TestAnImageOfAnotherProjectIsNotResolved(t *testing.T) {
	b := builder(t, nil)
	in := input(map[string]string{"go.mod": gomod, "main.go": print})
	in.Service.Project = "theirs"
	built, _ := build(t, b, in)
	digest := digestOf(built)
	tag := strings.TrimSuffix(built.Reference, digest) + ":build-" + built.Key
	for reference, kind := range map[string]fault.Kind{built.Reference: fault.Denied, tag: fault.Denied,
		b.config.Registry + "/mine/hello" + digest: fault.NotFound, strings.Replace(built.Reference, "127.0.0.1", "localhost", 1): fault.Denied} {
		if got, err := b.Resolve(t.Context(), release.Key{Project: "mine", Name: "hello"}, reference); !fault.Is(err, kind) {
			t.Errorf("%s: %s, %v, want %s", reference, got, err, kind)
		}
	}
	if got, err := b.Resolve(t.Context(), in.Service, tag); err != nil || got != built.Reference {
		t.Errorf("the own image: %s, %v", got, err)
	}
}
