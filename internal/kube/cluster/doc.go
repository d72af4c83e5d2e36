// Package cluster is one cluster: it reads the wanted state from a directory,
// runs the control plane, the network and the storage provisioner in this
// process, supervises one process per node, and writes down what is.
//
// It is not the cloud: who wants which cluster, and how long a cloud would take,
// is the caller's. Only the command m3o-kube imports it.
package cluster
