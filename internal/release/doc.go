// Package release defines services and their releases: what a developer asks for, what a release is in every region, and
// the contract of the workflows that bring it there.
//
// A service is a name in a project that answers requests. A release is one numbered attempt to run one image with one
// configuration; numbers are per service, allocated by the store, never used twice. A build turns a source into an image.
// The package is not about how any of this is done. It imports nothing but fault, answer, region and account,
// and may be imported by everything.
package release
