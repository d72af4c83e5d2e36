package aws_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud/aws/awstest"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// sandboxScale makes a cluster's ten minutes one second.
const sandboxScale = 0.002

func TestAWSIsAProvider(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloudtest.Harness { return newAccount(t, sandbox.Config{}).Harness(t) })
}

// newAccount is the account of a sandbox of its own, whose clusters are only numbers unless the config says what else.
func newAccount(t *testing.T, config sandbox.Config) awstest.Account {
	t.Helper()
	config.TimeScale = cmp.Or(config.TimeScale, sandboxScale)
	at := sandboxtest.Start(t, config)
	return awstest.Account{URL: at.Providers["aws"], Control: at.Control, Credentials: at.Credentials("aws"), Hour: time.Duration(at.Scale * float64(time.Hour))}
}
