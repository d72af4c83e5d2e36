//go:build clients

package clients

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
)

// clouds are those whose clients are run, one after the other: each has a real cluster while it is its turn.
var clouds = []struct {
	name string
	use  func(*testing.T, *sandboxed)
}{
	{"digitalocean", useDigitalOcean},
	{"aws", useAWS},
	{"gcp", useGCP},
	{"azure", useAzure},
}

// trial is one use of a client, and what came of it.
type trial struct{ cloud, client, what, outcome string }

// The outcomes.
const (
	ran      = "ran"
	failed   = "FAILED"
	notThere = "not there"
)

// TestStockClients fails if a client that is there does not understand the sandbox.
func TestStockClients(t *testing.T) {
	s := startSandbox(t)
	for _, cloud := range clouds {
		t.Run(cloud.name, func(t *testing.T) {
			s.enter(t, cloud.name)
			cloud.use(t, s)
		})
	}
	s.report()
}

// report prints the table.
func (s *sandboxed) report() {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\n%s\n", strings.Join([]string{"CLOUD", "CLIENT", "USED FOR", "OUTCOME"}, "\t"))
	for _, one := range s.trials {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", one.cloud, one.client, one.what, one.outcome)
	}
	_ = table.Flush() // standard output
}
