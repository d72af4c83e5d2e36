// Package activities holds one idempotent call to the world each. Every struct is named for what it works on, its fields
// are the small interfaces it needs, and every method says what makes it safe to repeat.
//
// Activities never retry (Temporal does), never log an error they return, and hold no order: that is workflows' part. They
// see cloud interfaces, never a provider. Only workers makes them; workflows use their names alone.
package activities
