// Package node is one node of a cluster: a process of its own in user, mount,
// network, process, IPC and host name namespaces of its own, in which the real
// kubelet runs over our container runtime.
//
// It does not decide which nodes there are and does not restart itself: package
// cluster starts it, through Command, and starts it again. What it keeps is in its
// directory; its pods die with it.
package node
