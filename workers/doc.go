// Package workers serves queues: it lists every workflow with how its runs move to new code, and the activities of each kind
// of queue.
//
// It wires, and decides nothing else. Which queues there are, what each needs and how much it does at once is one table in the
// starter (queues.go), which opens what activities need. Only the starter imports it.
package workers
