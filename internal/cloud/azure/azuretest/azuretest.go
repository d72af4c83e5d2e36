// Package azuretest has a subscription of a running sandbox's Azure as a harness for the conformance suite. It knows the sandbox by its
// control routes alone, as anybody outside does.
//
// It is used by the adapter's own tests, and by the contract check, which has the same calls compared with the official
// description on their way. Only tests import it.
package azuretest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/azure"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/cloudtest/sandboxed"
	"github.com/m3o/platform/internal/region"
)

// Account is an empty subscription.
type Account struct {
	URL       string       // of the Resource Manager and of the authority
	Control   string       // of the sandbox's control routes
	Secret    azure.Secret // that it takes
	Authority []byte       // the certificate that signed the URL's, as PEM
	Egress    []string     // of the adapter's workers
	Scale     float64      // what the sandbox's times are multiplied by
	// Transport carries the adapter's requests over the one that trusts the authority; nil for that one.
	Transport func(http.RoundTripper) http.RoundTripper
}

// Open is the subscription of a running sandbox: the URLs of its API and of the control routes, the files with the credentials and with the
// authority's certificate, and what the sandbox's times are multiplied by.
func Open(t *testing.T, url, control, credentials, authority string, scale float64) Account {
	t.Helper()
	data, err := os.ReadFile(credentials)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := azure.ParseSecret(data)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	return Account{URL: url, Control: control, Secret: secret, Authority: signer, Scale: scale}
}

// Location is where the harness's region is.
const Location = "southeastasia"

// Harness is the subscription as the suite wants it.
func (a Account) Harness(t *testing.T) cloudtest.Harness {
	t.Helper()
	stranger := a
	stranger.Secret.Secret = "another"
	return cloudtest.Harness{
		Provider: a.Provider(t), Stranger: stranger.Provider(t),
		Region: region.Spec{Platform: "micro", Domain: "micro.mu", Name: "asia", Provider: region.Azure, Location: Location,
			Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 2, Size: "Standard_D2s_v5"}}, Network: []region.Part{region.API}},
		Kinds: []cloudtest.Kind{cloudtest.Network, cloudtest.Identity, cloudtest.Cluster}, Wired: a.wired,
		Break: a.breakOnce, Effects: a.effects, Foreign: a.foreign, Outlive: a.outlive, Upgrade: a.upgrade,
		Within: 40 * time.Second, Poll: 100 * time.Millisecond,
	}
}

// Trusted is a transport that trusts the sandbox's authority and no other.
func (a Account) Trusted(t *testing.T) http.RoundTripper {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.Authority) {
		t.Fatal("the sandbox's authority is no certificate")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// Provider is the adapter.
func (a Account) Provider(t *testing.T) *azure.Provider {
	t.Helper()
	transport := a.Trusted(t)
	if a.Transport != nil {
		transport = a.Transport(transport)
	}
	at := azure.Endpoint{URL: a.URL}
	credential, err := a.Secret.Credential(at, transport)
	if err != nil {
		t.Fatal(err)
	}
	p, err := azure.New(azure.Config{Subscription: a.Secret.Subscription, Credential: credential, Endpoint: at, Transport: transport, Egress: a.Egress,
		Settle: time.Duration(a.Scale * float64(azure.Settle))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (a Account) wired(t *testing.T, w cloudtest.Wire) cloud.Provider {
	t.Helper()
	before := a.Transport
	a.Transport = func(next http.RoundTripper) http.RoundTripper {
		if before != nil {
			next = before(next)
		}
		return sandboxed.Wire{Judge: w, Next: next, Call: call, Refuse: refused} // requests for tokens too
	}
	return a.Provider(t)
}

var anID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// call names a request: "GET /subscriptions/{id}/resourcegroups/…".
func call(r *http.Request) string {
	return r.Method + " " + anID.ReplaceAllString(strings.ToLower(r.URL.Path), "{id}")
}

func refused(r *http.Request, passage cloudtest.Passage) *http.Response {
	if passage == cloudtest.Expired {
		return refuse(r, http.StatusUnauthorized, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
	}
	return refuse(r, http.StatusTooManyRequests, "SubscriptionRequestsThrottled", "Number of requests for subscription exceeded the limit.")
}

// refuse answers as the Resource Manager does, or the authority.
func refuse(r *http.Request, status int, code, message string) *http.Response {
	body := fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)
	if !strings.HasPrefix(r.URL.Path, "/subscriptions/") {
		body = fmt.Sprintf(`{"error":"invalid_client","error_description":"AADSTS7000222: %s"}`, message)
	}
	return &http.Response{Status: http.StatusText(status), StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {"1"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r, ContentLength: int64(len(body))}
}

var operations = map[cloudtest.Call]string{
	cloudtest.ListNetworks:  "ResourceGroups_Get",
	cloudtest.CreateNetwork: "ResourceGroups_CreateOrUpdate",
	cloudtest.ListClusters:  "ManagedClusters_Get",
	cloudtest.CreateCluster: "ManagedClusters_CreateOrUpdate",
	cloudtest.ScaleCluster:  "AgentPools_CreateOrUpdate",
	cloudtest.DeleteCluster: "ManagedClusters_Delete",
	cloudtest.GiveAccess:    "ManagedClusters_ListClusterUserCredentials",
	cloudtest.DescribeLimit: "Usage_List",
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
	return sandboxed.Control{URL: a.Control, Provider: "azure"}
}

// kinds are the suite's words for Azure's types. The others count by their own; what AKS makes by itself does not count.
var kinds = map[string]cloudtest.Kind{
	"Microsoft.Resources/resourceGroups": cloudtest.Network, "Microsoft.ManagedIdentity/userAssignedIdentities": cloudtest.Identity,
	"Microsoft.ContainerService/managedClusters": cloudtest.Cluster, "Microsoft.Network/virtualNetworks": "virtual network",
	"Microsoft.Network/natGateways": "NAT gateway", "Microsoft.Network/publicIPAddresses": "address", "Microsoft.Authorization/roleAssignments": "role assignment",
}

func (a Account) effects(t *testing.T) []cloudtest.Effect {
	t.Helper()
	return a.control().Effects(t, func(line sandboxed.Line) (cloudtest.Kind, bool) {
		kind, counts := kinds[line.Resource]
		if kind == cloudtest.Network && strings.HasPrefix(line.Name, "nodes-") { // AKS makes it, and removes it
			kind = "node group"
		}
		return kind, counts
	})
}
