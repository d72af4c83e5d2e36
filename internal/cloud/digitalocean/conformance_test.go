package digitalocean_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/digitalocean/digitaloceantest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// sandboxScale makes a cluster's five minutes two thirds of a second.
const sandboxScale = 0.002

func TestDigitalOceanIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return accountInUse(t).Harness(t) })
}

func TestANewAccountIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness {
		h := newUnused(t).Harness
		all := h.Effects
		h.Effects = func(t *testing.T) []cloudtest.Effect { // what happens to the locations' defaults is not the suite's business
			return slices.DeleteFunc(all(t), func(e cloudtest.Effect) bool { return strings.HasPrefix(e.Name, "default-") })
		}
		return h
	})
}

// accountInUse is an account that has a default VPC in every region.
func accountInUse(t *testing.T) digitaloceantest.Account {
	t.Helper()
	return newAccount(t, sandbox.Config{})
}

// newAccount is the account of a sandbox of its own, whose clusters are only numbers.
func newAccount(t *testing.T, config sandbox.Config) digitaloceantest.Account {
	t.Helper()
	config.DropletLimit, config.TimeScale = 20, cmp.Or(config.TimeScale, sandboxScale)
	at := sandboxtest.Start(t, config)
	return digitaloceantest.Open(t, at.Providers["digitalocean"], at.Control, at.Credentials("digitalocean"))
}
