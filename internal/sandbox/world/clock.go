package world

import (
	"context"
	"hash/fnv"
	"time"
)

// jitter is how far a simulated duration strays from its table, either way: clouds are never on the second.
const jitter = 0.1

// Clock is real time, in which simulated durations are shorter (or longer) by a scale.
type Clock struct {
	// Scale is what durations are multiplied by: 0.01 makes 100 s take 1 s.
	Scale float64
	// Read tells the time; nil means time.Now. Tests of transitions set it.
	Read func() time.Time
}

// Now is the time, in UTC.
func (c Clock) Now() time.Time {
	if c.Read != nil {
		return c.Read().UTC()
	}
	return time.Now().UTC()
}

// Scaled is a simulated duration in real time.
func (c Clock) Scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * c.Scale)
}

// Due is when something that takes about d and began at start is over. The jitter depends on the id alone, so that a
// sandbox that was killed and started again comes to the same instant.
func (c Clock) Due(start time.Time, d time.Duration, id string) time.Time {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	spread := 1 + jitter*(2*float64(h.Sum32())/float64(1<<32)-1)
	return start.Add(c.Scaled(time.Duration(float64(d) * spread)))
}

// Wait waits until t, or for the end of ctx.
func (c Clock) Wait(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(t.Sub(c.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
