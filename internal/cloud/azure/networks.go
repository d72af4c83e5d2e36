package azure

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// defaultRange is a network's where the spec has none.
const defaultRange = "10.0.0.0/16"

// idleMinutes is how long the NAT gateway keeps a connection that is silent. It is Azure's own default, and the least.
const idleMinutes = 4

// EnsureNetwork takes one step towards the region's resource group, and in it a public address, a NAT gateway that has it, and a
// virtual network whose one subnet goes out by that gateway. The network lies in all zones, the address too where there are any; the
// gateway in one that Azure chooses.
func (p *Provider) EnsureNetwork(ctx context.Context, spec region.NetworkSpec, operation string) (region.Net, error) {
	n := p.names(spec.Name)
	if spec.NAT == region.PerZoneNAT {
		return region.Net{}, fault.New(fault.Invalid, "nat: %q cannot be had on Azure: a node pool lies in one subnet, which has one NAT gateway; write %q",
			spec.NAT, region.SingleNAT)
	}
	wanted, err := divide(spec.CIDR)
	if err != nil {
		return region.Net{}, err
	}
	if err := p.ensureGroup(ctx, spec, n); err != nil {
		return region.Net{}, err
	}
	made := region.Net{Name: n.network}
	type part = func(context.Context, region.NetworkSpec, names, layout, *region.Net) (progress, error)
	for _, ensure := range []part{p.ensureAddress, p.ensureGateway, p.ensureVirtualNetwork} {
		now, err := ensure(ctx, spec, n, wanted, &made)
		if err != nil {
			return region.Net{}, err
		}
		if made.Condition, err = p.told(ctx, now, operation); err != nil || !made.Ready {
			return made, err
		}
	}
	made.ID = n.networkID()
	return made, nil
}

// layout is how a region's range is divided: the lower half is the nodes', the upper one is left for what may come.
type layout struct{ network, nodes netip.Prefix }

func divide(cidr string) (layout, error) {
	if cidr == "" {
		cidr = defaultRange
	}
	whole, err := netip.ParsePrefix(cidr)
	if err != nil || !whole.Addr().Is4() || whole.Bits() < 8 || whole.Bits() > 20 {
		return layout{}, fault.New(fault.Invalid, "cidr: %q is not an IPv4 range of /8 to /20 such as 10.20.0.0/16", cidr)
	}
	whole = whole.Masked()
	return layout{network: whole, nodes: netip.PrefixFrom(whole.Addr(), whole.Bits()+1)}, nil
}

// progress is how far Azure is with one resource.
type progress struct {
	what      string
	state     string
	operation string // that this step began
}

// told is the progress as the platform sees it. begun is the operation that an earlier step began.
func (p *Provider) told(ctx context.Context, now progress, begun string) (region.Condition, error) {
	condition := region.Condition{State: now.state, Operation: now.operation}
	if condition.Operation == "" {
		condition.Operation = begun
	}
	switch now.state {
	case "":
		condition.State = "not described yet"
	case "Succeeded":
		return region.Condition{Ready: true, State: now.state}, nil
	case "Failed", "Canceled":
		why, err := p.reason(ctx, condition.Operation)
		condition.Broken = true
		condition.Reason = now.what + " could not be made: " + orActivityLog(why)
		return condition, err
	}
	condition.Reason = "Azure makes " + now.what
	return condition, nil
}

// orActivityLog says where the reason is, if nobody told it: an operation is forgotten after a while, and so may its address be.
func orActivityLog(why string) string {
	if why != "" {
		return why
	}
	return "Azure keeps the reason in the activity log alone: az monitor activity-log list --status Failed --offset 1d"
}

// ensure brings one resource into being: it looks, asks for what is missing, and looks again. find returns nil for none.
func ensure[T any](ctx context.Context, find func(context.Context) (*T, error), put func(context.Context) error) (found *T, operation string, err error) {
	found, err = find(ctx)
	if err != nil || found != nil {
		return found, "", err
	}
	watching, kept := watched(ctx)
	if err := put(watching); err != nil {
		return nil, "", err
	}
	found, err = find(ctx)
	if err == nil && found == nil {
		err = fault.New(fault.Conflict, "Azure took a request and does not show what it makes yet")
	}
	return found, kept.operation(), err
}

func (p *Provider) ensureAddress(ctx context.Context, spec region.NetworkSpec, n names, _ layout, into *region.Net) (progress, error) {
	what := "the public IP address " + n.address
	found, operation, err := ensure(ctx, func(ctx context.Context) (*armnetwork.PublicIPAddress, error) {
		found, err := p.addresses.Get(ctx, n.group, n.address, nil)
		return ours(&found.PublicIPAddress, found.Tags, err, "public IP address", n.addressID(), spec.Owner)
	}, func(ctx context.Context) error {
		zones, err := p.zones(ctx, spec.Location)
		if err != nil {
			return err
		}
		_, err = p.addresses.BeginCreateOrUpdate(ctx, n.group, n.address, armnetwork.PublicIPAddress{
			Location: &spec.Location, Tags: marks(spec.Owner, spec.Tags), Zones: pointers(zones),
			SKU: &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard), Tier: ptr(armnetwork.PublicIPAddressSKUTierRegional)},
			Properties: &armnetwork.PublicIPAddressPropertiesFormat{PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic),
				PublicIPAddressVersion: ptr(armnetwork.IPVersionIPv4), IdleTimeoutInMinutes: ptr[int32](idleMinutes)},
		}, nil)
		return explain(err, "create "+what)
	})
	if err != nil || found.Properties == nil {
		return progress{what: what, operation: operation}, err
	}
	into.Zones = slices.Sorted(slices.Values(values(found.Zones)))
	if ip := of(found.Properties.IPAddress); ip != "" {
		into.Egress = []string{ip}
	}
	return progress{what: what, state: string(of(found.Properties.ProvisioningState)), operation: operation}, nil
}

func (p *Provider) ensureGateway(ctx context.Context, spec region.NetworkSpec, n names, _ layout, _ *region.Net) (progress, error) {
	what := "the NAT gateway " + n.gateway
	found, operation, err := ensure(ctx, func(ctx context.Context) (*armnetwork.NatGateway, error) {
		found, err := p.gateways.Get(ctx, n.group, n.gateway, nil)
		return ours(&found.NatGateway, found.Tags, err, "NAT gateway", n.gatewayID(), spec.Owner)
	}, func(ctx context.Context) error {
		_, err := p.gateways.BeginCreateOrUpdate(ctx, n.group, n.gateway, armnetwork.NatGateway{
			Location: &spec.Location, Tags: marks(spec.Owner, spec.Tags), SKU: &armnetwork.NatGatewaySKU{Name: ptr(armnetwork.NatGatewaySKUNameStandard)},
			Properties: &armnetwork.NatGatewayPropertiesFormat{IdleTimeoutInMinutes: ptr[int32](idleMinutes),
				PublicIPAddresses: []*armnetwork.SubResource{{ID: ptr(n.addressID())}}},
		}, nil)
		return explain(err, "create "+what)
	})
	if err != nil || found.Properties == nil {
		return progress{what: what, operation: operation}, err
	}
	return progress{what: what, state: string(of(found.Properties.ProvisioningState)), operation: operation}, nil
}

func (p *Provider) ensureVirtualNetwork(ctx context.Context, spec region.NetworkSpec, n names, l layout, into *region.Net) (progress, error) {
	what := "the virtual network " + n.network
	find := func(ctx context.Context) (*armnetwork.VirtualNetwork, error) {
		found, err := p.networks.Get(ctx, n.group, n.network, nil)
		return ours(&found.VirtualNetwork, found.Tags, err, "virtual network", n.networkID(), spec.Owner)
	}
	put := func(ctx context.Context, wanted armnetwork.VirtualNetwork) error {
		_, err := p.networks.BeginCreateOrUpdate(ctx, n.group, n.network, wanted, nil)
		return explain(err, "create "+what)
	}
	found, operation, err := ensure(ctx, find, func(ctx context.Context) error {
		return put(ctx, armnetwork.VirtualNetwork{Location: &spec.Location, Tags: marks(spec.Owner, spec.Tags),
			Properties: &armnetwork.VirtualNetworkPropertiesFormat{AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr(l.network.String())}},
				Subnets: []*armnetwork.Subnet{n.subnet(l.nodes.String())}}})
	})
	if err != nil || found.Properties == nil {
		return progress{what: what, operation: operation}, err
	}
	cidr, err := rangeOf(found, spec, l)
	if err != nil {
		return progress{}, err
	}
	state := string(of(found.Properties.ProvisioningState))
	if state == "Succeeded" && !n.goesOut(found) {
		watching, kept := watched(ctx)
		if err := put(watching, n.mended(found)); err != nil {
			return progress{}, err
		}
		return progress{what: what, state: "Updating", operation: kept.operation()}, nil
	}
	into.CIDR = cidr.network.String()
	into.Subnets = []region.Subnet{{ID: n.subnetID(), CIDR: cidr.nodes.String()}}
	return progress{what: what, state: state, operation: operation}, nil
}

// subnet is the nodes' subnet. Without the gateway nothing in it gets out.
func (n names) subnet(cidr string) *armnetwork.Subnet {
	return &armnetwork.Subnet{Name: ptr(subnetName), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: &cidr,
		DefaultOutboundAccess: ptr(false), NatGateway: &armnetwork.SubResource{ID: ptr(n.gatewayID())}}}
}

// nodesOf is the nodes' subnet of a network, nil when it has none.
func nodesOf(v *armnetwork.VirtualNetwork) *armnetwork.Subnet {
	for _, s := range v.Properties.Subnets {
		if of(s.Name) == subnetName && s.Properties != nil {
			return s
		}
	}
	return nil
}

// goesOut reports whether the nodes' subnet is there and goes out by the region's gateway.
func (n names) goesOut(v *armnetwork.VirtualNetwork) bool {
	s := nodesOf(v)
	return s != nil && s.Properties.NatGateway != nil && strings.EqualFold(of(s.Properties.NatGateway.ID), n.gatewayID())
}

// mended is the network as it is, but with the nodes' subnet as it should be.
func (n names) mended(v *armnetwork.VirtualNetwork) armnetwork.VirtualNetwork {
	if s := nodesOf(v); s != nil {
		s.Properties.NatGateway = &armnetwork.SubResource{ID: ptr(n.gatewayID())}
		return *v
	}
	whole := netip.MustParsePrefix(of(v.Properties.AddressSpace.AddressPrefixes[0])) // rangeOf read it
	v.Properties.Subnets = append(v.Properties.Subnets, n.subnet(netip.PrefixFrom(whole.Addr(), whole.Bits()+1).String()))
	return *v
}

// rangeOf is how the network that is there is divided. One that was made with another range cannot become what is wanted.
func rangeOf(v *armnetwork.VirtualNetwork, spec region.NetworkSpec, wanted layout) (layout, error) {
	var prefixes []string
	if space := v.Properties.AddressSpace; space != nil {
		prefixes = values(space.AddressPrefixes)
	}
	if len(prefixes) == 0 {
		return layout{}, fault.New(fault.Failed, "the virtual network %s has no address range: remove the region first", of(v.Name))
	}
	have, err := divide(prefixes[0])
	if err != nil || spec.CIDR != "" && have.network != wanted.network {
		return layout{}, fault.New(fault.Failed, "the virtual network %s of this region has the range %s, not %s: remove the region first", of(v.Name), prefixes[0], spec.CIDR)
	}
	return have, nil
}

// ours is what a look at one resource found: nil when there is none, and an Exists fault when there is one with another owner.
func ours[T any](found *T, tags map[string]*string, err error, kind, id string, owner region.Key) (*T, error) {
	err = explain(err, "look at the "+kind+" "+id)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !owns(owner, tags):
		return nil, foreign(kind, id, owner)
	}
	return found, nil
}

// DeleteNetwork removes the region's resource group, and with it the network, once nothing else is in it. What is not ours stays, and
// keeps the group.
func (p *Provider) DeleteNetwork(ctx context.Context, spec region.NetworkSpec, operation string) (region.Removal, error) {
	n := p.names(spec.Name)
	found, err := p.group(ctx, n.group)
	switch {
	case err != nil:
		return region.Removal{}, err
	case found == nil || !owns(spec.Owner, found.Tags):
		return region.Removal{Gone: true}, nil
	case groupState(found) == leaving:
		return region.Removal{State: "the resource group " + n.group + " is " + leaving, Operation: operation}, nil
	}
	holds, err := p.holds(ctx, spec.Owner, n)
	if err != nil || len(holds) > 0 {
		return region.Removal{State: fmt.Sprintf("the resource group %s still holds %s", n.group, strings.Join(holds, ", "))}, err
	}
	why, err := p.reason(ctx, operation) // of a deletion that was given up
	if err != nil {
		return region.Removal{}, err
	}
	now, err := p.deleteGroup(ctx, n.group)
	if why != "" {
		now.State += ", after Azure gave up the one before: " + why
	}
	return now, err
}

// networkKinds are the types of what EnsureNetwork makes.
var networkKinds = []string{"microsoft.network/virtualnetworks", "microsoft.network/natgateways", "microsoft.network/publicipaddresses"}

// holds lists what in the region's group is not its network. The list of a group may be late, so the cluster is looked for itself.
func (p *Provider) holds(ctx context.Context, owner region.Key, n names) ([]string, error) {
	all, err := p.listGroup(ctx, n.group)
	if err != nil {
		return nil, err
	}
	var others []string
	for _, r := range all {
		if !owns(owner, r.Tags) || !slices.Contains(networkKinds, strings.ToLower(of(r.Type))) {
			others = append(others, n.canonical(of(r.ID)))
		}
	}
	if len(others) > 0 {
		return others, nil
	}
	_, err = p.clusters.Get(ctx, n.group, n.cluster, nil)
	err = explain(err, "look at the cluster "+n.cluster)
	switch {
	case err == nil:
		return []string{n.clusterID()}, nil
	case fault.Is(err, fault.NotFound):
		return nil, nil
	}
	return nil, err
}

func pointers(list []string) []*string {
	var made []*string
	for _, s := range list {
		made = append(made, &s)
	}
	return made
}

func values(list []*string) []string {
	var made []string
	for _, s := range list {
		made = append(made, of(s))
	}
	return made
}
