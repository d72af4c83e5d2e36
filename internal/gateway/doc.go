// Package gateway is the data plane entry of one region: it takes requests for /<service>/<path> and sends them to a ready
// instance of the service, which it finds through the region's registry in etcd.
//
// It is made of four parts, each in a package below this one: registry reads and writes etcd, mirror reads Kubernetes,
// upstream holds the table of routes and sends requests, podlog streams logs. This package decides: which service in which
// project, who may call, within what limits, and what to say when it cannot be done. Beside the services' requests it
// answers control routes under /-/, which no service can be named.
//
// The gateway holds no secrets and changes nothing in the cluster: it checks tickets with public keys, and its only writes
// are the registry's. It is not the global entrypoint and knows one region only. It must not import Temporal, a cloud's
// SDK or the store. The command `m3o gateway` in starter is what imports it.
package gateway
