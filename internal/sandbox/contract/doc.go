// Package contract checks that the sandbox clouds speak as the official API descriptions say, in both directions: what the
// SDK sends is what the description allows, and what we answer, errors too, is what it promises. The calls that our own adapters
// make go through it as well, as their conformance suite makes them.
//
// It is not part of the ordinary tests, because DigitalOcean's description is not part of the project, and AWS' models are large:
//
//	make contract SPECS=DIR
//
// DIR has digitalocean.json; without it the other clouds are checked, whose descriptions come with modules. Operations, how often each was
// seen and by what it was checked are printed.
//
// It consists of tests alone; nobody imports it.
package contract
