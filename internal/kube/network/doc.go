// Package network is the network of one sandbox cluster.
//
// In the cluster process, a Network is the switch that joins the nodes and a
// userspace TCP/IP stack that answers as their default gateway: it takes
// connections to Services to a ready endpoint, connections to the outside to
// ordinary sockets, answers the cluster's names, and gives the API server its way
// into the cluster. In a node's process, package bridge joins the pods of the
// node. Neither needs a privilege on the machine.
//
// What differs from a cluster with kube-proxy: the endpoint of a Service sees the
// gateway as the sender; internalTrafficPolicy, externalTrafficPolicy and
// externalIPs are ignored; NodePorts are not opened; a load balancer's address
// is the machine's own and so cannot be reached from pods. A pod reaches the
// outside with what this process may reach, but for the machine's loopback,
// of which only Config.OpenPorts are open, and the addresses where clouds answer
// their machines (forbidden.go).
//
// It is not a packet filter: NetworkPolicy is not enforced. Traffic between
// pods never passes the stack, only the switch. IPv4 only.
//
// The parts: wire (frames, switch), service (who is behind a Service), names
// (DNS), balancer (Services of type LoadBalancer), flow (moving bytes), bridge
// (a node's part). Only package cluster may import this package, and only package
// node its bridge; the other parts are its own.
package network
