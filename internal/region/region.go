package region

import (
	"slices"
	"strings"
	"time"
)

// Provider is a cloud that can hold a region.
type Provider string

// The providers of the platform file. This version runs the ones that Supported reports.
const (
	AWS          Provider = "aws"
	GCP          Provider = "gcp"
	Azure        Provider = "azure"
	DigitalOcean Provider = "digitalocean"
)

// Part is something that runs in a region's cluster, as the platform file names it.
type Part string

// The parts. Control parts are the platform's own, resource parts are what services use, network parts are entrypoints.
const (
	Etcd        Part = "etcd"
	NATS        Part = "nats"
	CockroachDB Part = "cockroachdb"
	API         Part = "api"
	Web         Part = "web"
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
	Draining Status = "draining"
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
	Endpoints Endpoints `json:"endpoints"`
	Served    bool      `json:"served,omitempty"`    // it was ready and is not on its way out: a failed change never removes it
	Operation int       `json:"operation,omitempty"` // the newest operation that began
	Version   int64     `json:"version"`             // grows with every record; older writes are ignored
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Forget takes what is provably gone off the record.
func (r *Region) Forget() {
	r.Network, r.Identity, r.Cluster, r.Endpoints = Net{}, Identity{}, Cluster{}, Endpoints{}
}

// Moving reports whether something is being done to a region of this status.
func (s Status) Moving() bool {
	return slices.Contains([]Status{Planned, Creating, Updating, Deleting}, s)
}

// Fixed names those of the fields, as Differences lists them, that cannot change in place: where the region is once its
// network is begun, and all of them once its cluster is.
func (r Region) Fixed(fields []string) []string {
	switch {
	case r.Served || r.Cluster.Begun():
		return fields
	case r.Network.Begun():
		return slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return f != "provider" && f != "region" })
	}
	return nil
}

// Inspection is what a look at a region found.
type Inspection struct {
	Healthy  bool     `json:"healthy"`
	Problems []string `json:"problems,omitempty"` // what is not ready, and why
	Drift    []string `json:"drift,omitempty"`    // what differs from what was applied
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
