package gateway

import (
	"net/http"
	"sync"
	"time"
)

// Limits of the log streams that one gateway carries at once.
const (
	maxLogStreams     = 64 // of all projects
	maxProjectStreams = 16 // of one
	// keptLogStreams of all are for projects that have fewer than firstLogStreams: four busy projects do not keep the others out.
	keptLogStreams  = 16
	firstLogStreams = 2
)

// logRetry is how long a caller who was refused a stream is told to wait.
const logRetry = 5 * time.Second

// seats are the log streams that run, by project. The zero value is ready to use.
type seats struct {
	mu    sync.Mutex
	taken map[string]int
	total int
}

// take gives the project a stream, or says why it gets none now. Who was given one calls leave.
func (s *seats) take(project string) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	has, limit := s.taken[project], maxLogStreams
	if has >= firstLogStreams {
		limit -= keptLogStreams
	}
	var p *problem
	switch {
	case has >= maxProjectStreams:
		p = refusal(http.StatusTooManyRequests, "%d logs of the project %q are being read here already, which is as many as one project may: end one, or try again in a moment", has, project)
	case s.total >= maxLogStreams:
		p = refusal(http.StatusServiceUnavailable, "%d logs are being read here already, which is as many as this gateway can: try again in a moment", s.total)
	case s.total >= limit:
		p = refusal(http.StatusTooManyRequests, "%d logs are being read here, %d of them of the project %q; what is left is for projects that read fewer: try again in a moment", s.total, has, project)
	}
	if p != nil {
		p.RetryAfter = logRetry
		return p
	}
	if s.taken == nil {
		s.taken = map[string]int{}
	}
	s.taken[project]++
	s.total++
	return nil
}

func (s *seats) leave(project string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.taken[project]--; s.taken[project] == 0 {
		delete(s.taken, project)
	}
}
