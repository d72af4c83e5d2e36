package store

import "time"

// SetClock lets tests pass time.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// Write has a writer of this process be at work until it is told to stop.
func (s *Store) Write() (stop func()) {
	s.turn <- struct{}{}
	return func() { <-s.turn }
}
