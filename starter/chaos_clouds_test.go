//go:build embedded && chaos

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
	"github.com/m3o/platform/internal/sandbox/world"
)

var kills = flag.Int("kills", 200, "how often a process is killed")

// maxCycles bounds how often the regions are made and taken down.
const maxCycles = 20

// TestCloudsSurvive makes and takes down a region on each cloud, again and again, while workers are killed at random moments and the
// clouds throttle, fail, lose answers, and give up on what they had accepted. Every operation must complete, and everything be made
// once and deleted once.
func TestCloudsSurvive(t *testing.T) {
	clouds := cloudsHere()
	c := &chaos{simulated: newSimulated(t, ground{limit: 6 * time.Hour}), clouds: clouds, file: simulatedFile(clouds, 1), faults: map[string]int{}}
	for _, p := range clouds {
		c.victims = append(c.victims, "worker-"+queue.Cloud(p))
	}
	c.victims = append(c.victims, "worker-"+queue.Flows)
	cycles, began := min(maxCycles, 1+*kills/(8*len(c.victims))), time.Now()
	each := 1 + *kills/(2*cycles*len(c.victims))
	for c.cycles < maxCycles && (c.cycles == 0 || c.killed() < *kills) && !t.Failed() {
		c.cycle(each)
	}
	if c.killed() < *kills {
		t.Errorf("only %d of %d kills in %d cycles", c.killed(), *kills, c.cycles)
	}
	t.Logf("clouds: %v; kills: n=%d in %d cycles, %s; faults: %v; operations: %d, all completed, %d of them after a cloud had given up; resources: %d created once, %d deleted once, %d left (with 0 failures in %d the rate is below %.3f)",
		clouds, c.killed(), c.cycles, time.Since(began).Round(time.Second), c.faults, c.operations, c.repeated, c.accounts.Created, c.accounts.Deleted, len(c.accounts.Left()), c.killed(), 3/float64(max(1, c.killed())))
}

type chaos struct {
	*simulated
	clouds               []region.Provider
	victims              []string
	file                 string
	kills                atomic.Int64
	cycles               int
	operations, repeated int
	accounts             sandboxtest.Accounts
	faults               map[string]int // by kind: those that happened
}

func (c *chaos) killed() int { return int(c.kills.Load()) }

// cycle goes once through the life of a platform, and leaves nothing.
func (c *chaos) cycle(each int) {
	c.cycles++
	late := c.clouds[c.cycles%len(c.clouds)]
	c.misbehave(late)
	c.bringUp(each)
	c.count()
	c.misbehave("")
	c.takeDown(each)
	c.count()
	wrong, err := c.accounts.Read(c.control)
	c.must("read the ledger", err)
	for _, w := range wrong {
		c.t.Error(w)
	}
	if left := c.accounts.Left(); len(left) > 0 {
		c.t.Errorf("left over: %s", strings.Join(left, ", "))
	}
	c.t.Logf("cycle %d: %d kills, %d operations, %d resources", c.cycles, c.killed(), c.operations, c.accounts.Created)
}

// bringUp applies the platform until every region is ready. One on which its cloud gave up is removed by itself, and is applied again.
func (c *chaos) bringUp(each int) {
	for again := false; ; again = true {
		steps := c.apply(c.file, false)
		end := c.assassins(each)
		if again {
			c.begun()
		}
		found := c.settle(10*time.Minute, func(l regionLine) bool {
			return isReady(l) || l.Status == region.Failed && !strings.HasSuffix(l.Message, region.Undoing)
		})
		end()
		c.operations += steps
		if again {
			c.repeated += steps
		}
		failed := 0
		for _, l := range found {
			if !isReady(l) {
				failed++
				c.t.Logf("%s failed: %s", l.Name, l.Message)
			}
		}
		switch {
		case failed == 0:
			return
		case again:
			c.t.Fatalf("failed twice: %+v", found)
		}
	}
}

// begun waits until no region is listed as the attempt before left it.
func (c *chaos) begun() {
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		failed := ""
		for name, l := range c.regions() {
			if l.Status == region.Failed {
				failed = name
			}
		}
		if failed == "" {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s was applied again five minutes ago, and has not begun", failed)
		}
	}
}

func (c *chaos) takeDown(each int) {
	steps := c.apply(c.file, true)
	end := c.assassins(each)
	for name, l := range c.settle(10*time.Minute, func(l regionLine) bool { return l.Status == region.Failed }) {
		c.t.Fatalf("%s is still there: %s", name, l.Message)
	}
	end()
	c.operations += steps
}

// assassins kill every worker so often at random moments, and start it again at once, until end is called.
func (c *chaos) assassins(each int) (end func()) {
	over, done := make(chan struct{}), sync.WaitGroup{}
	for _, name := range c.victims {
		done.Go(func() {
			for range each {
				select {
				case <-over:
					return
				case <-time.After(200*time.Millisecond + rand.N(4*time.Second)):
				}
				if c.kills.Add(1) > int64(*kills) {
					c.kills.Add(-1)
					return
				}
				c.processes[name].kill()
				if err := c.processes[name].start(); err != nil {
					c.t.Errorf("start %s again: %v", name, err)
					return
				}
			}
		})
	}
	return func() { close(over); done.Wait() }
}

// misbehave has every cloud throttle, fail and lose answers at random calls, and one of them give up on what it had accepted.
func (c *chaos) misbehave(late region.Provider) {
	for _, p := range c.clouds {
		for _, f := range []world.Fault{{Fault: world.Throttle, Times: 2}, {Fault: world.ServerError, Times: 2}, {Fault: world.LostBefore}, {Fault: world.Lost}, {Fault: world.Lost}, {Fault: world.Lost}} {
			f.Provider, f.After = string(p), rand.IntN(40)
			c.order(f)
		}
	}
	if late != "" {
		c.order(world.Fault{Provider: string(late), Fault: world.Late, After: rand.IntN(3)})
	}
}

func (c *chaos) order(f world.Fault) {
	c.ask(http.MethodPost, c.control+"/_sandbox/faults", f, nil)
}

// count adds up the faults that happened, and clears the rest.
func (c *chaos) count() {
	var list struct{ Faults []world.Fault }
	c.ask(http.MethodGet, c.control+"/_sandbox/faults", nil, &list)
	for _, f := range list.Faults {
		c.faults[f.Fault] += f.Used
	}
	req, err := http.NewRequestWithContext(c.ctx, http.MethodDelete, c.control+"/_sandbox/faults", nil)
	c.must("clear the faults", err)
	resp, err := http.DefaultClient.Do(req)
	c.must("clear the faults", err)
	c.must("clear the faults", resp.Body.Close())
	if resp.StatusCode >= 300 {
		c.t.Fatal(fmt.Sprint("clear the faults: ", resp.Status))
	}
}
