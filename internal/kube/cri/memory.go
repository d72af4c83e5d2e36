package cri

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/kube/cri/usage"
)

const (
	// memoryInterval is how often the memory of containers that have a limit is
	// looked at. What a program takes between two looks is beyond its limit.
	memoryInterval = 250 * time.Millisecond
	// membersInterval is how old the knowledge may be of which processes a
	// container has: finding them costs more than measuring them.
	membersInterval = time.Second
	// outgrownReason is the reason of a container that was ended for its
	// memory, in the word that the kubelet and its users know.
	outgrownReason = "OOMKilled"
)

// watchMemory ends containers that hold more memory than their limit, until the
// context ends. What counts is what usage.Exceeds counts.
func (s *Server) watchMemory(ctx context.Context) {
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	var watch memoryWatch
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := watch.look(s); err != nil {
			s.log.Warn("the memory of containers cannot be measured", "error", err)
		}
	}
}

// memoryWatch remembers which processes there were, by mount namespace.
type memoryWatch struct {
	members map[uint64][]int
	at      time.Time
}

func (w *memoryWatch) look(s *Server) error {
	limited := s.selectContainers(func(c *container) bool { return c.running() && c.memoryLimit() > 0 && c.spaces.Mount != nil })
	if len(limited) == 0 {
		return nil
	}
	if time.Since(w.at) >= membersInterval {
		members, err := usage.Scan()
		if err != nil {
			return err
		}
		w.members, w.at = members, time.Now()
	}
	for _, c := range limited {
		s.endOutgrown(c, w.members)
	}
	return nil
}

// endOutgrown kills a container that holds more than its limit. A process that
// has ended holds nothing, and one that has its number now is another
// namespace's: so only members that are still in the namespace are measured
// when it comes to killing.
func (s *Server) endOutgrown(c *container, members map[uint64][]int) {
	s.mu.Lock()
	limit, space := c.memoryLimit(), c.spaces.Mount
	if space == nil {
		s.mu.Unlock()
		return
	}
	key, err := usage.Key(space)
	s.mu.Unlock()
	if err != nil {
		return
	}
	held, over := usage.Exceeds(members[key], limit)
	if !over {
		return
	}
	now, err := usage.Scan()
	if err != nil {
		return
	}
	if held, over = usage.Exceeds(now[key], limit); !over {
		return
	}
	s.log.Info("a container holds more memory than its limit and is ended", "container", c.id, "held", held, "limit", limit)
	s.mu.Lock()
	c.outgrown = c.running()
	s.mu.Unlock()
	c.process.Kill()
}

// memoryLimit is how many bytes the container may hold, 0 when nothing limits
// it. The caller holds the server's lock.
func (c *container) memoryLimit() uint64 {
	return uint64(max(0, c.config.GetLinux().GetResources().GetMemoryLimitInBytes()))
}
