// Package client is the Go client of the HTTP API: the command line uses it, and so may any other program.
//
// One Client is one caller: a base address, a token, a project. Each route has a method that takes and returns the nouns of
// the platform. What fails comes back as a fault with the words of the API. Requests survive an API that is away for a
// moment: they are sent again, under one idempotency key, so that a change is made once. The package neither prints nor
// asks, and it reads no files and no environment. It knows the wire, not the server: it does not import api/rest.
package client
