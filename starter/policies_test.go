//go:build embedded

package main

import (
	"encoding/json"
	"testing"

	"github.com/m3o/platform/deploy/workers"
)

// TestTheSandboxIsGivenThePolicies that workers have in the real clouds: what they may not do there fails here, too.
func TestTheSandboxIsGivenThePolicies(t *testing.T) {
	given := workerPolicies()
	if len(given) == 0 {
		t.Fatal("there are none")
	}
	for name, document := range given {
		if !json.Valid(document) || string(document) != string(workerpolicy.Of(name)) {
			t.Errorf("the policy of %s is %s", name, document)
		}
	}
	if workerpolicy.Of("nimbus") != nil || len(workerpolicy.All()) < len(given) {
		t.Error("a cloud that there is not has a policy")
	}
}
