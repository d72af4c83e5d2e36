// Package region defines what a region is: the part of the platform file that asks for it, its statuses, the plan that
// would bring it about, and the contract of the workflows that operate it.
//
// A platform is a set of regions under one domain. A region is one managed Kubernetes cluster in one location of one
// provider, with the parts that run in it. The package is not about how regions are made: workflows say in what order,
// activities with which calls, internal/cloud with which provider. It imports nothing but fault and answer
// (and a YAML parser) and may be imported by everything.
package region
