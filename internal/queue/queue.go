// Package queue names the Temporal task queues. A queue exists only where credentials, hardware or rate limits demand
// it: whoever serves it must hold what its name says. The package holds names alone; workers decides who serves what.
package queue

// The queues that are not tied to one cloud.
const (
	Flows = "flows" // every workflow, and the activities that need only the database
	Pages = "pages" // email, SMS, Slack and webhooks: holds their credentials, no database
	Build = "build" // compiling strangers' source: no credentials, much CPU
)

// Cloud is the queue of one provider's worker, the only process that holds that cloud's identity. The argument is the
// provider's name as region.Provider prints it.
func Cloud[P ~string](provider P) string { return "cloud-" + string(provider) }
