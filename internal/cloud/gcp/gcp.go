// Package gcp is a Google Cloud project as a cloud.Provider: custom-mode VPC networks with Cloud NAT, service accounts for nodes,
// and regional GKE clusters.
//
// # What a region consists of
//
//	network     a VPC network, a subnetwork with ranges for pods and services, a static address, a Cloud Router with a NAT that uses it
//	identity    a service account for nodes, bound to roles/container.defaultNodeServiceAccount in the project's policy
//	cluster     a GKE cluster with private nodes and one node pool in each of up to three zones
//	trust       nothing: Workload Identity belongs to the cluster and goes with it
//
// Networks, subnetworks, routers and service accounts take no labels, and addresses none when they are made, so their descriptions begin
// with the owner's mark; clusters, node pools and nodes carry the owner's tags as labels. Names are unique in a project (those of regional things in
// their region), which makes them the key that lost answers are found again by.
//
// # Operations
//
// Compute Engine and GKE answer a change with an operation and carry it out later. An operation's name is the hint that a step
// returns: only there GCP says why something failed that then vanished. Without the hint a step asks for what the project works at.
//
// The package makes nothing inside a cluster and never waits. Only the wiring of workers imports it; everything else sees package
// cloud.
package gcp

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	container "cloud.google.com/go/container/apiv1"
	"golang.org/x/oauth2"
	"google.golang.org/api/cloudresourcemanager/v1"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/option"
	"google.golang.org/api/serviceusage/v1"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/outbound"
	"github.com/m3o/platform/internal/fault"
)

// Limits of one call, and of a list: more pages than that is no list that we made.
const (
	callTimeout = time.Minute
	pageSize    = 500
	maxPages    = 20
)

// Config says which project, and how to reach it.
type Config struct {
	Project string             // its id ("acme-prod"), not its number
	Tokens  oauth2.TokenSource // OAuth access tokens of the worker's identity, with the scope Scope, renewed TokenMargin before they end
	URL     string             // of all services at once, as the sandbox has them; empty for the real ones
	// Transport carries the requests, within Limits and with telemetry where they are wanted; nil for http.DefaultTransport.
	Transport http.RoundTripper
	// Egress are the ranges that this process and its like reach API servers from, as CIDRs. Regions with access_cidrs let them in.
	Egress []string
}

// Scope is the OAuth scope that the tokens need: for the APIs below, and for the API servers of clusters.
const Scope = compute.CloudPlatformScope

// Provider is one GCP project.
type Provider struct {
	project    string
	egress     []string
	tokens     oauth2.TokenSource
	compute    *compute.Service
	containers *container.ClusterManagerClient
	iam        *iam.Service
	projects   *cloudresourcemanager.Service
	services   *serviceusage.Service
}

var _ cloud.Provider = (*Provider)(nil)

var projectID = regexp.MustCompile(`^([a-z][-a-z0-9.]{0,61}[a-z0-9]:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$`)

// New returns the project of the config. It calls nobody.
func New(c Config) (*Provider, error) {
	switch {
	case !projectID.MatchString(c.Project):
		return nil, fault.New(fault.Invalid, "%q is not the id of a GCP project: 6 to 30 lower-case letters, digits and hyphens, as `gcloud projects list` shows it", c.Project)
	case c.Tokens == nil:
		return nil, fault.New(fault.Invalid, "the GCP project %s has no credentials", c.Project)
	}
	base, err := outbound.Base(c.URL)
	if err != nil {
		return nil, err
	}
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	// The clients do not repeat calls by themselves: who asks knows how long it is worth it.
	client := outbound.Client(callTimeout, authorized{tokens: c.Tokens, next: transport})
	p := &Provider{project: c.Project, egress: c.Egress, tokens: oauth2.ReuseTokenSourceWithExpiry(nil, c.Tokens, TokenMargin)}
	if err := p.dial(client, base); err != nil {
		return nil, fmt.Errorf("make the GCP clients: %w", err)
	}
	return p, nil
}

// dial makes the clients of the services, which connect when they are used.
func (p *Provider) dial(client *http.Client, base string) error {
	ctx := context.Background() // neither client is bound to a request
	at := func(path string) []option.ClientOption {
		options := []option.ClientOption{option.WithHTTPClient(client), option.WithUserAgent("m3o")}
		if base != "" {
			options = append(options, option.WithEndpoint(base+path))
		}
		return options
	}
	var err error
	if p.compute, err = compute.NewService(ctx, at("/compute/v1/")...); err != nil {
		return err
	}
	if p.iam, err = iam.NewService(ctx, at("/")...); err != nil {
		return err
	}
	if p.projects, err = cloudresourcemanager.NewService(ctx, at("/")...); err != nil {
		return err
	}
	if p.services, err = serviceusage.NewService(ctx, at("/")...); err != nil {
		return err
	}
	if p.containers, err = container.NewClusterManagerRESTClient(ctx, at("")...); err != nil {
		return err
	}
	*p.containers.CallOptions = container.ClusterManagerCallOptions{} // neither retries nor timeouts of its own
	return nil
}

// authorized adds a token to every request.
type authorized struct {
	tokens oauth2.TokenSource
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.tokens.Token()
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes it, whatever happens
		}
		return nil, err
	}
	r = r.Clone(r.Context()) // a RoundTripper must leave its request as it is
	token.SetAuthHeader(r)
	return a.next.RoundTrip(r)
}

// every reads a list to its end. page returns the items of one page and the token of the next, "" after the last.
func every[T any](page func(token string) ([]T, string, error)) ([]T, error) {
	var all []T
	token := ""
	for range maxPages {
		some, next, err := page(token)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if next == "" {
			return all, nil
		}
		token = next
	}
	return nil, fault.New(fault.Failed, "the GCP project lists more than %d pages: that is more than this version can look through", maxPages)
}
