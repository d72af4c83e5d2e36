// Package aws is an AWS account as a cloud.Provider: a VPC over two or three zones, roles, an EKS cluster with its add-ons and one
// managed node group, and what is known of quotas, sizes and prices.
//
// Everything that takes tags carries the owner's. Roles, clusters, node groups and launch templates are found by their names, which
// are unique in an account or a location; what EC2 names by ids alone is found by the tags. Where AWS has idempotency tokens they are
// a hash of the request; what EC2 makes twice when asked twice (VPC, internet gateway, address) is made under a lease. The package
// makes nothing inside a cluster, never waits, and switches no control-plane logging on, so that no log group is left behind. Only
// the wiring of workers imports it; everything else sees package cloud.
package aws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/outbound"
	"github.com/m3o/platform/internal/fault"
)

// Limits of one call, and of a list: more pages than that is no list that we made.
const (
	callTimeout = 40 * time.Second
	maxPages    = 50
)

// Config says which account, and how to reach it.
type Config struct {
	Credentials aws.CredentialsProvider // of the worker: its role's, or a user's
	URL         string                  // of all services; empty for the real ones
	Transport   http.RoundTripper       // carries the requests, within Limits and with telemetry where they are wanted; nil for http.DefaultTransport
	Egress      []string                // ranges that the workers are seen by outside; none: not known
	Hour        time.Duration           // how long what takes AWS an hour takes there: less in a sandbox; 0 is an hour
	Lease       time.Duration           // how long a step may hold the lease on a region's network before others take it for dead; 0 is a minute of that Hour
}

// A lease is longer than a step lasts, also where time is compressed: steps are not. Roles are new for as long as EKS usually takes to hear
// of them.
const (
	leaseLasts    = time.Minute
	shortestLease = 5 * time.Second
	roleIsNew     = 10 * time.Second
)

// Provider is one AWS account.
type Provider struct {
	config aws.Config
	egress []string
	lease  leases
	settle time.Duration // how old roles are before EKS is asked to take them

	mu     sync.Mutex
	places map[string]*place
}

var _ cloud.Provider = (*Provider)(nil)

// New returns the account of the credentials. It calls nobody.
func New(c Config) (*Provider, error) {
	if c.Credentials == nil {
		return nil, fault.New(fault.Invalid, "the AWS account has no credentials")
	}
	config := aws.Config{Credentials: held{c.Credentials}, AppID: "m3o",
		Retryer: func() aws.Retryer { return aws.NopRetryer{} }} // who asks knows how long it is worth it
	base, err := outbound.Base(c.URL)
	if err != nil {
		return nil, err
	}
	if base != "" {
		config.BaseEndpoint = aws.String(base)
	}
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	config.HTTPClient = outbound.Client(callTimeout, whole{transport})
	scale := 1.0
	if c.Hour > 0 {
		scale = c.Hour.Hours()
	}
	if c.Lease <= 0 {
		c.Lease = max(shortestLease, time.Duration(scale*float64(leaseLasts)))
	}
	return &Provider{config: config, egress: c.Egress, lease: leases{lasts: c.Lease, seen: map[string]time.Time{}},
		settle: time.Duration(scale * float64(roleIsNew)), places: map[string]*place{}}, nil
}

// place is a location of the account: one client a service. IAM is the same everywhere in a partition.
type place struct {
	location string
	ec2      *ec2.Client
	eks      *eks.Client
	elb      *elasticloadbalancingv2.Client
	iam      *iam.Client
	sts      *sts.Client
	quotas   *servicequotas.Client
}

// in returns the clients of a location, made once.
func (p *Provider) in(location string) *place {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, made := p.places[location]; made {
		return at
	}
	config := p.config.Copy()
	config.Region = location
	at := &place{location: location, ec2: ec2.NewFromConfig(config), eks: eks.NewFromConfig(config), elb: elasticloadbalancingv2.NewFromConfig(config),
		iam: iam.NewFromConfig(config), sts: sts.NewFromConfig(config), quotas: servicequotas.NewFromConfig(config)}
	p.places[location] = at
	return at
}

// partition is the part of AWS that a location is in, as ARNs name it, and home the location there that every account can use.
func partition(location string) (name, home string) {
	switch {
	case strings.HasPrefix(location, "cn-"):
		return "aws-cn", "cn-north-1"
	case strings.HasPrefix(location, "us-gov-"):
		return "aws-us-gov", "us-gov-west-1"
	}
	return "aws", "us-east-1"
}

// managedPolicy is the ARN of a policy that AWS maintains.
func (at *place) managedPolicy(name string) string {
	of, _ := partition(at.location)
	return "arn:" + of + ":iam::aws:policy/" + name
}

// held are credentials that say in our words when they cannot be had.
type held struct{ next aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (h held) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := h.next.Retrieve(ctx)
	if err == nil || ctx.Err() != nil {
		return found, err
	}
	return found, fault.Wrap(fault.Denied, err, "the worker has no AWS credentials: give its machine a role, or renew the file that it reads them from")
}

// whole keeps requests whole until they end: the SDK closes a request's body when the answer begins, which may be before the transport has
// seen the end of the body. The transport takes that for an error, and closes the connection.
type whole struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w whole) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		if err := errors.Join(err, r.Body.Close()); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context()) // a RoundTripper must leave its request as it is
		r.Body = io.NopCloser(bytes.NewReader(data))
	}
	return w.next.RoundTrip(r)
}

// pager is a list of the SDK's.
type pager[Page, Option any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*Option)) (*Page, error)
}

// every reads a list to its end.
func every[Item, Page, Option any](ctx context.Context, pages pager[Page, Option], items func(*Page) []Item) ([]Item, error) {
	var all []Item
	for range maxPages {
		if !pages.HasMorePages() {
			return all, nil
		}
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, items(page)...)
	}
	if !pages.HasMorePages() {
		return all, nil
	}
	return nil, fault.New(fault.Failed, "the AWS account lists more than %d pages of one kind: that is more than this version can look through", maxPages)
}
