// Package addresses is the address plan of a cluster: where its nodes, pods and
// Services are, and the few addresses and names that everybody in it knows. It is
// the same in every cluster, because clusters do not see each other.
//
// It says what may be where, not what is: indexes of nodes are given by package
// cluster, addresses of pods by the node's bridge, those of Services by the API
// server. Addresses of load balancers are not in it: they are the machine's. It
// imports nothing of ours, and every package of m3o-kube may import it.
//
// Words: a node's index is a number from 1 on, the third byte of its addresses; 0
// stands for the cluster itself.
package addresses

import "net/netip"

var (
	// PodCIDR holds the addresses of nodes and pods, and of the cluster itself.
	PodCIDR = netip.MustParsePrefix("10.244.0.0/16")
	// ServiceCIDR holds the addresses of Services.
	ServiceCIDR = netip.MustParsePrefix("10.96.0.0/16")

	// Gateway is the cluster process: the default route of nodes and pods.
	Gateway = netip.MustParseAddr("10.244.0.1")
	// Machine leads to the machine's own loopback.
	Machine = netip.MustParseAddr("10.244.0.2")
	// APIService is where pods find the API server. Kubernetes gives its Service
	// the first address of ServiceCIDR.
	APIService = netip.MustParseAddrPort("10.96.0.1:443")
	// DNSService is where nodes and pods have names resolved.
	DNSService = netip.MustParseAddr("10.96.0.10")
)

const (
	// ClusterDomain is the zone of the cluster's names.
	ClusterDomain = "cluster.local"
	// APIName is the name of APIService.
	APIName = "kubernetes.default.svc." + ClusterDomain
	// MachineName is the name of Machine.
	MachineName = "host.m3o.internal"
)

// nodeHost is the last byte of a node's own address.
const nodeHost = 1

// Node is the address of the node with this index, on its bridge.
func Node(index int) netip.Addr { return Pod(index, nodeHost) }

// Pod is the address with the last byte host on the node with this index. Pods
// have those from 2 to 254.
func Pod(index int, host byte) netip.Addr {
	ip := PodCIDR.Addr().As4()
	ip[2], ip[3] = byte(index), host
	return netip.AddrFrom4(ip)
}
