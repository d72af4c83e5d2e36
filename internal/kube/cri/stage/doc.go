// Package stage holds the short programs that run between fork and exec: the
// first process of a pod, the first process of a container, a command executed
// in a container, and the mount of a proc file system. The runtime starts
// itself again under the name in Name, and this package's init function takes
// over before the packages that sort after it (all of Kubernetes among them)
// have been initialised. That keeps a container's start fast and small, and a
// program in which the package is linked needs no call to be a stage.
//
// It is not a library of namespace tricks: nothing here is called inside the
// runtime itself, but for the specs that travel from the runtime to a stage.
// Only package cri and its sub-packages may import it. It imports as little as
// it can, because whatever it imports runs before every container.
//
// Words: a spec is what the runtime wants of a stage, sent as JSON on file
// descriptor 3; the reply comes back on the same descriptor. A closed
// descriptor without a reply means that the wanted program has been executed.
package stage
