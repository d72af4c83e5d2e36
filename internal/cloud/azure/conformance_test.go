package azure_test

import (
	"cmp"
	"testing"

	"github.com/m3o/platform/deploy/workers"
	"github.com/m3o/platform/internal/cloud/azure/azuretest"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// sandboxScale makes a cluster's five minutes a bit more than half a second.
const sandboxScale = 0.002

// TestAzureIsAProvider with a worker that may do what its role allows, and nothing else.
func TestAzureIsAProvider(t *testing.T) {
	role := map[string][]byte{"azure": workerpolicy.Of("azure")}
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t, sandbox.Config{Policies: role}).Harness(t) })
}

// newAccount is the subscription of a sandbox of its own, whose clusters are only numbers.
func newAccount(t *testing.T, config sandbox.Config) azuretest.Account {
	t.Helper()
	config.TimeScale = cmp.Or(config.TimeScale, sandboxScale)
	at := sandboxtest.Start(t, config)
	return azuretest.Open(t, at.Providers["azure"], at.Control, at.Credentials("azure"), sandbox.AuthorityFile(at.Dir), at.Scale)
}
