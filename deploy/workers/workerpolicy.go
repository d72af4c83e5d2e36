// Package workerpolicy has what a cloud's worker is allowed in its account: the least-privilege policy documents of the folders beside
// it, each in its cloud's own format, which also say how a worker is placed there.
//
// It is data, not rules: which operation needs which permission is said beside each adapter (internal/cloud), where a test keeps the
// document equal to it, and the sandbox enforces it. The starter and tests import it.
package workerpolicy

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed */policy.json
var documents embed.FS

// Of returns the policy document of a provider, by its name in the platform file; nil if there is none.
func Of(provider string) []byte {
	data, err := documents.ReadFile(provider + "/policy.json")
	if err != nil {
		return nil
	}
	return data
}

// All returns the policy documents by provider.
func All() map[string][]byte {
	all := map[string][]byte{}
	names, err := fs.Glob(documents, "*/policy.json")
	if err != nil {
		panic("workerpolicy: the pattern is constant: " + err.Error())
	}
	for _, name := range names {
		provider, _, _ := strings.Cut(name, "/")
		all[provider] = Of(provider)
	}
	return all
}
