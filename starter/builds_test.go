//go:build embedded

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/workers"
)

// A new build stands beside the old one and serves nothing until it is said to take over; a restart of the old one does not
// move back.
func TestABuildTakesOverWhenItIsSaid(t *testing.T) {
	p := newWatchedPlatform(t)
	signals, err := openSignals(p.ctx, p.settings, "test")
	p.must("watch", err)
	b, err := connect(p.ctx, p.settings, signals)
	p.must("reach Temporal", err)
	defer b.close()
	current := func() string {
		list, _ := workers.Builds(p.ctx, b.temporal) // before a worker came up there are none to list
		for _, build := range list {
			if build.Current {
				return fmt.Sprintf("%s of %d", build.ID, len(list))
			}
		}
		return "none"
	}
	p.until("the only build is current", func() bool { return current() == "dev of 1" })
	var said []string
	takeOver := func(build string) error {
		f := migrateFlags{current: build, retention: 24 * time.Hour, say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
		return f.migrate(p.ctx, p.settings)
	}
	if err := takeOver("v2"); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), `no worker of build "v2" serves the queue flows`) {
		t.Errorf("a build that nobody serves took over: %v", err)
	}
	start := func(build string) {
		s := p.settings
		s.WorkerBuild = build
		p.background(build, func(ctx context.Context) error {
			return runWorker(ctx, s, p.rows(queue.Flows, queue.Cloud(region.DigitalOcean)), signals)
		})
	}
	start("v2")
	p.until("the second build comes up", func() bool { return current() == "dev of 2" })
	p.must("take over", takeOver("v2"))
	p.must("take over again", takeOver("v2"))
	if text := strings.Join(said, "\n"); current() != "v2 of 2" || !strings.Contains(text, "Build v2 is current.") || !strings.Contains(text, "Build dev may hold operations") {
		t.Errorf("current is %s, and it was said: %s", current(), text)
	}
	start("v1") // of before
	p.until("an old build comes up again", func() bool { return strings.HasSuffix(current(), "of 3") })
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got := current(); got != "v2 of 3" {
			t.Fatalf("an old build moved back: %s", got)
		}
	}
	var plan struct{ ID string }
	p.ask("POST", p.api+"/v1/plans", map[string]string{"file": oneRegion}, &plan)
	if plan.ID == "" {
		t.Error("nothing is planned on the new build")
	}
}
