package world

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// The ways to misbehave.
const (
	// Throttle answers that there were too many requests.
	Throttle = "throttle"
	// ServerError answers 500 or 503 (Fault.Status) before anything is done.
	ServerError = "5xx"
	// Lost does what was asked and closes the connection without an answer.
	Lost = "lost"
	// LostBefore closes the connection without having done anything.
	LostBefore = "lost-before"
	// Stuck leaves the resource in its transitional state for ever.
	Stuck = "stuck"
	// Quota answers, in the provider's words, that the account's limit is reached.
	Quota = "quota"
	// Denied answers that the caller may not do this.
	Denied = "denied"
	// Slow waits before it does anything (Fault.Delay, in real time).
	Slow = "slow"
	// Late accepts, and fails when the resource should have become ready; not for what deletes.
	Late = "late"
	// Hang does nothing, and says nothing until the caller hangs up.
	Hang = "hang"

	// Of channels that reach people:

	// Busy refuses for now what may be tried again: a mail server's 4xx.
	Busy = "4xx"
	// Undeliverable is a recipient who cannot be reached: refused at once where the channel knows, and otherwise by its receipt.
	Undeliverable = "undeliverable"
	// Dropped accepts a message that nobody receives, and no receipt ever comes.
	Dropped = "dropped"
	// LateReceipt delivers at once and says so Fault.Delay later (in real time).
	LateReceipt = "late-receipt"
	// OptedOut answers that the recipient wants no more messages.
	OptedOut = "opted-out"
	// Unverified answers that a trial account may not write to this recipient.
	Unverified = "unverified"
)

// Early lists the faults that answer before anything is done.
var Early = []string{Throttle, ServerError, Denied, Quota, LostBefore}

// OfClouds are the faults of clouds, which have resources. A channel that reaches people has others.
var OfClouds = []string{Throttle, ServerError, Lost, LostBefore, Stuck, Quota, Denied, Slow, Late, Hang}

const (
	maxFaults       = 1000
	maxDelay        = 5 * time.Minute
	defaultDelay    = 5 * time.Second
	statusOfFailure = 500
)

// Fault is an order to misbehave.
type Fault struct {
	ID       int64  `json:"id"`
	Provider string `json:"provider"`
	// Operation is the operation's official name, or a glob of it; empty means every one.
	Operation string `json:"operation"`
	// Match is a part of the resource's name, or a glob of it; empty means every one.
	Match string `json:"match"`
	Fault string `json:"fault"`
	// Times is how often it happens: once if 0, until cleared if negative.
	Times int `json:"times"`
	// After is how many matching requests are left alone first.
	After int `json:"after"`
	// Delay is for slow and late-receipt: how long, as "2s".
	Delay string `json:"delay,omitempty"`
	// Status is for 5xx: 500 (also if 0), 502, 503 or 504.
	Status int `json:"status,omitempty"`
	// Used counts how often it happened.
	Used int `json:"used"`
}

// Wait is Delay, or a default.
func (f Fault) Wait() time.Duration {
	if d, err := time.ParseDuration(f.Delay); err == nil {
		return d
	}
	return defaultDelay
}

// Validate says everything that is wrong with f. operations are those of its provider, and faults the ones that it has.
func (f Fault) Validate(operations, faults []string) error {
	var problems []error
	if !slices.Contains(faults, f.Fault) {
		problems = append(problems, fmt.Errorf("fault %q is none of %s", f.Fault, strings.Join(faults, ", ")))
	}
	about := slices.DeleteFunc(slices.Clone(operations), func(o string) bool { return !f.isAbout(o) })
	if len(about) == 0 {
		problems = append(problems, fmt.Errorf("operation %q is none of %s's: %s", f.Operation, f.Provider, strings.Join(operations, ", ")))
	} else if f.Fault == Late && !slices.ContainsFunc(about, makes) {
		problems = append(problems, fmt.Errorf("operation %q deletes, and what is deleted never becomes ready: %q cannot be about it (%q can)", f.Operation, Late, Stuck))
	}
	if _, err := path.Match(f.Match, ""); err != nil {
		problems = append(problems, fmt.Errorf("match %q: %w", f.Match, err))
	}
	if f.After < 0 {
		problems = append(problems, fmt.Errorf("after %d is negative", f.After))
	}
	if d, err := time.ParseDuration(f.Delay); f.Delay != "" && (err != nil || d < 0 || d > maxDelay) {
		problems = append(problems, fmt.Errorf("delay %q is not a duration up to %s", f.Delay, maxDelay))
	}
	if f.Status != 0 && !slices.Contains([]int{500, 502, 503, 504}, f.Status) {
		problems = append(problems, fmt.Errorf("status %d is none of 500, 502, 503, 504", f.Status))
	}
	return errors.Join(problems...)
}

// makes reports whether an operation can leave something that becomes ready. The providers' names of those that delete say so.
func makes(operation string) bool {
	operation = strings.ToLower(operation)
	return !strings.Contains(operation, "delete") && !strings.Contains(operation, "destroy")
}

func (f Fault) isAbout(operation string) bool {
	if f.Operation == "" || f.Operation == operation {
		return true
	}
	matched, err := path.Match(f.Operation, operation)
	return err == nil && matched
}

func (f Fault) fits(name string) bool {
	if f.Match == "" || strings.Contains(name, f.Match) {
		return true
	}
	matched, err := path.Match(f.Match, name)
	return err == nil && matched
}

// AddFault writes an order down and returns it with its number.
func (t *Tx) AddFault(f Fault) (Fault, error) {
	faults, err := t.Faults()
	if err != nil {
		return f, err
	}
	if len(faults) >= maxFaults {
		return f, fmt.Errorf("there are %d faults already: clear some first", len(faults))
	}
	f.ID, f.Used = 0, 0
	if f.Times == 0 {
		f.Times = 1
	}
	if f.Fault == ServerError && f.Status == 0 {
		f.Status = statusOfFailure
	}
	doc, err := json.Marshal(f)
	if err != nil {
		return f, err
	}
	result, err := t.tx.Exec(`INSERT INTO fault (doc) VALUES (?)`, string(doc))
	if err != nil {
		return f, fmt.Errorf("add a fault: %w", err)
	}
	f.ID, err = result.LastInsertId()
	return f, err
}

// Faults lists the orders, used up or not, oldest first.
func (t *Tx) Faults() ([]Fault, error) {
	rows, err := t.tx.Query(`SELECT id, doc FROM fault ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list faults: %w", err)
	}
	defer rows.Close()
	faults := []Fault{}
	for rows.Next() {
		var f Fault
		var id int64
		var doc string
		if err := rows.Scan(&id, &doc); err != nil {
			return nil, fmt.Errorf("list faults: %w", err)
		}
		if err := json.Unmarshal([]byte(doc), &f); err != nil {
			return nil, fmt.Errorf("list faults: %w", err)
		}
		f.ID = id
		faults = append(faults, f)
	}
	return faults, rows.Err()
}

// ClearFaults forgets all orders. What they did to resources stays.
func (t *Tx) ClearFaults() error {
	_, err := t.tx.Exec(`DELETE FROM fault`)
	return err
}

// TakeFault finds the oldest order that is about this request and one of kinds, counts it, and returns it. Requests that
// an order leaves alone first (After) are counted too.
func (t *Tx) TakeFault(provider, operation, name string, kinds ...string) (Fault, bool, error) {
	faults, err := t.Faults()
	if err != nil {
		return Fault{}, false, err
	}
	for _, f := range faults {
		if f.Provider != provider || f.Times == 0 || !slices.Contains(kinds, f.Fault) || !f.isAbout(operation) || !f.fits(name) {
			continue
		}
		taken := f.After == 0
		if err := t.countFault(f); err != nil || taken {
			return f, taken, err
		}
	}
	return Fault{}, false, nil
}

// countFault counts one matching request for f.
func (t *Tx) countFault(f Fault) error {
	switch {
	case f.After > 0:
		f.After--
	case f.Times > 0:
		f.Times--
		f.Used++
	default:
		f.Used++
	}
	doc, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if _, err := t.tx.Exec(`UPDATE fault SET doc = ? WHERE id = ?`, string(doc), f.ID); err != nil {
		return fmt.Errorf("count a fault: %w", err)
	}
	return nil
}
