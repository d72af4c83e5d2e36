// Package controlplane runs one cluster's control plane inside this process:
// etcd, kube-apiserver, kube-controller-manager and kube-scheduler, all from
// Kubernetes' own modules, with the authority and the credentials they need.
//
// It is not a supervisor and knows no nodes: package cluster starts it, asks it
// for credentials and ends the process when a component fails. Only cluster may
// import it. Kubernetes keeps much in package variables, so one process runs one
// control plane, once.
package controlplane
