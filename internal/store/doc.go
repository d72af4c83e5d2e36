// Package store is the platform's memory in SQL: the read model that lists are served from, the events and the audit log,
// and the keys that make requests safe to repeat.
//
// One set of SQL and one set of migrations run on SQLite (a file, the embedded default) and on PostgreSQL or CockroachDB.
// Writes are serializable transactions, repeated when another one was in the way. Rows carry a version and an older write
// is ignored without a word, so a Record call may arrive twice, late or out of order. One of the same version counts: a workflow
// task whose worker died is done again, and may record otherwise than it did before. Events are written by the
// transaction that changes the row they tell of, with numbers that have no gaps and appear in order.
//
// It is not where work in progress is known (Temporal) nor what exists (the clouds), and it decides nothing. Activities,
// the API and the wiring in starter may import it; nouns, adapters and workflows may not.
package store
