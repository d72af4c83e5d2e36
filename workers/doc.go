// Package workers is the map of the system: one table that says which queue serves which workflows and activities, how
// runs move to new code, and how much a worker takes on at once.
//
// It wires, and decides nothing else. Only the starter imports it.
package workers
