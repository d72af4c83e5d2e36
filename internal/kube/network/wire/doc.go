// Package wire carries Ethernet frames between the nodes of a cluster and
// the userspace IP stack of the cluster process.
//
// It holds the framing used on an uplink (a stream socket between a node and
// the cluster process), the switch that joins the uplinks, and the switch's
// port into the IP stack. It knows frames and hardware addresses only: it is
// not a router, and what happens to a connection is decided elsewhere. Only
// the packages of internal/kube/network may import it.
//
// A frame keeps the kernel's offload header (struct virtio_net_hdr) in front
// of it all the way. So a TCP segment of 60 KB crosses the switch as one frame,
// checksums are filled in by whoever needs them, and no interface has to
// have its offloads switched off.
package wire
