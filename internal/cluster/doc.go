// Package cluster is what the platform does inside a region's Kubernetes: its namespaces and their limits, the parts that
// run there (etcd, NATS, CockroachDB, the gateway), and one Deployment per service.
//
// Everything is written by server-side apply as the field manager "m3o", so repeating a call changes nothing. Fields that
// somebody else took over are taken back where the object is ours (label app.kubernetes.io/managed-by=m3o), and nowhere
// else. Errors are faults without credentials; a Client forgets nothing and decides nothing, so order, waiting and retries
// are the caller's. The package knows no cloud (internal/cloud makes clusters) and no routing (internal/gateway). Only
// activities and programs that are handed a kubeconfig import it.
//
// # What is where
//
// Parts live in three namespaces: m3o-control (nothing yet), m3o-resource (etcd, NATS, CockroachDB) and m3o-network (the
// gateway). Services find the parts at etcd.m3o-resource.svc:2379, nats.m3o-resource.svc:4222 and
// cockroachdb.m3o-resource.svc:26257. A project has the namespace project-<name>; a service is a Deployment and a Service
// of its name in it. Pods are "restricted" in the sense of the Pod Security Standards everywhere: user 65532, no
// capabilities, a root file system that cannot be written (/tmp can).
//
// What differs by cloud is one value per cloud (distributions.go): how the gateway's load balancer is annotated, the default
// StorageClass, and what enforces NetworkPolicy, which Verify looks for before anything is put into a cluster.
//
// # Images
//
// Parts.Images says which images run; DefaultImages fill in. All are pinned by digest: a tag that moves would change what
// runs without a release. The digests of the official images are as their publishers' registries gave them in September
// 2026; none was pulled from here. Whoever makes an image puts the program where the official one has it, because the command
// is given here: see programs in images.go.
//
// # What an operator should know
//
// The number of etcd and NATS members is decided once, when a region is made (one, or three from three nodes on), and kept
// in their volumes: members of a running quorum are not added by changing a number. Volumes and the CockroachDB authority
// outlive their part: a part that is listed again finds its data. etcd and NATS speak plain TCP inside the region and are
// kept from strangers by NetworkPolicies alone. A cluster whose network does not enforce them offers no such wall: Verify finds
// out, and it is taken only where the platform file allows it. Neither asks who calls: every service in the region, whatever its
// project, can read and write all that the others keep there. What is secret, or must not be forged by another project, does not
// belong in them. The gateway believes etcd accordingly: it routes to what Kubernetes vouches for.
// CockroachDB since 24.3 slows clusters without a licence key down after a week; the key is set by SQL, not here.
package cluster
