// Package bridge is a node's part of the cluster network: a bridge that joins
// the node's pods with each other and, over an uplink, with the switch of the
// cluster process.
//
// It works inside the network namespace of its process, where it needs
// CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN (root of a user namespace has
// them), and changes nothing outside. It gives pods addresses; it does not know
// Services, names or policies: those are in the cluster process. Only package
// node may import it.
package bridge
