package region

// Verified is what the verify stage finds in a region's cluster before anything is put there; zero until then.
type Verified struct {
	StorageClass  string      `json:"storage_class,omitempty"`  // the default one
	NetworkPolicy Enforcement `json:"network_policy,omitempty"` // whether the cluster enforces it
	Engine        string      `json:"engine,omitempty"`         // what enforces it ("daemonset kube-system/cilium")
}

// Enforcement says whether a cluster enforces NetworkPolicy. Where it does not, every pod reaches every other: the services of
// all projects, and what they keep in the region's parts.
type Enforcement string

// The enforcements.
const (
	Enforced   Enforcement = "enforced"
	Unenforced Enforcement = "unenforced" // refused unless the platform file says "unenforced: allow"
)

// Permission is what the platform file permits that is refused otherwise.
type Permission string

// Allow is the one permission there is.
const Allow Permission = "allow"
