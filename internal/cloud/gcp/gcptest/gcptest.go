// Package gcptest has the project of a running sandbox's Google Cloud as a harness for the conformance suite. It knows the sandbox by
// its control routes alone, as anybody outside does.
//
// It is used by the adapter's own tests, and by the contract check, which has the same calls compared with the official
// description on their way. Only tests import it.
package gcptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	container "cloud.google.com/go/container/apiv1"
	"cloud.google.com/go/container/apiv1/containerpb"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/option"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/cloudtest/sandboxed"
	"github.com/m3o/platform/internal/cloud/gcp"
	"github.com/m3o/platform/internal/region"
)

// Account is a project with nothing in it.
type Account struct {
	URL     string // of all APIs
	Control string // of the sandbox's control routes
	Project string
	Tokens  oauth2.TokenSource
	// Transport carries the adapter's requests; nil for http.DefaultTransport.
	Transport http.RoundTripper
	// Egress are the worker's own addresses.
	Egress []string
}

const (
	limit    = 10 * time.Second
	location = "europe-west1"
)

// Open returns the account whose credentials are in a file, as a worker reads it.
func Open(t *testing.T, url, control, file string) Account {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var key struct {
		Project string `json:"project_id"`
	}
	config, err := google.JWTConfigFromJSON(data, gcp.Scope)
	if err := errors.Join(err, json.Unmarshal(data, &key)); err != nil {
		t.Fatal(err)
	}
	return Account{URL: url, Control: control, Project: key.Project, Tokens: config.TokenSource(context.Background())}
}

// Region is one that the account can hold.
var Region = region.Spec{Platform: "micro", Domain: "micro.mu", Name: "ew1", Provider: region.GCP, Location: location, CIDR: "10.20.0.0/16",
	Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 2, Size: "e2-standard-2"}}, Network: []region.Part{region.API}}

// Harness is the account as the suite wants it.
func (a Account) Harness(t *testing.T) cloudtest.Harness {
	t.Helper()
	stranger := a
	stranger.Tokens = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "another"})
	return cloudtest.Harness{
		Provider: a.Provider(t), Stranger: stranger.Provider(t), Region: Region,
		Kinds: []cloudtest.Kind{cloudtest.Network, cloudtest.Identity, cloudtest.Cluster}, Wired: a.wired,
		Break: a.breakOnce, Effects: a.effects, Foreign: a.foreign, Outlive: a.outlive, Upgrade: a.upgrade,
		Within: 30 * time.Second, Poll: 40 * time.Millisecond,
	}
}

// Provider is the adapter over the account.
func (a Account) Provider(t *testing.T) cloud.Provider {
	t.Helper()
	p, err := gcp.New(gcp.Config{Project: a.Project, Tokens: a.Tokens, URL: a.URL, Transport: a.Transport, Egress: a.Egress})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (a Account) wired(t *testing.T, w cloudtest.Wire) cloud.Provider {
	t.Helper()
	if a.Transport == nil {
		a.Transport = http.DefaultTransport
	}
	a.Transport = sandboxed.Wire{Judge: w, Next: a.Transport, Call: call, Refuse: refused}
	return a.Provider(t)
}

var anOperation = regexp.MustCompile(`/operation-[-0-9a-z]+`)

// call names a request: "GET /v1/projects/…/operations/{operation}".
func call(r *http.Request) string {
	return r.Method + " " + anOperation.ReplaceAllString(r.URL.Path, "/{operation}")
}

func refused(r *http.Request, passage cloudtest.Passage) *http.Response {
	switch {
	case passage == cloudtest.Expired:
		return refuse(r, http.StatusUnauthorized, "UNAUTHENTICATED", "authError", "Request had invalid authentication credentials.")
	case strings.HasPrefix(r.URL.Path, "/compute/"):
		return refuse(r, http.StatusForbidden, "", "rateLimitExceeded", "Rate Limit Exceeded")
	}
	return refuse(r, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded", "Quota exceeded for quota metric 'requests' and limit 'Requests per minute'.")
}

func refuse(r *http.Request, status int, name, reason, message string) *http.Response {
	body := fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q,"errors":[{"message":%q,"domain":"global","reason":%q}]}}`, status, message, name, message, reason)
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {"1"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

var operations = map[cloudtest.Call]string{
	cloudtest.ListNetworks:  "compute.networks.get",
	cloudtest.CreateNetwork: "compute.networks.insert",
	cloudtest.ListClusters:  "container.projects.locations.clusters.get",
	cloudtest.CreateCluster: "container.projects.locations.clusters.create",
	cloudtest.ScaleCluster:  "container.projects.locations.clusters.nodePools.create", // of the third zone
	cloudtest.DeleteCluster: "container.projects.locations.clusters.delete",
	cloudtest.GiveAccess:    "container.projects.locations.clusters.get",
	cloudtest.DescribeLimit: "compute.regions.get",
}

func (a Account) breakOnce(t *testing.T, b cloudtest.Breakage) {
	t.Helper()
	a.control().Break(t, operations, b)
}

// Fault has the operation misbehave once, after so many calls of it.
func (a Account) Fault(t *testing.T, operation, fault string, after int) {
	t.Helper()
	a.control().Fault(t, operation, fault, after)
}

func (a Account) control() sandboxed.Control {
	return sandboxed.Control{URL: a.Control, Provider: "gcp"}
}

// kinds are what the suite counts of the ledger. Names of node pools, and of what GKE makes by itself, are no project's own.
var kinds = map[string]cloudtest.Kind{"network": cloudtest.Network, "service_account": cloudtest.Identity, "cluster": cloudtest.Cluster,
	"subnetwork": "subnetwork", "router": "router", "address": "address", "iam_binding": "binding"}

func (a Account) effects(t *testing.T) []cloudtest.Effect {
	t.Helper()
	return a.control().Effects(t, func(line sandboxed.Line) (cloudtest.Kind, bool) {
		kind, counts := kinds[line.Resource]
		return kind, counts
	})
}

// foreign makes something with the SDKs, as another user of the project would.
func (a Account) foreign(t *testing.T, kind cloudtest.Kind, name string) {
	t.Helper()
	var err error
	switch kind {
	case cloudtest.Network:
		_, err = a.Compute(t).Networks.Insert(a.Project, &compute.Network{Name: name, Description: "somebody's", ForceSendFields: []string{"AutoCreateSubnetworks"}}).
			Context(t.Context()).Do()
	case cloudtest.Identity:
		err = a.foreignAccount(t, name)
	case cloudtest.Cluster:
		_, err = a.Containers(t).CreateCluster(t.Context(), &containerpb.CreateClusterRequest{Parent: "projects/" + a.Project + "/locations/" + location,
			Cluster: &containerpb.Cluster{Name: name, NodePools: []*containerpb.NodePool{{Name: "default-pool", InitialNodeCount: 1}}}})
	default:
		err = fmt.Errorf("nobody makes a %s", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// foreignAccount returns when those who read see it.
func (a Account) foreignAccount(t *testing.T, name string) error {
	service, err := iam.NewService(t.Context(), a.options("/")...)
	if err != nil {
		return err
	}
	accounts := service.Projects.ServiceAccounts
	made, err := accounts.Create("projects/"+a.Project, &iam.CreateServiceAccountRequest{AccountId: name}).Context(t.Context()).Do()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err = accounts.Get(made.Name).Context(t.Context()).Do(); err == nil {
			return nil
		}
	}
	return err
}

// outlive makes a disk with the labels that the CSI driver gives to all of a cluster's. The sandbox knows its clusters' own by other
// means, so this one stays.
func (a Account) outlive(t *testing.T, c region.Cluster) string {
	t.Helper()
	const name, zone = "pvc-outlives", location + "-b"
	_, err := a.Compute(t).Disks.Insert(a.Project, zone, &compute.Disk{Name: name, SizeGb: 10,
		Labels: map[string]string{"goog-k8s-cluster-name": c.Name, "goog-k8s-cluster-location": location}}).Context(t.Context()).Do()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		made, err := a.Compute(t).Disks.Get(a.Project, zone, name).Context(t.Context()).Do()
		if err == nil {
			return fmt.Sprint(made.Id)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// upgrade has the cluster upgraded to the next minor version of its channel, as its maintenance does.
func (a Account) upgrade(t *testing.T, c region.Cluster) string {
	t.Helper()
	clusters, parent := a.Containers(t), "projects/"+a.Project+"/locations/"+location
	config, err := clusters.GetServerConfig(t.Context(), &containerpb.GetServerConfigRequest{Name: parent})
	if err != nil {
		t.Fatal(err)
	}
	for _, offered := range config.GetChannels() {
		versions := slices.DeleteFunc(offered.GetValidVersions(), func(v string) bool { return region.Minor(v) <= region.Minor(c.Version) })
		if offered.GetChannel() != containerpb.ReleaseChannel_REGULAR || len(versions) == 0 {
			continue
		}
		to := versions[len(versions)-1] // the newest comes first
		_, err := clusters.UpdateCluster(t.Context(), &containerpb.UpdateClusterRequest{Name: parent + "/clusters/" + c.Name,
			Update: &containerpb.ClusterUpdate{DesiredMasterVersion: to}})
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	t.Fatalf("there is no version to upgrade %s to", c.Version)
	return ""
}

func (a Account) options(path string) []option.ClientOption {
	return []option.ClientOption{option.WithTokenSource(a.Tokens), option.WithEndpoint(a.URL + path)}
}

// Compute is the official client of Compute Engine, as another user of the project has it.
func (a Account) Compute(t *testing.T) *compute.Service {
	t.Helper()
	service, err := compute.NewService(t.Context(), a.options("/compute/v1/")...)
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// Containers is the official client of GKE.
func (a Account) Containers(t *testing.T) *container.ClusterManagerClient {
	t.Helper()
	client, err := container.NewClusterManagerRESTClient(t.Context(), a.options("")...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Request is one that the sandbox served.
type Request struct {
	Operation string // the id of its method in the discovery documents
	Status    int
}

// Requests are the last ones that the sandbox served, a thousand at most.
func (a Account) Requests(t *testing.T) []Request {
	t.Helper()
	var answer struct{ Requests []Request }
	if err := json.Unmarshal(a.control().Ask(t, http.MethodGet, "/_sandbox/requests?n=1000", nil), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Requests
}
