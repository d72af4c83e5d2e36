// Package clusters runs the Kubernetes behind the sandbox clouds' clusters: one m3o-kube process per cluster (Processes), or
// clusters that somebody made elsewhere (Contexts).
//
// It knows no provider. A cloud says what it wants again and again; Apply makes it so, finds what is already running, and
// starts what died. What is inside a cluster is not its business, but for giving credentials. Only packages below
// internal/sandbox import it.
package clusters

import (
	"context"
	"errors"
	"time"
)

// ErrNotReady says that a cluster's API server cannot be used yet.
var ErrNotReady = errors.New("the cluster's API server is not up yet")

// Runner runs clusters. It is safe for concurrent use; calls for one cluster come one at a time.
type Runner interface {
	// Places are where clusters can be. Each cluster takes one for itself.
	Places() []string
	// Apply makes the cluster run as wanted, and returns at once. Asking again for the same changes nothing; a cluster
	// that died is started again, less and less often if it keeps dying.
	Apply(context.Context, Wanted) error
	// Status says how the cluster is. One that was never asked for is not alive.
	Status(ctx context.Context, id string) (Status, error)
	// Access gives an administrator's credentials, or ErrNotReady.
	Access(ctx context.Context, id string) (Access, error)
	// Remove ends the cluster and all its state. It returns when both are gone. Gone is fine.
	Remove(ctx context.Context, id string) error
}

// Wanted is a cluster as a cloud wants it.
type Wanted struct {
	ID   string
	Name string
	// Version is a minor version, as "1.34".
	Version string
	// Place is one of Runner.Places.
	Place string
	// Authenticator is the URL of a webhook on this machine's loopback, in plain HTTP, that tells by TokenReview whose a bearer token
	// is; "" for none. The cluster's own credentials are good beside it.
	Authenticator string
	// Tags are those of the cloud's cluster. One of them may say who owns it.
	Tags  []string
	Nodes []Node
}

// Node is a wanted node.
type Node struct {
	Name      string
	Pool      string
	CPU       int
	MemoryMiB int
	Labels    map[string]string
}

// Status is how a cluster is.
type Status struct {
	// Alive says that its process runs, Ready that its API server answers.
	Alive, Ready bool
	// Version is what it presents, as "v1.34.0".
	Version  string
	Endpoint string
	// Nodes tells for each node by name whether it is ready.
	Nodes map[string]bool
	// Failed says, in the cluster's own words, why it cannot run at all. Trying again is pointless.
	Failed string
	// Trouble says what it last complained of.
	Trouble string
}

// AllReady says that the API server answers as version and all the named nodes are ready.
func (s Status) AllReady(version string, nodes []string) bool {
	if !s.Alive || !s.Ready || !presents(s.Version, version) {
		return false
	}
	for _, node := range nodes {
		if !s.Nodes[node] {
			return false
		}
	}
	return true
}

// Access is what it takes to use a cluster as its administrator. It is a secret.
type Access struct {
	Server      string
	CA          []byte
	Token       string
	Certificate []byte
	Key         []byte
	// Expires is when the credentials end; zero if they do not.
	Expires time.Time
}

func presents(full, minor string) bool {
	full = trimV(full)
	return full == minor || len(full) > len(minor) && full[:len(minor)] == minor && full[len(minor)] == '.'
}

func trimV(version string) string {
	if len(version) > 0 && version[0] == 'v' {
		return version[1:]
	}
	return version
}
