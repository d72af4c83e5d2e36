//go:build embedded && chaos

package spine

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var kills = flag.Int("kills", 50, "how often m3o dev is killed")

// TestSpineSurvives kills `m3o dev`, its whole process group, at random moments of apply, run and destroy, and starts it
// again each time. Every operation must complete, everything be made once and removed once, and no release be lost.
func TestSpineSurvives(t *testing.T) {
	p := start(t, settings{scale: 0.02, poll: "200ms"})
	c := &chaos{platform: p, regions: []string{"lon1", "nyc3"}}
	c.file = p.file(c.regions...)
	for c.killed < *kills {
		c.cycle(t)
	}
	t.Logf("kills: n=%d; operations: %d, all completed; releases: %d, numbered 1 to %d, none lost, none doubled; regions: %d; resources: %d created once, %d deleted once, 0 left (with 0 failures in %d the rate is below %.3f)",
		c.killed, c.operations, c.releases, c.releases, c.built, c.created, c.deleted, c.killed, 3/float64(c.killed))
}

type chaos struct {
	*platform
	file                         string
	regions                      []string
	killed, operations, releases int
	built, created, deleted      int // over all cycles: regions, resources
}

// cycle goes once through the life of a platform, and leaves nothing.
func (c *chaos) cycle(t *testing.T) {
	c.through(t, 12*time.Second, "apply", "-f", c.file, "--yes")
	c.built += len(c.regions)
	c.once(c.built, false)
	for range 3 {
		c.release(t)
	}
	c.listed(t)
	c.through(t, 4*time.Second, "kill", "hello", "--yes")
	c.through(t, 8*time.Second, "destroy", "-f", c.file, "--yes")
	c.created, c.deleted = c.once(c.built, true)
	c.nothingLeft()
	if t.Failed() {
		t.FailNow() // what follows would only say it again
	}
}

// release brings out the next release, which must have the next number and answer by it everywhere.
func (c *chaos) release(t *testing.T) {
	t.Helper()
	c.releases++
	dir := variant(t, func(s string) string { return s + fmt.Sprintf("\nvar _ = %d\n", c.releases) })
	r := decode[ran](t, c.through(t, 5*time.Second, "run", dir, "--name", "hello", "--json").out)
	if r.Release != c.releases || len(r.Regions) != len(c.regions) {
		t.Fatalf("release %d was to come: %+v", c.releases, r)
	}
	for _, region := range r.Regions {
		eventually(t, time.Minute, func() error { return answersAs(region.URL, region.Name, c.releases) })
	}
}

// listed fails the test unless the platform lists every release, in order, the newest at work.
func (c *chaos) listed(t *testing.T) {
	t.Helper()
	type line struct {
		Number int
		Status string
	}
	list := decode[[]line](t, c.must("releases", "hello", "--limit", "100000", "--json"))
	var got, want []int
	for _, r := range list {
		got = append(got, r.Number)
	}
	for n := c.releases; n > 0; n-- {
		want = append(want, n)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("releases %v are listed, want %v", got, want)
	}
	for i, r := range list {
		if i == 0 && r.Status != "ready" || r.Status != "ready" && r.Status != "superseded" {
			t.Errorf("release %d is %s", r.Number, r.Status)
		}
	}
}

// through runs a command while the platform under it is killed at up to three random moments within the span.
func (c *chaos) through(t *testing.T, span time.Duration, args ...string) result {
	t.Helper()
	done := make(chan result, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	go func() { done <- c.command(ctx, args...) }()
	for range 1 + rand.IntN(3) {
		select {
		case r := <-done:
			done <- r
		case <-time.After(time.Duration(rand.Int64N(int64(span)))):
		}
		if len(done) > 0 || c.killed >= *kills {
			break
		}
		c.kill()
		c.killed++
		t.Logf("kill %d during m3o %s", c.killed, args[0])
		c.up()
	}
	r := <-done
	c.operations++
	if r.code != 0 {
		t.Fatalf("m3o %s: exit %d\n%s\n%s", strings.Join(args, " "), r.code, r.errs, r.out)
	}
	return r
}

// misbehaviour is an order to the sandbox, and how often it was carried out.
type misbehaviour struct {
	Operation string `json:"operation"`
	Fault     string `json:"fault"`
	Times     int    `json:"times"`
	Used      int    `json:"used"`
}

// troubles are what apply and destroy meet. An answer that is lost after the deed is lost once: the deed is then found
// done, and not asked for again.
var troubles = []misbehaviour{
	{Operation: "vpcs_create", Fault: "throttle", Times: 2},
	{Operation: "vpcs_create", Fault: "5xx", Times: 2},
	{Operation: "vpcs_create", Fault: "lost", Times: 1},
	{Operation: "kubernetes_create_cluster", Fault: "throttle", Times: 2},
	{Operation: "kubernetes_create_cluster", Fault: "5xx", Times: 2},
	{Operation: "kubernetes_create_cluster", Fault: "lost", Times: 1},
	{Operation: "kubernetes_list_clusters", Fault: "5xx", Times: 2},
	{Operation: "kubernetes_get_kubeconfig", Fault: "5xx", Times: 2},
	{Operation: "droplets_list", Fault: "5xx", Times: 2},
	{Operation: "kubernetes_destroy_associatedResourcesDangerous", Fault: "5xx", Times: 2},
	{Operation: "kubernetes_destroy_associatedResourcesDangerous", Fault: "lost", Times: 1},
	{Operation: "vpcs_delete", Fault: "5xx", Times: 2},
	{Operation: "vpcs_delete", Fault: "lost", Times: 1},
}

// TestSpineSurvivesClouds has the sandbox misbehave as clouds do, and expects the work to be done all the same.
func TestSpineSurvivesClouds(t *testing.T) {
	p := start(t, settings{scale: 0.01, poll: "200ms", more: []string{"--cluster-limit", "40s"}})
	file := p.file("lon1")
	p.misbehave(troubles...)
	p.must("apply", "-f", file, "--yes")
	p.must("destroy", "-f", file, "--yes")
	taken := p.taken()
	created, deleted := p.once(1, true)
	p.nothingLeft()
	t.Logf("%s: %d resources created once, %d deleted once, 0 left", taken, created, deleted)
	t.Run("a cluster that never becomes running", func(t *testing.T) {
		p.misbehave(misbehaviour{Operation: "kubernetes_create_cluster", Fault: "stuck", Times: 1})
		r := p.m3o("apply", "-f", file, "--yes")
		if r.code != 1 || !strings.Contains(r.errs+r.out, "m3o-micro-lon1") {
			t.Errorf("exit %d, and the cluster is not named: %s %s", r.code, r.errs, r.out)
		}
		p.taken()
		p.nothingLeft()
		p.must("apply", "-f", file, "--yes")
		p.must("destroy", "-f", file, "--yes")
		p.once(3, true) // with the one that was taken back
		p.nothingLeft()
	})
	t.Run("quota: what is built stays, and retry goes on", func(t *testing.T) {
		p.misbehave(misbehaviour{Operation: "kubernetes_create_cluster", Fault: "quota", Times: 1})
		if r := p.m3o("apply", "-f", file, "--yes"); r.code != 1 || !strings.Contains(r.errs+r.out, "retry") {
			t.Errorf("exit %d: %s %s", r.code, r.errs, r.out)
		}
		p.taken()
		p.must("region", "retry", "lon1")
		eventually(t, 2*time.Minute, func() error {
			if list := p.must("region", "list", "--json"); !strings.Contains(list, `"ready"`) {
				return fmt.Errorf("after retry: %s", list)
			}
			return nil
		})
		p.must("destroy", "-f", file, "--yes")
		p.once(4, true)
		p.nothingLeft()
	})
}

// misbehave makes the sandbox misbehave in these ways, and no longer in others.
func (p *platform) misbehave(all ...misbehaviour) {
	p.t.Helper()
	p.sandbox(http.MethodDelete, "/_sandbox/faults", "")
	for _, m := range all {
		p.sandbox(http.MethodPost, "/_sandbox/faults", fmt.Sprintf(`{"provider":"digitalocean","operation":%q,"fault":%q,"times":%d}`, m.Operation, m.Fault, m.Times))
	}
}

// taken fails the test unless every order was carried out to the end, and counts what was.
func (p *platform) taken() string {
	p.t.Helper()
	list := decode[struct{ Faults []misbehaviour }](p.t, string(p.sandbox(http.MethodGet, "/_sandbox/faults", "")))
	ways, operations := map[string]int{}, map[string]bool{}
	for _, m := range list.Faults {
		if m.Times != 0 || m.Used == 0 { // times counts down
			p.t.Errorf("%s of %s happened %d times, and was to happen %d times more", m.Fault, m.Operation, m.Used, m.Times)
		}
		ways[m.Fault] += m.Used
		operations[m.Operation] = true
	}
	return fmt.Sprintf("%d throttled, %d failed and %d lost answers on %d operations", ways["throttle"], ways["5xx"], ways["lost"], len(operations))
}
