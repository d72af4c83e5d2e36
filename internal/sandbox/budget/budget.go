// Package budget is how many requests a sandbox cloud takes before it throttles: windows that slide, and buckets that refill.
//
// Periods and rates are the real cloud's; both are scaled by the world's clock, so that a simulated hour has an hour's budget. What was
// used is kept in memory: a restarted sandbox forgets it, as nobody's correctness may rest on it. The package knows no provider and no
// header; keys are the provider's own (a class of operations, and whose), and as few as that. Only the providers' packages below
// internal/sandbox import it.
package budget

import "time"

// Answer is what a budget says to one request.
type Answer struct {
	// Remaining is how many more requests would be taken right now, in the widest window or in the bucket.
	Remaining int
	// Reset is when that grows again: the end of the oldest request's widest window, or when the bucket is full.
	Reset time.Time
	// Wait is how long, in real time, until a request is taken again; 0 if this one was.
	Wait time.Duration
}
