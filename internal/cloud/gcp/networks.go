package gcp

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// EnsureNetwork makes the network and its address, then its subnetwork and its router: each when what it needs is done.
func (p *Provider) EnsureNetwork(ctx context.Context, spec region.NetworkSpec, operation string) (region.Net, error) {
	n, err := p.networkOf(spec)
	if err != nil {
		return region.Net{}, err
	}
	w, err := p.hinted(ctx, operation, spec.Location)
	if err != nil {
		return region.Net{}, err
	}
	if len(w.running) > 0 {
		return n.waits(w), nil
	}
	if begun, err := n.grow(ctx, w); err != nil || len(begun.running) > 0 {
		return n.waits(begun), err
	}
	if n.anyRecent(time.Now()) {
		if w, err = p.unfinished(ctx, spec.Location, n.kindNames()); err != nil {
			return region.Net{}, err
		}
		if i := slices.IndexFunc(w.running, func(op *compute.Operation) bool { return op.OperationType == "delete" }); i >= 0 {
			return region.Net{}, fault.New(fault.Conflict, "%s is still being deleted", kindAndName(w.running[i].TargetLink))
		}
		if len(w.running) > 0 {
			return n.waits(w), nil
		}
	}
	if begun, err := n.mend(ctx); err != nil || len(begun.running) > 0 {
		return n.waits(begun), err
	}
	return n.region(), nil
}

// DeleteNetwork removes the subnetwork first: while nodes live in it GCP refuses that, and they keep their way out. Then router,
// address and network. What is not ours stays.
func (p *Provider) DeleteNetwork(ctx context.Context, spec region.NetworkSpec, operation string) (region.Removal, error) {
	n, err := p.networkOf(spec)
	if err != nil {
		return region.Removal{}, err
	}
	w, err := p.hinted(ctx, operation, spec.Location)
	if err != nil {
		return region.Removal{}, err
	}
	if len(w.running) > 0 {
		return region.Removal{State: w.state(), Operation: w.hint()}, nil
	}
	for _, part := range []*part{n.subnetwork, n.router, n.address, n.network} {
		there, err := part.find(ctx)
		switch {
		case err != nil:
			return region.Removal{}, explain(err, "describe the "+part.what)
		case !there || !part.ours():
			continue
		}
		if err := w.failure(part.kindName, "delete the "+part.what); err != nil {
			return region.Removal{}, err
		}
		op, err := part.remove(ctx)
		err = explain(err, "delete the "+part.what)
		switch {
		case fault.Is(err, fault.NotFound):
			continue
		case err != nil:
			return region.Removal{}, err
		}
		begun := work{running: []*compute.Operation{op}}
		return region.Removal{State: begun.state(), Operation: begun.hint()}, nil
	}
	return region.Removal{Gone: true}, nil
}

// network is a region's network as it is wanted, and what was found of it.
type network struct {
	spec   region.NetworkSpec
	ranges ranges

	network, address, subnetwork, router *part

	foundNetwork *compute.Network
	foundAddress *compute.Address
	foundSubnet  *compute.Subnetwork
	foundRouter  *compute.Router
	provider     *Provider
}

// part is one thing of a network. find looks for it and remembers what it found; a create that is asked for twice is refused the
// second time, since names are unique.
type part struct {
	what     string // for messages: "network m3o-micro-ew1"
	kindName string // the end of its links: "networks/m3o-micro-ew1"
	apart    bool   // does not need what the same step began before it
	find     func(context.Context) (bool, error)
	ours     func() bool
	create   func(context.Context) (*compute.Operation, error)
	remove   func(context.Context) (*compute.Operation, error)
	created  func() string // when, in GCP's words
}

func (p *Provider) networkOf(spec region.NetworkSpec) (*network, error) {
	ranges, err := divide(spec.CIDR)
	if err != nil {
		return nil, err
	}
	n := &network{spec: spec, ranges: ranges, provider: p}
	n.network, n.address, n.subnetwork, n.router = n.networkPart(), n.addressPart(), n.subnetworkPart(), n.routerPart()
	return n, nil
}

// parts are in the order in which they are made.
func (n *network) parts() []*part { return []*part{n.network, n.address, n.subnetwork, n.router} }

func (n *network) kindNames() []string {
	var names []string
	for _, part := range n.parts() {
		names = append(names, part.kindName)
	}
	return names
}

func (n *network) anyRecent(now time.Time) bool {
	return slices.ContainsFunc(n.parts(), func(part *part) bool { return isRecent(part.created(), now) })
}

// grow asks for what is missing, as far as what it needs is there. It returns what it began.
func (n *network) grow(ctx context.Context, before work) (begun work, err error) {
	for _, part := range n.parts() {
		if len(begun.running) > 0 && !part.apart {
			return begun, nil
		}
		op, err := n.ensure(ctx, part, before)
		if err != nil {
			return begun, err
		}
		if op != nil {
			begun.running = append(begun.running, op)
		}
	}
	return begun, nil
}

// ensure looks for a part and asks for it if it is missing.
func (n *network) ensure(ctx context.Context, part *part, before work) (*compute.Operation, error) {
	there, err := part.find(ctx)
	if err != nil {
		return nil, explain(err, "describe the "+part.what)
	}
	if there {
		return nil, n.check(part)
	}
	if err := before.failure(part.kindName, "create the "+part.what); err != nil {
		return nil, err
	}
	op, err := part.create(ctx)
	err = explain(err, "create the "+part.what)
	if err == nil || !fault.Is(err, fault.Exists) {
		return op, err
	}
	// Made since we looked: by our own lost attempt, or by somebody else.
	there, again := part.find(ctx)
	switch {
	case again != nil:
		return nil, explain(again, "describe the "+part.what)
	case !there:
		return nil, fault.New(fault.Conflict, "the %s was made but is not there yet", part.what)
	}
	if err := n.check(part); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.Conflict, "the %s is being made", part.what)
}

// check refuses what has our name and is not ours, or cannot become what is wanted.
func (n *network) check(part *part) error {
	if !part.ours() {
		return fault.New(fault.Exists, "the GCP project %s has a %s that is not this region's: its mark is not %q; delete or rename it, or give the region another name",
			n.provider.project, part.what, n.spec.Owner.Owner())
	}
	if part == n.subnetwork && n.spec.CIDR != "" && n.foundSubnet.IpCidrRange != n.ranges.nodes.String() {
		return fault.New(fault.Failed, "the %s of this region has nodes in %s, not in %s: remove the region first", part.what, n.foundSubnet.IpCidrRange, n.ranges.nodes)
	}
	return nil
}

// mend brings back what was changed by hand and would keep nodes from working: the NAT, and the way to Google's registries.
func (n *network) mend(ctx context.Context) (work, error) {
	if !slices.ContainsFunc(n.foundRouter.Nats, func(nat *compute.RouterNat) bool { return nat.Name == natName }) {
		patch := &compute.Router{Nats: append(n.foundRouter.Nats, n.nat())}
		op, err := n.provider.compute.Routers.Patch(n.provider.project, n.spec.Location, n.foundRouter.Name, patch).Context(ctx).Do()
		if err != nil {
			return work{}, explain(err, "give a NAT to the "+n.router.what)
		}
		return work{running: []*compute.Operation{op}}, nil
	}
	if !n.foundSubnet.PrivateIpGoogleAccess {
		request := &compute.SubnetworksSetPrivateIpGoogleAccessRequest{PrivateIpGoogleAccess: true}
		op, err := n.provider.compute.Subnetworks.SetPrivateIpGoogleAccess(n.provider.project, n.spec.Location, n.foundSubnet.Name, request).Context(ctx).Do()
		if err != nil {
			return work{}, explain(err, "let the "+n.subnetwork.what+" reach Google's APIs")
		}
		return work{running: []*compute.Operation{op}}, nil
	}
	return work{}, nil
}

// waits is the network while operations on it run.
func (n *network) waits(w work) region.Net {
	return region.Net{Name: networkName(n.spec.Name), CIDR: n.ranges.all.String(), Condition: region.Condition{State: w.state(), Operation: w.hint()}}
}

// region is the network as the platform sees it, once all of it is there. It is ready when its address is given out.
func (n *network) region() region.Net {
	net := region.Net{ID: fmt.Sprint(n.foundNetwork.Id), Name: n.foundNetwork.Name, CIDR: around(n.foundSubnet.IpCidrRange),
		Subnets: []region.Subnet{{ID: fmt.Sprint(n.foundSubnet.Id), CIDR: n.foundSubnet.IpCidrRange}}}
	if n.foundAddress.Address == "" || n.foundAddress.Status == "RESERVING" {
		net.Condition = region.Condition{State: n.foundAddress.Status, Reason: "the " + n.address.what + " is not given out yet"}
		return net
	}
	net.Egress, net.Condition = []string{n.foundAddress.Address}, region.Condition{Ready: true, State: "READY"}
	return net
}
