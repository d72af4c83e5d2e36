//go:build contract

package contract

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/m3o/platform/internal/sandbox/digitalocean"
)

// TestDigitalOceanScopes compares what the sandbox wants of a token with what the description does. What both kinds of older tokens
// have (api:read, api:write) is left out there, too.
func TestDigitalOceanScopes(t *testing.T) {
	described := map[string][]string{}
	for _, path := range description(t, "digitalocean.json").Paths.Map() {
		for _, operation := range path.Operations() {
			described[operation.OperationID] = scopesOf(operation)
		}
	}
	for _, operation := range newExchange(t).cloud.Operations() {
		if got, want := slices.Sorted(slices.Values(sandboxScopes(operation))), described[operation]; !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s needs %v, and by the description %v", operation, got, want)
		}
	}
}

func scopesOf(operation *openapi3.Operation) []string {
	var all []string
	if operation.Security == nil {
		return nil
	}
	for _, requirement := range *operation.Security {
		for _, scope := range requirement["bearer_auth"] {
			if !strings.HasPrefix(scope, "api:") {
				all = append(all, scope)
			}
		}
	}
	slices.Sort(all)
	return all
}

// sandboxScopes are what the sandbox wants of a token.
func sandboxScopes(operation string) []string { return digitalocean.Scopes(operation) }
