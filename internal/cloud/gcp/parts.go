package gcp

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
)

// natName is the name of the NAT in the region's router.
const natName = "nat"

// found turns an answer of "not found" into one that says so without an error.
func found[T any](thing *T, err error) (*T, bool, error) {
	var answer *googleapi.Error
	if errors.As(err, &answer) && answer.Code == http.StatusNotFound {
		return nil, false, nil
	}
	return thing, err == nil, err
}

func (n *network) networkPart() *part {
	p, name := n.provider, networkName(n.spec.Name)
	return &part{what: "network " + name, kindName: "networks/" + name,
		find: func(ctx context.Context) (there bool, err error) {
			n.foundNetwork, there, err = found(p.compute.Networks.Get(p.project, name).Context(ctx).Do())
			return there, err
		},
		ours:    func() bool { return describes(n.foundNetwork.Description, n.spec.Owner) },
		created: func() string { return n.foundNetwork.CreationTimestamp },
		create: func(ctx context.Context) (*compute.Operation, error) {
			return p.compute.Networks.Insert(p.project, &compute.Network{Name: name, Description: describe(n.spec.Owner),
				RoutingConfig:   &compute.NetworkRoutingConfig{RoutingMode: "REGIONAL"},
				ForceSendFields: []string{"AutoCreateSubnetworks"}, // false is no default: without it a legacy network is asked for
			}).Context(ctx).Do()
		},
		remove: func(ctx context.Context) (*compute.Operation, error) {
			return p.compute.Networks.Delete(p.project, name).Context(ctx).Do()
		},
	}
}

// addressPart is the address that nodes are seen by outside. It is reserved, so that it stays the same and can be let in elsewhere.
func (n *network) addressPart() *part {
	p, name, at := n.provider, networkName(n.spec.Name), n.spec.Location
	return &part{what: "address " + name, kindName: "addresses/" + name, apart: true,
		find: func(ctx context.Context) (there bool, err error) {
			n.foundAddress, there, err = found(p.compute.Addresses.Get(p.project, at, name).Context(ctx).Do())
			return there, err
		},
		ours:    func() bool { return describes(n.foundAddress.Description, n.spec.Owner) }, // labels cannot be set in a create
		created: func() string { return n.foundAddress.CreationTimestamp },
		create: func(ctx context.Context) (*compute.Operation, error) {
			return p.compute.Addresses.Insert(p.project, at, &compute.Address{Name: name, Description: describe(n.spec.Owner),
				AddressType: "EXTERNAL", NetworkTier: "PREMIUM"}).Context(ctx).Do()
		},
		remove: func(ctx context.Context) (*compute.Operation, error) {
			return p.compute.Addresses.Delete(p.project, at, name).Context(ctx).Do()
		},
	}
}

func (n *network) subnetworkPart() *part {
	p, name, at := n.provider, networkName(n.spec.Name), n.spec.Location
	return &part{what: "subnetwork " + name, kindName: "subnetworks/" + name,
		find: func(ctx context.Context) (there bool, err error) {
			n.foundSubnet, there, err = found(p.compute.Subnetworks.Get(p.project, at, name).Context(ctx).Do())
			return there, err
		},
		ours:    func() bool { return describes(n.foundSubnet.Description, n.spec.Owner) },
		created: func() string { return n.foundSubnet.CreationTimestamp },
		create: func(ctx context.Context) (*compute.Operation, error) {
			return p.compute.Subnetworks.Insert(p.project, at, &compute.Subnetwork{Name: name, Description: describe(n.spec.Owner),
				Network: p.networkPath(n.spec.Name), IpCidrRange: n.ranges.nodes.String(), PrivateIpGoogleAccess: true,
				SecondaryIpRanges: []*compute.SubnetworkSecondaryRange{
					{RangeName: podRange, IpCidrRange: n.ranges.pods.String()},
					{RangeName: serviceRange, IpCidrRange: n.ranges.services.String()},
				}}).Context(ctx).Do()
		},
		remove: func(ctx context.Context) (*compute.Operation, error) {
			return p.compute.Subnetworks.Delete(p.project, at, name).Context(ctx).Do()
		},
	}
}

func (n *network) routerPart() *part {
	p, name, at := n.provider, networkName(n.spec.Name), n.spec.Location
	return &part{what: "router " + name, kindName: "routers/" + name, apart: true, // its NAT is for whatever subnetworks there are
		find: func(ctx context.Context) (there bool, err error) {
			n.foundRouter, there, err = found(p.compute.Routers.Get(p.project, at, name).Context(ctx).Do())
			return there, err
		},
		ours:    func() bool { return describes(n.foundRouter.Description, n.spec.Owner) },
		created: func() string { return n.foundRouter.CreationTimestamp },
		create: func(ctx context.Context) (*compute.Operation, error) {
			return p.compute.Routers.Insert(p.project, at, &compute.Router{Name: name, Description: describe(n.spec.Owner),
				Network: p.networkPath(n.spec.Name), Nats: []*compute.RouterNat{n.nat()}}).Context(ctx).Do()
		},
		remove: func(ctx context.Context) (*compute.Operation, error) {
			return p.compute.Routers.Delete(p.project, at, name).Context(ctx).Do()
		},
	}
}

// nat lets everything in the network out by the one address. Cloud NAT is regional: a zone that fails does not take it along.
func (n *network) nat() *compute.RouterNat {
	return &compute.RouterNat{Name: natName, NatIpAllocateOption: "MANUAL_ONLY",
		NatIps:                        []string{n.provider.regionalPath(n.spec.Location, "addresses", n.spec.Name)},
		SourceSubnetworkIpRangesToNat: "ALL_SUBNETWORKS_ALL_IP_RANGES",
		LogConfig:                     &compute.RouterNatLogConfig{Enable: true, Filter: "ERRORS_ONLY"}}
}
