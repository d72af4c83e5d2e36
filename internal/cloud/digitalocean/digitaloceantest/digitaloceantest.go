// Package digitaloceantest has an account of a running sandbox's DigitalOcean as a harness for the conformance suite. It knows the
// sandbox by its control routes alone, as anybody outside does.
//
// It is used by the adapter's own tests, and by the contract check, which has the same calls compared with the official
// description on their way. Only tests import it.
package digitaloceantest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/cloudtest/sandboxed"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/region"
)

// Account is an empty account.
type Account struct {
	URL     string // of the API
	Control string // of the sandbox's control routes
	Token   string
	// Transport carries the adapter's requests; nil for http.DefaultTransport.
	Transport http.RoundTripper
}

// Open is the account of a running sandbox: the URLs of its API and of the control routes, and the file with the token.
func Open(t *testing.T, url, control, tokenFile string) Account {
	t.Helper()
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	return Account{URL: url, Control: control, Token: strings.TrimSpace(string(token))}
}

const limit = 10 * time.Second

// Harness is the account as the suite wants it.
func (a Account) Harness(t *testing.T) cloudtest.Harness {
	t.Helper()
	return cloudtest.Harness{
		Provider: a.provider(t, a.Token), Stranger: a.provider(t, "another"),
		Region: region.Spec{Platform: "micro", Domain: "micro.mu", Name: "lon1", Provider: region.DigitalOcean, Location: "lon1",
			Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 2, Size: "s-2vcpu-4gb"}}, Network: []region.Part{region.API}},
		Kinds: []cloudtest.Kind{cloudtest.Network, cloudtest.Cluster}, Wired: a.wired,
		Break: a.breakOnce, Effects: a.effects, Foreign: a.foreign, Outlive: a.outlive, Upgrade: a.upgrade,
		Within: 20 * time.Second, Poll: 100 * time.Millisecond,
	}
}

func (a Account) wired(t *testing.T, w cloudtest.Wire) cloud.Provider {
	t.Helper()
	if a.Transport == nil {
		a.Transport = http.DefaultTransport
	}
	a.Transport = sandboxed.Wire{Judge: w, Next: a.Transport, Call: call, Refuse: refuse}
	return a.provider(t, a.Token)
}

var anID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// call names a request: "GET /v2/vpcs/{id}".
func call(r *http.Request) string {
	return r.Method + " " + anID.ReplaceAllString(r.URL.Path, "{id}")
}

func refuse(r *http.Request, passage cloudtest.Passage) *http.Response {
	status, id, message, after := http.StatusTooManyRequests, "too_many_requests", "API Rate limit exceeded.", "1"
	if passage == cloudtest.Expired {
		status, id, message, after = http.StatusUnauthorized, "unauthorized", "Unable to authenticate you", "0"
	}
	body := fmt.Sprintf(`{"id":%q,"message":%q,"request_id":"wire"}`, id, message)
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {after}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

func (a Account) provider(t *testing.T, token string) cloud.Provider {
	t.Helper()
	p, err := digitalocean.New(digitalocean.Config{Token: token, BaseURL: a.URL, Transport: a.Transport})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var operations = map[cloudtest.Call]string{
	cloudtest.ListNetworks:  "vpcs_list",
	cloudtest.CreateNetwork: "vpcs_create",
	cloudtest.ListClusters:  "kubernetes_list_clusters",
	cloudtest.CreateCluster: "kubernetes_create_cluster",
	cloudtest.ScaleCluster:  "kubernetes_update_nodePool",
	cloudtest.DeleteCluster: "kubernetes_destroy_associatedResourcesDangerous",
	cloudtest.GiveAccess:    "kubernetes_get_kubeconfig",
	cloudtest.DescribeLimit: "account_get",
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
	return sandboxed.Control{URL: a.Control, Provider: "digitalocean"}
}

var kinds = map[string]cloudtest.Kind{"vpc": cloudtest.Network, "kubernetes_cluster": cloudtest.Cluster}

func (a Account) effects(t *testing.T) []cloudtest.Effect {
	t.Helper()
	return a.control().Effects(t, func(line sandboxed.Line) (cloudtest.Kind, bool) {
		kind, counts := kinds[line.Resource]
		return kind, counts
	})
}

// foreign makes something with the SDK, as another user of the account would.
func (a Account) foreign(t *testing.T, kind cloudtest.Kind, name string) {
	t.Helper()
	client := a.SDK(t)
	var err error
	switch kind {
	case cloudtest.Network:
		_, _, err = client.VPCs.Create(t.Context(), &godo.VPCCreateRequest{Name: name, RegionSlug: "lon1", Description: "somebody's"})
	case cloudtest.Cluster:
		_, _, err = client.Kubernetes.Create(t.Context(), &godo.KubernetesClusterCreateRequest{Name: name, RegionSlug: "lon1", VersionSlug: "1.34.1-do.0",
			NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "pool", Size: "s-2vcpu-4gb", Count: 1}}})
	default:
		err = fmt.Errorf("nobody makes a %s", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// outlive makes a volume with the tag that all volumes of the cluster have. The sandbox knows its clusters' own by other means,
// so this one stays.
func (a Account) outlive(t *testing.T, c region.Cluster) string {
	t.Helper()
	made, _, err := a.SDK(t).Storage.CreateVolume(t.Context(), &godo.VolumeCreateRequest{Region: "lon1", Name: "pvc-outlives", SizeGigaBytes: 5,
		Tags: []string{"k8s", "k8s:" + c.ID}})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// upgrade has the cluster upgraded to the next minor version, as DigitalOcean's maintenance does.
func (a Account) upgrade(t *testing.T, c region.Cluster) string {
	t.Helper()
	kubernetes := a.SDK(t).Kubernetes
	offered, _, err := kubernetes.GetUpgrades(t.Context(), c.ID)
	if err != nil || len(offered) == 0 {
		t.Fatalf("there is no version to upgrade %s to: %v", c.Version, err)
	}
	if _, err := kubernetes.Upgrade(t.Context(), c.ID, &godo.KubernetesClusterUpgradeRequest{VersionSlug: offered[0].Slug}); err != nil {
		t.Fatal(err)
	}
	return offered[0].Slug
}

// SDK is the official client, as another user of the account has it.
func (a Account) SDK(t *testing.T) *godo.Client {
	t.Helper()
	client, err := godo.New(&http.Client{Transport: bearer(a.Token), Timeout: limit}, godo.SetBaseURL(a.URL))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

type bearer string

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}
