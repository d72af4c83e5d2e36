package gcp_test

import (
	"testing"

	"github.com/m3o/platform/internal/cloud/gcp/gcptest"
	"github.com/m3o/platform/internal/sandbox"
)

// What GCP accepted may fail later, and leave nothing but the operation. Whoever waits is told, and the next attempt succeeds; of the
// hints that tell it none is needed for that.
func TestEveryOperationMayFailLate(t *testing.T) {
	for _, operation := range []string{"compute.networks.insert", "compute.addresses.insert", "compute.subnetworks.insert", "compute.routers.insert",
		"container.projects.locations.clusters.create"} {
		for _, hinted := range []bool{true, false} {
			name := operation + ", with its hint"
			if !hinted {
				name = operation + ", without hints"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				account := newAccount(t, sandbox.Config{})
				o := &operated{Account: account, t: t, provider: account.Provider(t), spec: gcptest.Region}
				account.Fault(t, operation, "late", 0)
				o.bears, o.forgets = true, !hinted
				o.makeNetwork()
				o.makeIdentity()
				if o.begins() {
					o.makeCluster()
				}
				o.remove()
				if told := o.told; hinted && len(told) == 0 {
					t.Error("nobody was told")
				}
			})
		}
	}
}

// begins asks for the cluster until it is seen to become one, or broken.
func (o *operated) begins() (well bool) {
	o.t.Helper()
	o.until("begin the cluster", func(hint string) (bool, string, string, error) {
		c, err := o.provider.EnsureCluster(o.t.Context(), o.clusterSpec(), hint)
		if err == nil {
			o.cluster = c
		}
		if c.Broken {
			o.told = append(o.told, c.Reason)
		}
		well = c.Ready
		return c.Broken || c.Ready, c.Operation, c.State, err
	})
	return well
}

// A region that cannot grow says why, and goes like any other.
func TestAPoolMayFailLate(t *testing.T) {
	account := newAccount(t, sandbox.Config{})
	o := &operated{Account: account, t: t, provider: account.Provider(t), spec: gcptest.Region}
	o.build()
	account.Fault(t, "container.projects.locations.clusters.nodePools.create", "late", 0)
	o.spec.Kubernetes.Nodes.Count++
	if o.begins() || len(o.told) != 1 || o.told[0] == "" {
		t.Errorf("it grew, or nothing says why not: %q; %+v", o.told, o.cluster)
	}
	o.remove()
}
