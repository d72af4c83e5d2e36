package gcp_test

import (
	"cmp"
	"testing"

	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/gcp/gcptest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// sandboxScale makes a cluster's five minutes a third of a second.
const sandboxScale = 0.001

func TestGCPIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t, sandbox.Config{}).Harness(t) })
}

// newAccount is the project of a sandbox of its own, whose clusters are only numbers unless the config says what else.
func newAccount(t *testing.T, config sandbox.Config) gcptest.Account {
	t.Helper()
	config.TimeScale = cmp.Or(config.TimeScale, sandboxScale)
	at := sandboxtest.Start(t, config)
	return gcptest.Open(t, at.Providers["gcp"], at.Control, at.Credentials("gcp"))
}
