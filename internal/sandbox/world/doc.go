// Package world is what the sandbox clouds stand on: resources on disk, the ledger of effects, faults to inject, the scaled
// clock, and the last requests.
//
// It knows no provider, no wire protocol and no Kubernetes. A change of resources, the ledger lines that tell of it and the
// faults it uses up are one commit, and the answer is given after the commit, so a sandbox killed at any instant starts
// again with a ledger that says exactly what exists. Only the packages below internal/sandbox import it.
//
// Words: a resource is a JSON document under (provider, kind, id); an effect is a line of the ledger; a fault is an order
// to misbehave, for an operation of a provider.
package world
