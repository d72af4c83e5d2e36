// Package awstest has an account of a running sandbox's AWS as a harness for the conformance suite. It knows the sandbox by its
// control routes alone, as anybody outside does.
//
// It is used by the adapter's own tests, and by the contract check, which has the same calls compared with the official description
// on their way. Only tests import it.
package awstest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/aws"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/cloudtest/sandboxed"
	"github.com/m3o/platform/internal/region"
)

// Account is an empty account.
type Account struct {
	URL         string // of the API
	Control     string // of the sandbox's control routes
	Credentials string // a shared credentials file
	// Transport carries the adapter's requests; nil for http.DefaultTransport.
	Transport http.RoundTripper
	// Hour is how long an hour takes there.
	Hour time.Duration
	// Egress are the ranges that the workers are seen by.
	Egress []string
}

const limit = 10 * time.Second

// Location is where the harness's region is.
const Location = "us-east-1"

// Region is one that the account can hold.
func Region() region.Spec {
	return region.Spec{Platform: "micro", Domain: "micro.mu", Name: "use1", Provider: region.AWS, Location: Location,
		Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 2, Size: "t3.large"}}, Network: []region.Part{region.API}}
}

// Harness is the account as the suite wants it.
func (a Account) Harness(t *testing.T) cloudtest.Harness {
	t.Helper()
	stranger := a
	stranger.Credentials = filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"
	if err := os.WriteFile(stranger.Credentials, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return cloudtest.Harness{Provider: a.Provider(t), Stranger: stranger.Provider(t), Region: Region(),
		Kinds: []cloudtest.Kind{cloudtest.Network, cloudtest.Identity, cloudtest.Cluster}, Wired: a.wired,
		Break: a.breakOnce, Effects: a.effects, Foreign: a.foreign, Outlive: a.outlive, Upgrade: a.upgrade,
		Within: 60 * time.Second, Poll: 100 * time.Millisecond,
	}
}

// lease is more than a step lasts here.
const lease = time.Second

// Provider is the adapter on the account.
func (a Account) Provider(t *testing.T) cloud.Provider {
	t.Helper()
	held, err := aws.FromFile(a.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	p, err := aws.New(aws.Config{Credentials: held, URL: a.URL, Transport: a.Transport, Egress: a.Egress, Hour: a.Hour, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// operations are what the suite breaks, by their official names.
var operations = map[cloudtest.Call]string{
	cloudtest.ListNetworks:  "DescribeVpcs",
	cloudtest.CreateNetwork: "CreateVpc",
	cloudtest.ListClusters:  "DescribeCluster",
	cloudtest.CreateCluster: "CreateCluster",
	cloudtest.ScaleCluster:  "UpdateNodegroupConfig",
	cloudtest.DeleteCluster: "DeleteNodegroup",
	cloudtest.GiveAccess:    "DescribeCluster",
	cloudtest.DescribeLimit: "GetServiceQuota",
}

// breakOnce has the next step reach the call that it breaks: a step that was not told what came of a request leaves its lease, which others
// wait for.
func (a Account) breakOnce(t *testing.T, b cloudtest.Breakage) {
	t.Helper()
	if b.Call == cloudtest.CreateNetwork {
		a.dropLeases(t)
	}
	a.control().Break(t, operations, b)
}

// Fault has the operation misbehave once, after so many calls of it.
func (a Account) Fault(t *testing.T, operation, fault string, after int) {
	t.Helper()
	a.control().Fault(t, operation, fault, after)
}

func (a Account) control() sandboxed.Control {
	return sandboxed.Control{URL: a.Control, Provider: "aws"}
}

// kinds are the sandbox's words for what the suite counts. What it does not count comes and goes by itself: instances and their
// interfaces, security groups, what is under way.
var kinds = map[string]cloudtest.Kind{"vpc": cloudtest.Network, "role": cloudtest.Identity, "cluster": cloudtest.Cluster, "subnet": "subnet",
	"internet-gateway": "internet gateway", "elastic-ip": "address", "natgateway": "NAT gateway", "route-table": "route table",
	"launch-template": "launch template", "nodegroup": "node group", "addon": "add-on", "access-entry": "access entry"}

// leaseSuffix ends the names of leases: those come and go as steps do.
const leaseSuffix = "-lease"

func (a Account) effects(t *testing.T) []cloudtest.Effect {
	t.Helper()
	return a.control().Effects(t, func(line sandboxed.Line) (cloudtest.Kind, bool) {
		kind, counts := kinds[line.Resource]
		return kind, counts && !strings.HasSuffix(line.Name, leaseSuffix)
	})
}
