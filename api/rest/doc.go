// Package rest is the HTTP API: /v1, JSON, problem documents (RFC 9457), and the OpenAPI document made from the handlers'
// own types.
//
// A handler checks, asks the read model or commands a workflow, and answers; it does no long work and writes nothing about
// it itself. Every route declares the permission it needs. Handlers see a principal, never a token. The package declares
// the small interfaces it needs; only the starter fills them in.
package rest
