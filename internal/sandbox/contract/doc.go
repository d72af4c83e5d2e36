// Package contract checks that the sandbox clouds speak as the official API descriptions say, in both directions: what the
// SDK sends is what the description allows, and what we answer, errors too, is what it promises. The calls that our own adapters
// make go through it as well, as their conformance suite makes them.
//
// It is not part of the ordinary tests, because the descriptions are not part of the project:
//
//	make contract SPECS=DIR
//
// It consists of tests alone; nobody imports it.
package contract
