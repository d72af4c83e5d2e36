package region

import (
	"fmt"
	"time"
)

// Unserved says that nobody works on a queue, so that what is to be done there waits: a cloud's, whose worker was stopped or lost its
// connection.
type Unserved struct {
	Queue   string    `json:"queue"`
	Since   time.Time `json:"since"`             // when a worker was heard of there last
	Earlier bool      `json:"earlier,omitempty"` // none was heard of at all: Since is when the API began to listen
}

// String says so to an operator, and what to do.
func (u Unserved) String() string {
	since := "since"
	if u.Earlier {
		since = "at least since"
	}
	return fmt.Sprintf("nobody serves %s, %s %s UTC: start its worker (m3o worker --queues %s)", u.Queue, since, u.Since.UTC().Format(time.DateTime), u.Queue)
}
