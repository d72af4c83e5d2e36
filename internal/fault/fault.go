// Package fault is the platform's vocabulary of failure: a few kinds, each with one meaning, and a message that a user
// can act on.
//
// Adapters (clouds, clusters, the store) return faults; activities turn them into Temporal's errors in one place and the
// HTTP API into problem documents in another. The package is not a logging or tracing aid, and it holds no retry policy.
// Everything may import it; it imports nothing of the project.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what went wrong in a way that decides what happens next.
type Kind string

// The kinds. A Kind that is not Permanent may succeed when the same call is made again.
const (
	Invalid         Kind = "invalid"         // the input breaks a rule; asking again changes nothing
	Unauthenticated Kind = "unauthenticated" // nobody we know
	Denied          Kind = "denied"          // known, but not allowed: ours or a provider's permission
	NotFound        Kind = "not_found"       // no such thing
	Exists          Kind = "exists"          // there already, and not ours
	Conflict        Kind = "conflict"        // the world moved, or another operation is in the way
	Quota           Kind = "quota"           // a limit of the account is reached
	Full            Kind = "full"            // our own storage is full; somebody must make room
	Failed          Kind = "failed"          // the thing itself failed: a build, a health check, a cluster
	Throttled       Kind = "throttled"       // too many calls; RetryAfter says when to come back
	Unavailable     Kind = "unavailable"     // the other side is down, or the answer was lost
	Unknown         Kind = "unknown"         // not classified: treated as worth another try
)

// Permanent reports whether repeating the same call cannot help.
func (k Kind) Permanent() bool {
	switch k {
	case Throttled, Unavailable, Unknown:
		return false
	}
	return true
}

// Problem is one broken rule of an input. Field is a path as the user wrote it ("regions[1].kubernetes.version").
type Problem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is a failure of a known kind. Message is for users: whole, in their words, without secrets. The wrapped error
// is for operators.
type Error struct {
	Kind       Kind
	Message    string
	Problems   []Problem     // for Invalid: everything that is wrong, at once
	RetryAfter time.Duration // for Throttled, when the other side said
	Output     string        // what a stranger's program or a compiler said: for its owner, never for our logs
	err        error
}

// New makes a fault with a message for users.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a fault with a message for users around the cause that operators see.
func Wrap(kind Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), err: cause}
}

// Problems makes one Invalid fault of all that is wrong, or nil when nothing is.
func Problems(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.Field + ": " + p.Message
	}
	return &Error{Kind: Invalid, Message: strings.Join(lines, "; "), Problems: problems}
}

// Checker collects what is wrong with an input, rule by rule. Its zero value has found nothing.
type Checker struct{ problems []Problem }

// Check notes the problem of a field unless the rule holds.
func (c *Checker) Check(ok bool, field, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, Problem{Field: field, Message: fmt.Sprintf(format, args...)})
	}
}

// Add notes problems that were found elsewhere.
func (c *Checker) Add(found ...Problem) { c.problems = append(c.problems, found...) }

// Problems returns what was found, in the order of the checks.
func (c *Checker) Problems() []Problem { return c.problems }

// Err makes one Invalid fault of what was found, or nil of nothing.
func (c *Checker) Err() error { return Problems(c.problems) }

func (e *Error) Error() string {
	if e.err == nil {
		return e.Message
	}
	return e.Message + ": " + e.err.Error()
}

func (e *Error) Unwrap() error { return e.err }

// Of returns the kind of the first fault in err's chain, Unknown when there is none.
func Of(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unknown
}

// Is reports whether err is a fault of the given kind.
func Is(err error, kind Kind) bool { return err != nil && Of(err) == kind }

// Output returns what a program said that the first fault is about, "" when there is none.
func Output(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Output
	}
	return ""
}

// WithOutput is a message with what a program said below it.
func WithOutput(message, output string) string {
	if output == "" {
		return message
	}
	return message + ":\n" + output
}

// Message returns the words for users: the first fault's message, else the error's own text.
func Message(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}
