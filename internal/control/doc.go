// Package control is how our programs talk to running workflows: it dials Temporal (the one place that does), encrypts
// payloads, and starts, updates, signals and queries by the names and ids that the nouns define.
//
// It knows nouns alone: no workflow code, no activities, no HTTP. The API, the workers' activities and the starter use it.
// What a workflow refuses comes back as the fault that it was.
package control
