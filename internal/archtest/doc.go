// Package archtest holds the rules of the house as tests: who imports whom, that every package says what it is, how large
// things may be, that only internal/config reads the environment and only internal/control dials Temporal, and that both modules
// link the same. Which workflows and activities are registered under which names is held by starter/queues_test.go. It has no code
// of its own.
package archtest
