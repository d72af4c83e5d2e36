//go:build embedded && (chaos || bench)

package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// flood is what many sources send: keys of groups fire, and end some time later. In each group they come for a burst and then not for a
// rest, in which the last of them ends: that is one episode. The groups' episodes are spread over time.
type flood struct {
	rate        int           // keys a second that begin to fire, over all groups
	groups      int           // at a time
	life        time.Duration // how long a key fires
	burst, rest time.Duration
	fresh       bool // each episode is a group of its own, not its group's next
	send        []func(context.Context, message) error

	refused  atomic.Int64 // sendings that were not accepted, and repeated
	mu       sync.Mutex
	accepted map[string][]message // by name of the group
	begun    map[string]time.Time // when a group's first key was sent
}

// message says of a key that it fires, or no longer.
type message struct {
	group, key string
	over       bool
}

// group is the name of a group that is in a burst at that time since the flood began, of those that are the n-th to be asked; "" if it rests.
func (f *flood) group(n int, since time.Duration) string {
	index, period := n%f.groups, f.burst+f.rest
	at := since + period*time.Duration(index)/time.Duration(f.groups)
	if at%period >= f.burst {
		return ""
	}
	if f.fresh {
		return fmt.Sprintf("g%02d-%d", index, at/period)
	}
	return fmt.Sprintf("g%02d", index)
}

// run sends until over is closed, and then until every key that was accepted has ended. A message that is not accepted is sent again until
// it is; ctx ends that.
func (f *flood) run(ctx context.Context, over <-chan struct{}) {
	f.accepted, f.begun = map[string][]message{}, map[string]time.Time{}
	// Groups in a rest pass their turn on, so that the rate holds.
	tick := time.NewTicker(time.Second / time.Duration(f.rate))
	defer tick.Stop()
	var sources sync.WaitGroup
	defer sources.Wait()
	began, turn := time.Now(), 0
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		group := ""
		for tries := 0; group == "" && tries < f.groups; tries++ {
			group = f.group(turn, time.Since(began))
			turn++
		}
		if group != "" {
			sources.Go(func() { f.source(ctx, group, fmt.Sprintf("%s/%d", group, n)) })
		}
	}
}

// source is one key's life, as all receivers are told of it.
func (f *flood) source(ctx context.Context, group, key string) {
	f.mu.Lock()
	if f.begun[group].IsZero() {
		f.begun[group] = time.Now()
	}
	f.mu.Unlock()
	for _, over := range []bool{false, true} {
		f.deliver(ctx, message{group: group, key: key, over: over})
		if !over {
			select {
			case <-ctx.Done():
			case <-time.After(f.life):
			}
		}
	}
}

func (f *flood) deliver(ctx context.Context, m message) {
	var receivers sync.WaitGroup
	for i, send := range f.send {
		receivers.Go(func() {
			for send(ctx, m) != nil {
				f.refused.Add(1)
				select {
				case <-ctx.Done():
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
			if i > 0 {
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.accepted[m.group] = append(f.accepted[m.group], m)
		})
	}
	receivers.Wait()
}

// count is how many messages were accepted, by the first receiver.
func (f *flood) count() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, all := range f.accepted {
		n += len(all)
	}
	return n
}
