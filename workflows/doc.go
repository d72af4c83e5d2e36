// Package workflows says what happens, in order. Its code is replayed: it touches nothing but Temporal and the nouns, and
// names activities through nil pointers, so that the compiler checks the name.
//
// One file opens with one exported function, whose comment says what is true when it ends. Timeouts live in options.go, as
// classes of call; changes to workflows that may be running in versions.go; the loop of workflows that own something in
// entity.go.
package workflows
