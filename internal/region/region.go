package region

import (
	"slices"
	"strings"
	"time"
)

// Provider is a cloud that can hold a region.
type Provider string

// The providers of the platform file.
const (
	AWS          Provider = "aws"
	GCP          Provider = "gcp"
	Azure        Provider = "azure"
	DigitalOcean Provider = "digitalocean"
)

// Providers lists the providers of the platform file.
func Providers() []Provider { return slices.Clone(providers) }

// Part is something that runs in a region's cluster, as the platform file names it.
type Part string

// The parts. Control parts are the control plane's own, resource parts are what services use, network parts are entrypoints.
const (
	ControlAPI  Part = "control-api" // the HTTP API of the control plane
	Web         Part = "web"
	Etcd        Part = "etcd"
	NATS        Part = "nats"
	CockroachDB Part = "cockroachdb"
	API         Part = "api" // the gateway: the entrypoint to services
	Network     Part = "network"
)

// Status says where a region is in its life.
type Status string

// The statuses, in the order a healthy life goes through them.
const (
	Planned  Status = "planned"
	Creating Status = "creating"
	Ready    Status = "ready"
	Updating Status = "updating"
	Draining Status = "draining" // in the API's list of statuses; a removal goes to deleting at once, so nothing sets it
	Degraded Status = "degraded"
	Failed   Status = "failed"
	Deleting Status = "deleting"
	Deleted  Status = "deleted" // not shown in lists: the row is kept for its history
)

// Takes reports whether services are placed in a region of this status.
func (s Status) Takes() bool { return slices.Contains([]Status{Ready, Updating, Degraded}, s) }

// Takes reports whether services are placed in the region. One that was ready goes on taking them when a change of it fails.
func (r Region) Takes() bool { return r.Status.Takes() || r.Status == Failed && r.Served }

// Key names a region: platform and name, both DNS labels.
type Key struct {
	Platform string `json:"platform"`
	Name     string `json:"name"`
}

func (k Key) String() string { return k.Platform + "/" + k.Name }

// Region is what the read model knows of one region.
type Region struct {
	Spec      Spec      `json:"spec"`
	Status    Status    `json:"status"`
	Message   string    `json:"message,omitempty"` // why it waits, or why it failed, in words a user can act on
	Network   Net       `json:"network"`
	Identity  Identity  `json:"identity"`
	Cluster   Cluster   `json:"cluster"`
	Verified  Verified  `json:"verified"`
	Endpoints Endpoints `json:"endpoints"`
	Served    bool      `json:"served,omitempty"`    // it was ready and is not on its way out: a failed change never removes it
	Scarce    []Draw    `json:"scarce,omitempty"`    // limits of its account that are nearly used up, as the last inspection found
	Keep      bool      `json:"keep,omitempty"`      // whoever asked for it last wants to look at what a failed bootstrap has built
	Operation int       `json:"operation,omitempty"` // the newest operation that began
	Version   int64     `json:"version"`             // grows with every record; older writes are ignored
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Forget takes what is provably gone off the record.
func (r *Region) Forget() {
	r.Network, r.Identity, r.Cluster, r.Verified, r.Endpoints, r.Scarce = Net{}, Identity{}, Cluster{}, Verified{}, Endpoints{}, nil
}

// Moving reports whether something is being done to a region of this status.
func (s Status) Moving() bool {
	return slices.Contains([]Status{Planned, Creating, Updating, Deleting}, s)
}

// Fixed names those of the fields, as Differences lists them, that cannot change in place to what is wanted: where the region
// is, and its network, once that is begun, and all of them once its cluster is. The version that the cluster runs by now is no change
// of it, nor is the range that the network has.
func (r Region) Fixed(fields []string, want Spec) []string {
	if !r.built() && !r.Network.Begun() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(fields), func(f string) bool {
		switch f {
		case "kubernetes.version":
			return !r.built() || want.Kubernetes.Version == Minor(r.Cluster.Version)
		case "kubernetes.nodes.size":
			return !r.built()
		case "cidr":
			return want.CIDR == r.Network.CIDR
		}
		return false
	})
}

// built reports whether the region has, or had, a cluster that must not be made anew.
func (r Region) built() bool { return r.Served || r.Cluster.Begun() }

// Inspection is what a look at a region found. Version and Verified are zero where the look did not come so far, and Draws are none where
// the account did not say.
type Inspection struct {
	Healthy  bool     `json:"healthy"`
	Problems []string `json:"problems,omitempty"` // what is not ready, and why
	Drift    []string `json:"drift,omitempty"`    // what differs from what was applied
	Version  string   `json:"version,omitempty"`  // of Kubernetes, as the cluster says it ("1.34.1")
	Verified Verified `json:"verified"`
	Draws    []Draw   `json:"draws,omitempty"` // how much of its account's limits is left
}

// Saw takes over what an inspection found, and reports whether any of it is news.
func (r *Region) Saw(found Inspection) (news bool) {
	before := *r
	r.Status, r.Message = found.Verdict()
	if found.Version != "" && patch(found.Version) != patch(r.Cluster.Version) {
		r.Cluster.Version = found.Version
	}
	if found.Verified != (Verified{}) {
		r.Verified = found.Verified
	}
	if len(found.Draws) > 0 {
		r.Scarce = scarce(found.Draws)
	}
	return r.Status != before.Status || r.Message != before.Message || r.Cluster.Version != before.Cluster.Version || r.Verified != before.Verified ||
		!samePools(r.Scarce, before.Scarce)
}

// drifted begins the message of a region that works, but is not as it was applied.
const drifted = "drifted: "

// Verdict is what an inspection means for the region: its status and message.
func (i Inspection) Verdict() (Status, string) {
	switch {
	case !i.Healthy:
		return Degraded, strings.Join(i.Problems, "; ")
	case len(i.Drift) > 0:
		return Ready, drifted + strings.Join(i.Drift, "; ")
	}
	return Ready, ""
}

// Drift is what the last inspection found of a ready region that is not as it was applied, "" when nothing.
func (r Region) Drift() string {
	words, found := strings.CutPrefix(r.Message, drifted)
	if !found || r.Status != Ready {
		return ""
	}
	return words
}

// upgraded says in words that the cluster was upgraded since the region was applied, "" when it was not.
func (r Region) upgraded() string { return r.Spec.Kubernetes.Upgraded(r.Cluster.Version) }

// driftInside is the drift but for the cluster's version, which applying cannot mend.
func (r Region) driftInside() string {
	return strings.TrimPrefix(strings.TrimPrefix(r.Drift(), r.upgraded()), "; ")
}

// Endpoints are the addresses a region answers at. Each is a base URL that ends in a slash.
type Endpoints struct {
	API string `json:"api"`
}

// Resource is something in a cloud account that is a region's: by its tags, its description, or what it belongs to.
type Resource struct {
	Kind string `json:"kind"` // "vpc", "kubernetes cluster", "load balancer", "volume", "role"
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (r Resource) String() string { return r.Kind + " " + r.Name + " (" + r.ID + ")" }
