// Package relay brings what the store keeps to the workflows of alerts: signals, as one digest for each group and 250 ms at most,
// providers' callbacks, and word that rules changed. It also makes signals of what nobody sends: events of the platform, heartbeats that
// stay away.
//
// One process at a time relays: the holder of a lease in the store. Every sequence is read by a cursor in the store that moves with that
// lease alone, after what was read has been delivered: a relay that is killed anywhere repeats its last delivery and loses none. What is
// repeated is recognised by Digest.Upto, and by the ids of workflows.
//
// It decides nothing about alerts: which group a signal is of, the project's rules say (alert.Rules), what follows from it, the workflow.
// Only the starter imports it, for workers of the queue flows.
package relay
