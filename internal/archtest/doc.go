// Package archtest holds the rules of the house as tests: who imports whom, that every package says what it is, how large
// things may be, and which workflows and activities are registered under which names. It has no code of its own.
package archtest
