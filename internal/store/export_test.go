package store

import "time"

// SetClock lets tests pass time.
func (s *Store) SetClock(now func() time.Time) { s.now = now }
