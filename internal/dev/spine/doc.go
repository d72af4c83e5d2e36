// Package spine tests the whole platform as a user runs it: the built program, its sandbox clouds, real clusters, real
// services. It kills processes, injects faults, measures, and records the histories that workflows are replayed against.
//
// It has no code but tests; `make build` must have run. What takes long is behind the build tags chaos, bench and record,
// one make target each.
package spine
