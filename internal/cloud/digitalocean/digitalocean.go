// Package digitalocean is a DigitalOcean account as a cloud.Provider: VPCs, DOKS clusters with one node pool, and what is
// known of limits, sizes and prices.
//
// A VPC has no tags, so its description begins with the owner's mark; clusters and node pools carry it as a tag, which
// DigitalOcean hands on to droplets. Names are unique in an account, which makes them the key that lost answers are found again by. The package
// makes nothing inside a cluster and never waits. Only the wiring of workers imports it; everything else sees package cloud.
package digitalocean

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/outbound"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/rate"
)

// Limits of one call, and of a list: more pages than that is no list that we made.
const (
	callTimeout = time.Minute
	pageSize    = 200
	maxPages    = 50
)

// Config says which account, and how to reach it.
type Config struct {
	Token     string
	BaseURL   string            // empty for the real one
	Transport http.RoundTripper // carries the requests, within Limits and with telemetry where they are wanted; nil for http.DefaultTransport
	Egress    []string          // the ranges that this worker is seen by outside ("203.0.113.7/32"), for API servers that let in only some
	Serve     time.Duration     // how long the answer to one request for a list serves everyone who polls; 0: each asks for himself
}

// Limits are what the API allows a token: so many requests in a period, 5,000 an hour unless DigitalOcean agreed to more, and a
// twentieth of them in a sixtieth of it.
func Limits(requests int, period time.Duration) []rate.Limit {
	return []rate.Limit{
		{Name: fmt.Sprintf("%d requests in %s", requests, period), Requests: requests, Per: period},
		{Name: fmt.Sprintf("%d requests in %s", requests/20, period/60), Requests: requests / 20, Per: period / 60},
	}
}

// What a token may do unless DigitalOcean agreed to more.
const (
	Requests = 5000
	Period   = time.Hour
)

// Provider is one DigitalOcean account.
type Provider struct {
	api    *godo.Client
	egress []string
	lists  lists
}

// lists are what polls read, shared by all of them.
type lists struct {
	vpcs          shared[*godo.VPC]
	clusters      shared[cluster]
	loadBalancers shared[godo.LoadBalancer]
	volumes       shared[godo.Volume]
}

func (l *lists) forget() {
	l.vpcs.forget()
	l.clusters.forget()
	l.loadBalancers.forget()
	l.volumes.forget()
}

var _ cloud.Provider = (*Provider)(nil)

// New returns the account of the token. It calls nobody.
func New(c Config) (*Provider, error) {
	if c.Token == "" {
		return nil, fault.New(fault.Invalid, "the DigitalOcean account has no token")
	}
	options := []godo.ClientOpt{godo.SetUserAgent("m3o")}
	base, err := outbound.Base(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if base != "" {
		options = append(options, godo.SetBaseURL(c.BaseURL))
	}
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	p := &Provider{egress: c.Egress}
	p.lists.vpcs.serve, p.lists.clusters.serve, p.lists.loadBalancers.serve, p.lists.volumes.serve = c.Serve, c.Serve, c.Serve, c.Serve
	// The client does not repeat calls by itself: who asks knows how long it is worth it.
	api, err := godo.New(outbound.Client(callTimeout, authorized{token: c.Token, next: transport, changed: p.lists.forget}), options...)
	if err != nil {
		return nil, fmt.Errorf("make a DigitalOcean client: %w", err)
	}
	p.api = api
	return p, nil
}

// authorized adds the token to every request. After every request that may have changed something,
// whatever came of it, it calls changed.
type authorized struct {
	token   string
	next    http.RoundTripper
	changed func()
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper must leave its request as it is
	r.Header.Set("Authorization", "Bearer "+a.token)
	response, err := a.next.RoundTrip(r)
	if r.Method != http.MethodGet {
		a.changed()
	}
	return response, err
}

// every reads a list to its end.
func every[T any](ctx context.Context, page func(context.Context, *godo.ListOptions) ([]T, *godo.Response, error)) ([]T, error) {
	var all []T
	for n := 1; n <= maxPages; n++ {
		some, response, err := page(ctx, &godo.ListOptions{Page: n, PerPage: pageSize})
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if response.Links == nil || response.Links.IsLastPage() || len(some) == 0 {
			return all, nil
		}
	}
	return nil, fault.New(fault.Failed, "the DigitalOcean account lists more than %d entries: that is more than this version can look through", pageSize*maxPages)
}
