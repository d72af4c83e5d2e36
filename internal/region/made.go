package region

// Condition is how far a cloud is with something that was asked of it: at work while it is neither ready nor broken.
type Condition struct {
	Ready     bool   `json:"ready,omitempty"`
	Broken    bool   `json:"broken,omitempty"`    // the provider has given up on it: asking again changes nothing
	State     string `json:"state,omitempty"`     // the provider's own word for what it does
	Reason    string `json:"reason,omitempty"`    // why it is not ready, in the provider's words, and what the operator can do
	Operation string `json:"operation,omitempty"` // opaque: helps the next step to find the work, which it also finds without
}

// Removal is how far a cloud is with removing something. State says what it waits for while it is not gone.
type Removal struct {
	Gone      bool   `json:"gone,omitempty"`
	State     string `json:"state,omitempty"`
	Operation string `json:"operation,omitempty"` // as a Condition's
}

// NetworkSpec asks for a region's private network.
type NetworkSpec struct {
	Owner    Key      `json:"owner"`
	Provider Provider `json:"provider"`
	Name     string   `json:"name"`
	Location string   `json:"location"`
	CIDR     string   `json:"cidr,omitempty"` // the range of all its subnets, a /16 unless the operator chose it; "": the cloud chooses
	NAT      NAT      `json:"nat,omitempty"`
	Tags     Tags     `json:"tags"`
}

// Net is a private network that exists, or is on its way. Its name is on record before anything of it is asked for, the id
// only when it is ready.
type Net struct {
	ID      string   `json:"id,omitempty"`
	Name    string   `json:"name,omitempty"`
	CIDR    string   `json:"cidr,omitempty"`
	Zones   []string `json:"zones,omitempty"`
	Subnets []Subnet `json:"subnets,omitempty"` // none where the network is not divided
	Egress  []string `json:"egress,omitempty"`  // addresses that nodes are seen by outside, where the network gives them any
	Condition
}

// Subnet is a part of a network. Public ones hold load balancers, the others nodes.
type Subnet struct {
	ID     string `json:"id"`
	Zone   string `json:"zone,omitempty"`
	CIDR   string `json:"cidr,omitempty"`
	Public bool   `json:"public,omitempty"`
}

// Begun reports whether something of the network may exist.
func (n Net) Begun() bool { return n.Name != "" || n.ID != "" }

// IdentitySpec asks for what a region's cluster and its nodes act as in the account. It is made before the cluster, in view
// of the network that they may use.
type IdentitySpec struct {
	Owner    Key      `json:"owner"`
	Provider Provider `json:"provider"`
	Name     string   `json:"name"`
	Location string   `json:"location"`
	Network  Net      `json:"network"`
	Tags     Tags     `json:"tags"`
}

// Identity is what a region's cluster and its nodes act as. Principals are roles, service accounts or managed identities, by
// names that the adapter chooses ("cluster", "nodes"); its own EnsureCluster and EnsureTrust read them.
type Identity struct {
	Principals map[string]string `json:"principals,omitempty"`
	Condition
}

// ClusterSpec asks for a region's managed Kubernetes. Version is a minor ("1.34"); the provider picks the patch.
type ClusterSpec struct {
	Owner      Key               `json:"owner"`
	Provider   Provider          `json:"provider"`
	Name       string            `json:"name"`
	Location   string            `json:"location"`
	Network    Net               `json:"network"`
	Principals map[string]string `json:"principals,omitempty"` // the identity's
	Version    string            `json:"version"`
	Nodes      Nodes             `json:"nodes"`
	Tags       Tags              `json:"tags"`
	Access     []string          `json:"access_cidrs,omitempty"` // see Spec; the adapter adds what the network's Egress and its own worker need
	// ID is the cluster's, where it is known. Deleting needs it for what carries nothing else of the cluster.
	ID string `json:"id,omitempty"`
}

// Cluster is a managed Kubernetes that exists, or is on its way. Its name is on record before it is asked for. Version is the
// one that it really has, whoever changed it.
type Cluster struct {
	ID       string `json:"id,omitempty"`
	Name     string `json:"name,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	Issuer   string `json:"issuer,omitempty"` // of its service accounts' tokens, where workloads act in the account by them
	Version  string `json:"version,omitempty"`
	Nodes    int    `json:"nodes,omitempty"` // nodes that are ready
	Condition
}

// Begun reports whether something of the cluster may exist.
func (c Cluster) Begun() bool { return c.Name != "" || c.ID != "" }

// TrustSpec asks for what lets workloads and people act through a cluster that exists: trust in its issuer, associations,
// access entries.
type TrustSpec struct {
	Owner      Key               `json:"owner"`
	Provider   Provider          `json:"provider"`
	Name       string            `json:"name"`
	Location   string            `json:"location"`
	Cluster    Cluster           `json:"cluster"`
	Principals map[string]string `json:"principals,omitempty"`
	Tags       Tags              `json:"tags"`
}

// NetworkSpec is the private network the region needs.
func (s Spec) NetworkSpec() NetworkSpec {
	return NetworkSpec{Owner: s.Key(), Provider: s.Provider, Name: s.Key().ResourceName(), Location: s.Location, CIDR: s.CIDR,
		NAT: s.NAT, Tags: s.Key().Tags()}
}

// IdentitySpec is the identity the region needs, in the given network.
func (s Spec) IdentitySpec(network Net) IdentitySpec {
	return IdentitySpec{Owner: s.Key(), Provider: s.Provider, Name: s.Key().ResourceName(), Location: s.Location, Network: network,
		Tags: s.Key().Tags()}
}

// ClusterSpec is the managed cluster the region needs, in the given network.
func (s Spec) ClusterSpec(network Net) ClusterSpec {
	return ClusterSpec{Owner: s.Key(), Provider: s.Provider, Name: s.Key().ResourceName(), Location: s.Location, Network: network,
		Version: s.Kubernetes.Version, Nodes: s.Kubernetes.Nodes, Tags: s.Key().Tags(), Access: s.Access}
}

// TrustSpec is the trust that the region's cluster needs.
func (s Spec) TrustSpec(cluster Cluster, identity Identity) TrustSpec {
	return TrustSpec{Owner: s.Key(), Provider: s.Provider, Name: s.Key().ResourceName(), Location: s.Location, Cluster: cluster,
		Principals: identity.Principals, Tags: s.Key().Tags()}
}
