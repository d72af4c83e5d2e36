package cluster

import (
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// distribution is what differs by cloud inside a managed cluster. Everything else here is the same everywhere.
type distribution struct {
	name        string
	named       string            // the annotation that names the gateway's load balancer, where the cloud takes a name
	annotations map[string]string // the others of the gateway's load balancer
	storage     string            // the default StorageClass that it has or can be given
	engines     []engine          // what enforces NetworkPolicy in it, the usual one first
}

// distributions has a row per cloud. How each cloud's engine is called and switched on is in its documentation; a cluster in which
// none of them runs counts as one that enforces nothing, whatever else runs there.
var distributions = map[region.Provider]distribution{
	region.DigitalOcean: {name: "DOKS", storage: "do-block-storage", engines: []engine{cilium},
		named: "service.beta.kubernetes.io/do-loadbalancer-name"},
	region.AWS: {name: "EKS", storage: "ebs-csi-default-sc", engines: []engine{vpcCNI, cilium, calico, calicoOperated},
		annotations: map[string]string{"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"}},
	region.GCP:   {name: "GKE", storage: "standard-rwo", engines: []engine{dataplaneV2, calico}},
	region.Azure: {name: "AKS", storage: "default", engines: []engine{cilium, azureNPM, calicoOperated}},
}

// distributionOf is the row of a cloud.
func distributionOf(p region.Provider) (distribution, error) {
	of, found := distributions[p]
	if !found {
		return distribution{}, fault.New(fault.Invalid, "this version does not know the Kubernetes of the provider %q", p)
	}
	return of, nil
}

// balancer annotates the gateway's load balancer. Where it can have a name, that says whose it is.
func (d distribution) balancer(key region.Key) map[string]string {
	if d.named == "" {
		return d.annotations
	}
	return with(map[string]string{d.named: key.ResourceName()}, d.annotations)
}

// engine is a DaemonSet that enforces NetworkPolicy on its nodes. Some run without enforcing anything: off finds out.
type engine struct {
	namespace, name string
	off             switchedOff
}

func (e engine) String() string { return described("DaemonSet", e.namespace, e.name) }

// The engines that the clouds offer.
var (
	cilium         = engine{"kube-system", "cilium", ciliumNeverEnforces}
	dataplaneV2    = engine{"kube-system", "anetd", ciliumNeverEnforces}
	vpcCNI         = engine{"kube-system", "aws-node", agentIsNotAsked}
	azureNPM       = engine{"kube-system", "azure-npm", nil}
	calico         = engine{"kube-system", "calico-node", nil}
	calicoOperated = engine{"calico-system", "calico-node", nil}
)
