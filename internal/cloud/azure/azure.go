// Package azure is an Azure subscription as a cloud.Provider: for each region a resource group with a virtual network and a NAT
// gateway, two managed identities with the roles they need, and an AKS cluster with one node pool.
//
// Names are unique in a resource group, and a PUT by name is idempotent: that is how lost answers are found again. Everything
// carries the owner's tags, of which "m3o-owner" holds the whole mark, because the lists of the Resource Manager filter by one tag.
// Role assignments have no tags; their description begins with the mark. AKS keeps what a cluster makes (scale sets, load balancers,
// disks) in a second resource group, the node group, which goes with the cluster.
//
// The SDKs' pollers are not used: a request that begins a long-running operation returns at once, further steps read the
// resource's provisioningState, and the address of the operation is the hint that tells why it failed. The package makes nothing inside
// a cluster and never waits. Only the wiring of workers imports it; everything else sees package cloud.
package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
)

// Limits of one call, and of a list: more pages than that is no list that this version looks through.
const (
	callTimeout = time.Minute
	maxPages    = 50
)

// Config says which subscription, and how to reach it.
type Config struct {
	Subscription string                 // its id
	Credential   azcore.TokenCredential // as whom; Credential and Ambient make one
	Endpoint     Endpoint               // zero: Azure's public cloud
	Transport    http.RoundTripper      // carries the requests, within Limits and with telemetry where they are wanted; nil for http.DefaultTransport
	Settle       time.Duration          // how old a role assignment is when it is taken to be seen everywhere; 0: at once
	Egress       []string               // ranges that the workers are seen by outside: they reach API servers whose access is restricted
}

// Settle is what role assignments usually take to be seen. Microsoft promises ten minutes; AKS refuses a cluster whose roles it does not
// see, and is asked again.
const Settle = 30 * time.Second

// Provider is one subscription.
type Provider struct {
	subscription string
	endpoint     Endpoint
	credential   azcore.TokenCredential
	egress       []string
	settle       time.Duration

	raw         *arm.Client // for the few calls whose SDK would cost more than it tells
	groups      *armresources.ResourceGroupsClient
	resources   *armresources.Client
	services    *armresources.ProvidersClient
	networks    *armnetwork.VirtualNetworksClient
	gateways    *armnetwork.NatGatewaysClient
	addresses   *armnetwork.PublicIPAddressesClient
	usages      *armnetwork.UsagesClient
	identities  *armmsi.UserAssignedIdentitiesClient
	assignments *armauthorization.RoleAssignmentsClient
	clusters    *armcontainerservice.ManagedClustersClient
	pools       *armcontainerservice.AgentPoolsClient
}

var _ cloud.Provider = (*Provider)(nil)

var subscriptionID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// New returns the subscription of the credential. It calls nobody.
func New(c Config) (*Provider, error) {
	if !subscriptionID.MatchString(c.Subscription) {
		return nil, fault.New(fault.Invalid, "%q is not the id of an Azure subscription: 32 lower-case hexadecimal digits in groups, as `az account show` prints it", c.Subscription)
	}
	if c.Credential == nil {
		return nil, fault.New(fault.Invalid, "the Azure subscription has no credential")
	}
	if err := c.Endpoint.check(); err != nil {
		return nil, err
	}
	p := &Provider{subscription: c.Subscription, endpoint: c.Endpoint, credential: c.Credential, settle: c.Settle, egress: c.Egress}
	for _, text := range c.Egress {
		if _, err := netip.ParsePrefix(text); err != nil {
			return nil, fault.New(fault.Invalid, "%q is not an address range like 203.0.113.0/24", text)
		}
	}
	return p, p.connect(&arm.ClientOptions{ClientOptions: c.Endpoint.Options(c.Transport), DisableRPRegistration: true})
}

// connect makes the clients. They share one pipeline's settings, and do not repeat calls: who asks knows how long it is worth it.
func (p *Provider) connect(options *arm.ClientOptions) error {
	var failed []error
	note := func(err error) { failed = append(failed, err) }
	var err error
	p.raw, err = arm.NewClient("m3o", "v0.0.0", p.credential, options)
	note(err)
	p.groups, err = armresources.NewResourceGroupsClient(p.subscription, p.credential, options)
	note(err)
	p.resources, err = armresources.NewClient(p.subscription, p.credential, options)
	note(err)
	p.services, err = armresources.NewProvidersClient(p.subscription, p.credential, options)
	note(err)
	p.networks, err = armnetwork.NewVirtualNetworksClient(p.subscription, p.credential, options)
	note(err)
	p.gateways, err = armnetwork.NewNatGatewaysClient(p.subscription, p.credential, options)
	note(err)
	p.addresses, err = armnetwork.NewPublicIPAddressesClient(p.subscription, p.credential, options)
	note(err)
	p.usages, err = armnetwork.NewUsagesClient(p.subscription, p.credential, options)
	note(err)
	p.identities, err = armmsi.NewUserAssignedIdentitiesClient(p.subscription, p.credential, options)
	note(err)
	p.assignments, err = armauthorization.NewRoleAssignmentsClient(p.subscription, p.credential, options)
	note(err)
	p.clusters, err = armcontainerservice.NewManagedClustersClient(p.subscription, p.credential, options)
	note(err)
	p.pools, err = armcontainerservice.NewAgentPoolsClient(p.subscription, p.credential, options)
	note(err)
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("make the Azure clients: %w", err)
	}
	return nil
}

// get reads what a path below the subscription answers with.
func (p *Provider) get(ctx context.Context, url string, into any) error {
	request, err := runtime.NewRequest(ctx, http.MethodGet, url)
	if err != nil {
		return err
	}
	request.Raw().Header.Set("Accept", "application/json")
	answer, err := p.raw.Pipeline().Do(request)
	if err != nil {
		return err
	}
	if !runtime.HasStatusCode(answer, http.StatusOK) {
		return runtime.NewResponseError(answer)
	}
	return runtime.UnmarshalAsJSON(answer, into)
}

// below is the address of a path below the subscription. The query is ready to be sent.
func (p *Provider) below(path, query string) string {
	return runtime.JoinPaths(p.raw.Endpoint(), "/subscriptions/"+p.subscription+path) + "?" + query
}

// every reads a list to its end.
func every[T, P any](ctx context.Context, pager *runtime.Pager[P], items func(P) []*T) ([]*T, error) {
	var all []*T
	for n := 1; pager.More(); n++ {
		if n > maxPages {
			return nil, fault.New(fault.Failed, "the Azure subscription lists more than %d pages: that is more than this version can look through", maxPages)
		}
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, items(page)...)
	}
	return all, nil
}
