//go:build embedded && chaos

package spine

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

var kills = flag.Int("kills", 50, "how often m3o dev is killed")

// TestSpineSurvives kills `m3o dev`, its whole process group, at random moments of apply, run and destroy, and starts it
// again each time. Every operation must complete, everything be made once and removed once, and no release be lost.
func TestSpineSurvives(t *testing.T) {
	p := start(t, settings{scale: 0.02, poll: "200ms"})
	c := &chaos{platform: p, file: p.file("lon1", "nyc3")}
	for c.killed < *kills {
		c.cycle(t)
	}
	created, deleted := p.once(true)
	p.nothingLeft()
	t.Logf("kills: n=%d; operations: %d, all completed; releases: %d, none lost; resources: %d created once, %d deleted once, 0 left (with 0 failures in %d the rate is below %.3f)",
		c.killed, c.operations, c.releases, created, deleted, c.killed, 3/float64(c.killed))
}

type chaos struct {
	*platform
	file                         string
	killed, operations, releases int
}

// cycle goes once through the life of a platform.
func (c *chaos) cycle(t *testing.T) {
	c.through(t, 12*time.Second, "apply", "-f", c.file, "--yes")
	for i := range 3 {
		number := c.releases
		dir := variant(t, func(s string) string { return s + fmt.Sprintf("\nvar _ = %d\n", number*10+i) })
		r := decode[ran](t, c.through(t, 5*time.Second, "run", dir, "--name", "hello", "--json").out)
		c.releases++
		if r.Release != i+1 && i > 0 && r.Release == 0 {
			t.Fatalf("release %d: %+v", c.releases, r)
		}
		for _, region := range r.Regions {
			eventually(t, time.Minute, func() error {
				if why := ask(region.URL); why != "" {
					return fmt.Errorf("release %d in %s: %s", r.Release, region.Name, why)
				}
				return nil
			})
		}
	}
	c.through(t, 4*time.Second, "kill", "hello", "--yes")
	c.through(t, 8*time.Second, "destroy", "-f", c.file, "--yes")
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

// TestSpineSurvivesClouds has the sandbox misbehave as clouds do, and expects the work to be done all the same.
func TestSpineSurvivesClouds(t *testing.T) {
	p := start(t, settings{scale: 0.01, poll: "200ms", more: []string{"--cluster-limit", "40s"}})
	file := p.file("lon1")
	for _, f := range []struct{ operation, fault string }{
		{"vpcs_create", "throttle"}, {"kubernetes_create_cluster", "throttle"},
		{"vpcs_create", "5xx"}, {"kubernetes_create_cluster", "5xx"}, {"kubernetes_list_clusters", "5xx"}, {"kubernetes_get_kubeconfig", "5xx"},
		{"droplets_list", "5xx"}, {"kubernetes_destroy_associatedResourcesDangerous", "5xx"},
		{"vpcs_create", "lost"}, {"kubernetes_create_cluster", "lost"}, {"vpcs_delete", "lost"}, {"vpcs_delete", "5xx"},
	} {
		p.fault(f.operation, f.fault, 2, 0)
	}
	p.must("apply", "-f", file, "--yes")
	p.must("destroy", "-f", file, "--yes")
	created, deleted := p.once(true)
	p.nothingLeft()
	t.Logf("429, 500 and lost answers, twice each on 12 operations: %d resources created once, %d deleted once", created, deleted)
	t.Run("a cluster that never becomes running", func(t *testing.T) {
		p.fault("kubernetes_create_cluster", "stuck", 1, 0)
		r := p.m3o("apply", "-f", file, "--yes")
		if r.code != 1 || !strings.Contains(r.errs+r.out, "m3o-micro-lon1") {
			t.Errorf("exit %d, and the cluster is not named: %s %s", r.code, r.errs, r.out)
		}
		p.nothingLeft()
		p.must("apply", "-f", file, "--yes")
		p.must("destroy", "-f", file, "--yes")
		p.once(true)
		p.nothingLeft()
	})
	t.Run("quota: what is built stays, and retry goes on", func(t *testing.T) {
		p.fault("kubernetes_create_cluster", "quota", 1, 0)
		if r := p.m3o("apply", "-f", file, "--yes"); r.code != 1 || !strings.Contains(r.errs+r.out, "retry") {
			t.Errorf("exit %d: %s %s", r.code, r.errs, r.out)
		}
		p.must("region", "retry", "lon1")
		eventually(t, 2*time.Minute, func() error {
			if list := p.must("region", "list", "--json"); !strings.Contains(list, `"ready"`) {
				return fmt.Errorf("after retry: %s", list)
			}
			return nil
		})
		p.must("destroy", "-f", file, "--yes")
		p.once(true)
		p.nothingLeft()
	})
}

// fault makes the sandbox misbehave.
func (p *platform) fault(operation, kind string, times, after int) {
	p.t.Helper()
	p.sandbox(http.MethodPost, "/_sandbox/faults", fmt.Sprintf(`{"provider":"digitalocean","operation":%q,"fault":%q,"times":%d,"after":%d}`, operation, kind, times, after))
}
