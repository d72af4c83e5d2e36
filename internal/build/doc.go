// Package build turns the source of a Go program into an OCI image: the same source, toolchain and base make the same
// image, byte for byte, and one that is in the registry already is found instead of built.
//
// An image holds the program in its working directory /app, and beside it the files of the package's folder that were packed, but Go's own:
// root's, read-only, under their paths in that folder. A package folder with none gives way to its module's folder, where "go run
// ./cmd/api" is called. release.Build's include and exclude say otherwise. Links come along as links unless they lead out of the folder.
// The toolchain's time zones are in /usr/share/zoneinfo; /tmp is what a program may write, and its HOME.
//
// The sources are strangers'. What runs is the Go toolchain alone: cgo is off, go generate is not called, and no flag,
// environment file or toolchain line of a source is heard, so the go command never runs a source's own code. Still the
// compiler is large and reads what a source tells it to (an assembly file can include any path), so that every build runs
// in a jail:
//
//   - in user, mount, process, network, IPC and host name namespaces of its own, as a user without any capability;
//   - on a root file system that holds the toolchain and the source, both read-only, the project's own caches, a work
//     folder and /dev/null, and nothing else: no home, no data directory, no /proc, no sockets;
//   - with an environment made from a list, never inherited;
//   - without a network: one loopback listener, which this process serves itself, hands out modules from the configured
//     module proxies (and the checksum database), and nothing else;
//   - killed when it takes too long, too much memory or too much disk, or when this process dies.
//
// Enforced are: the time; the memory of all processes together (watched four times a second, so a peak in between can pass)
// and, at twice as much, of each (RLIMIT_DATA); processes and threads (RLIMIT_NPROC); the size of a file (RLIMIT_FSIZE) and of the work and
// cache folders (watched); what is fetched; the size of the program. Not enforced: shares of CPU time (builds run at a lower
// priority) and of disk bandwidth: that would take control groups, which an ordinary user has no right to.
//
// What compiles at one time is shared between projects: one leaves a place to others, and who finds none is turned away with a time
// to come back at and its place in line (Throttled), so that nobody waits in here. So are questions to registries about images that exist: a registry is a
// stranger's, may never answer, and is asked once. An image of our own registry is resolved for its own project alone.
//
// A module proxy that refuses a module (4xx) ends the build for good; one that is away is asked again later (Unavailable).
//
// Module and build caches are per project, so that no tenant can leave anything behind for another. The compiled standard
// library is copied into a new cache from one that no stranger's build has touched.
//
// Where the system refuses user namespaces, and on anything but Linux, Build fails with a message that says so, unless
// Config.AllowUnconfined is set: then the environment, module access, time and disk limits hold, and nothing else.
//
// A program that builds calls MaybeJail first thing in main: the jail is the same executable, started again. The package
// knows nothing of releases beyond their keys, of workflows or of clusters. It imports image, source, fault and the nouns;
// activities' wiring imports it.
package build
