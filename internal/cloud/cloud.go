// Package cloud is what the platform asks of a cloud account: a private network, a managed Kubernetes in it, a look at
// what is ours, and a word beforehand about what stands in the way.
//
// Every call finds before it creates, by deterministic name and owner tag, so a repeated call or a lost answer makes
// nothing twice. Errors are faults in the provider's own words: Quota, Denied, Throttled, Unavailable, Invalid, Exists (a
// thing of that name that is not ours), Conflict (another operation is in the way: ask again). What is inside a cluster is
// not its business (internal/cluster). Only activities and the providers below import it.
package cloud

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/region"
)

// Provider is one cloud account.
type Provider interface {
	Networks
	Clusters
	Account
}

// Networks makes and removes private networks.
type Networks interface {
	// EnsureNetwork returns the network of the spec's name and owner, made if there is none.
	EnsureNetwork(context.Context, region.NetworkSpec) (region.Net, error)
	// DeleteNetwork removes it. Gone is fine. Conflict means that something still lives in it: ask again.
	DeleteNetwork(context.Context, region.NetworkSpec) error
}

// Clusters makes, watches and removes managed Kubernetes clusters.
type Clusters interface {
	// EnsureCluster returns the cluster of the spec's name and owner, asked for if there is none, and asks for the spec's
	// number of nodes if it has another. It does not wait: Ready and State say how far it is.
	EnsureCluster(context.Context, region.ClusterSpec) (region.Cluster, error)
	// FindCluster returns the cluster of the spec's name and owner, or a NotFound fault.
	FindCluster(context.Context, region.ClusterSpec) (region.Cluster, error)
	// DeleteCluster asks for its end and that of what it made in the account (load balancers, volumes). It does not
	// wait: FindCluster says NotFound when it is over. Gone is fine.
	DeleteCluster(context.Context, region.ClusterSpec) error
	// Access returns credentials for the cluster's API server.
	Access(context.Context, region.ClusterSpec) (Access, error)
}

// Account answers questions about the account itself.
type Account interface {
	// Preflight says what would keep the region from being made or changed, what it would cost, and what it draws from each
	// of the account's limits. have is what it has now: nil for a new one. What want leaves out of Kubernetes, the answer fills
	// in: from the region's cluster, if the account has it already, else with the provider's defaults.
	Preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error)
	// Owned lists everything in the account that carries the owner's tag or name, whatever state it is in, and what the
	// clusters of these ids made, which can outlive them.
	Owned(ctx context.Context, owner region.Key, clusters ...string) ([]region.Resource, error)
}

// Access is a kubeconfig and when it ends. It is a secret: it stays in the process that holds the cloud's identity, and
// never enters a history, a log or an error.
type Access struct {
	Kubeconfig []byte
	Expires    time.Time
}
