// Package cloud is what the platform asks of a cloud account: a private network, identities, a managed Kubernetes, a look at
// what is ours, and a word beforehand about what stands in the way. What is inside a cluster is not its business
// (internal/cluster). Only activities and the providers below import it; DigitalOcean's, the smallest, is a good one to read,
// and cloudtest is the suite that every provider passes.
//
// # Calls converge
//
// Every Ensure is one step towards its spec: it looks at what there is, asks for the next thing that is missing and can be
// asked for now, and returns how far it is. It never waits for what takes longer than a request. Whoever wants the thing
// repeats the call, every few seconds, until it is Ready. So a cluster is made as its cloud wants it (control plane, add-ons,
// node group, more add-ons), by as many steps as that takes, and what drifted is brought back by the same steps. Every Delete
// is repeated in the same way until it is Gone.
//
//	condition          what the caller does
//	neither            waits, and repeats the call with the Operation
//	Ready              goes on
//	Broken             gives up, with State and Reason: the cloud does not mend it by itself
//	fault Conflict     waits: another operation is in the way. Ensure for an hour, Delete as long as it has patience
//	fault Throttled    comes back after RetryAfter; Unavailable and Unknown: soon
//	any other fault    gives up, with the message; for Quota and Denied the operator is asked first
//
// Operation is a hint that the caller keeps (a poller's resume token, the name of a long-running operation) and hands to the next
// step. It may be lost, late, or of an operation that ended long ago: without it, or with nonsense in it, a step finds the work by
// name and owner. It exists because some clouds tell only there why something failed. It is neither a secret nor longer than 8 kB.
//
// A step is bounded: it is given 45 seconds and at most twenty calls; what is left is the next step's. Its context is not
// cancelled when the work is, only between steps, so that no create is cut off in the middle. A process may still
// die anywhere, and an answer may be lost anywhere: no step relies on what the one before it remembered. Two
// steps for the same spec may run at once, in two processes.
//
// # Nothing is made twice, nothing that is ours is lost
//
// Every call looks before it creates, by a deterministic name (the spec's; region.CutName where the cloud wants it
// shorter) and by the owner (the spec's Tags in the cloud's grammar, or region.Key.Owner as a bare tag or in the description of
// what takes no tags). A thing of that name with another owner is an Exists fault for Ensure, and not there for everything
// else. Where a cloud has request tokens they are derived from the spec, so that equal steps send equal ones.
//
// The spec says what is wanted now. What the cloud changed by itself and the spec does not forbid (a newer patch or minor version,
// a replaced node) is reported and not fought.
//
// # The order of things
//
// Made: network, identity, cluster, trust. Removed: cluster, trust, identity, network. While the cluster goes it still acts by
// its identity and its trust (controllers remove their load balancers and disks). DeleteCluster is Gone only when what the cluster made
// in the account is gone too, since that keeps the network. Each is called whatever there is of the others.
//
// # Errors
//
// Faults in the provider's own words, with what the operator can do about it ("ask for quota L-1216C47A in eu-west-1"): Invalid, Quota,
// Exists, Conflict, Throttled, Unavailable, and Denied for credentials that are wrong, have ended, or lack a permission. The
// end of the step's context is returned as it is.
package cloud

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/region"
)

// Provider is one cloud account.
type Provider interface {
	Networks
	Identities
	Clusters
	Account
}

// Networks makes and removes private networks: subnets, routes, and the way out for nodes without addresses of their own.
type Networks interface {
	// EnsureNetwork takes one step towards the network of the spec. It is Ready when a cluster can be made in it: what only nodes need of it
	// may come later, and EnsureCluster waits for that.
	EnsureNetwork(ctx context.Context, spec region.NetworkSpec, operation string) (region.Net, error)
	// DeleteNetwork takes one step towards its end. While something still lives in it that is not its own it is not
	// gone, or a Conflict.
	DeleteNetwork(ctx context.Context, spec region.NetworkSpec, operation string) (region.Removal, error)
}

// Identities makes and removes what a region's cluster, nodes and workloads act as. A cloud that has no such thing is Ready
// and Gone at once.
type Identities interface {
	// EnsureIdentity takes one step towards roles, service accounts or managed identities, and their permissions. It is
	// Ready when the cloud takes them for a cluster, which may be some time after they were made.
	EnsureIdentity(ctx context.Context, spec region.IdentitySpec, operation string) (region.Identity, error)
	// DeleteIdentity takes one step towards their end, permissions first.
	DeleteIdentity(ctx context.Context, spec region.IdentitySpec, operation string) (region.Removal, error)
	// EnsureTrust takes one step towards what lets workloads and people act through a cluster that is Ready.
	EnsureTrust(ctx context.Context, spec region.TrustSpec, operation string) (region.Condition, error)
	// DeleteTrust takes one step towards the end of what of that outlives the cluster. The cluster in the spec may be unknown:
	// what it left is found by its owner.
	DeleteTrust(ctx context.Context, spec region.TrustSpec, operation string) (region.Removal, error)
}

// Clusters makes, watches and removes managed Kubernetes clusters.
type Clusters interface {
	// EnsureCluster takes one step towards the cluster of the spec, with its number of nodes and all that it needs to run
	// pods. Ready means that every node that was asked for runs, and no other.
	EnsureCluster(ctx context.Context, spec region.ClusterSpec, operation string) (region.Cluster, error)
	// DeleteCluster takes one step towards its end, and that of what it made in the account and left there: load balancers,
	// network interfaces, disks. Those that carry only the cluster's id are found if the spec has it.
	DeleteCluster(ctx context.Context, spec region.ClusterSpec, operation string) (region.Removal, error)
	// Access returns credentials for the API server of the cluster of the spec's name and owner, or a NotFound fault.
	Access(ctx context.Context, spec region.ClusterSpec) (Access, error)
}

// Account answers questions about the account itself.
type Account interface {
	// Preflight says what would keep the region from being made or changed, what it would cost, and what it draws from each
	// of the account's limits. have is what it has now: nil for a new one. What want leaves out of Kubernetes, the answer fills
	// in: from the region's cluster, if the account has it already, else with the provider's defaults.
	Preflight(ctx context.Context, want region.Spec, have *region.Spec) (region.Preflight, error)
	// Owned lists everything in the location, and of what the account has for all locations, that carries the owner's mark or
	// lies in what does, whatever state it is in, and what the clusters of these ids made, which can outlive them. It is the
	// proof that nothing is left.
	Owned(ctx context.Context, owner region.Key, location string, clusters ...string) ([]region.Resource, error)
}

// Access is a kubeconfig and when it ends. It is a secret: it stays in the process that holds the cloud's identity, and
// never enters a history, a log or an error.
type Access struct {
	Kubeconfig []byte
	Expires    time.Time
}
