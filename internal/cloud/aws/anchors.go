package aws

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// anchor makes the VPC, the internet gateway and the addresses, under the lease, and says what it did or waits for. Where it is not
// known what came of a request, the lease stays: whoever comes next sees what became of it when EC2 lists it for certain.
func (p *Provider) anchor(ctx context.Context, at *place, spec region.NetworkSpec) (state string, err error) {
	held, waits, err := p.hold(ctx, at, spec)
	if err != nil || waits != "" {
		return waits, err
	}
	err = at.makeAnchors(ctx, held, spec)
	if err != nil && unanswered(err) {
		return "", err
	}
	released := at.deleteLaunchTemplate(ctx, held.id, leaseName(networkName(spec)))
	if err != nil {
		return "", err
	}
	return "the VPC, its internet gateway and addresses were made", released
}

// unanswered says that nobody knows what came of a request: an internal error of EC2 does not say that nothing was made.
func unanswered(err error) bool {
	kind := fault.Of(err)
	return kind == fault.Unavailable || kind == fault.Unknown
}

func (at *place) makeAnchors(ctx context.Context, held lease, spec region.NetworkSpec) error {
	n, err := at.anchors(ctx, spec) // again: now nobody else makes any
	if err != nil {
		return err
	}
	if n.vpc == nil {
		if err := n.makeVPC(ctx, held); err != nil {
			return err
		}
	}
	if len(n.gateways) == 0 {
		if err := n.makeGateway(ctx, held); err != nil {
			return err
		}
	}
	for i := len(n.addresses); i < len(n.exits()); i++ {
		if err := n.makeAddress(ctx, held, i); err != nil {
			return err
		}
	}
	listed, err := at.anchors(ctx, spec)
	if err == nil && !listed.anchored() {
		return errUnlisted
	}
	return err
}

// errUnlisted keeps the lease, as an answer that was lost does.
var errUnlisted = fault.New(fault.Unavailable, "EC2 does not list yet what was just made of the network")

func (n *network) makeVPC(ctx context.Context, held lease) error {
	if _, err := layouts(cidrOf(n.spec), nil); err != nil {
		return err
	}
	zones, err := n.at.zones(ctx)
	if err != nil {
		return err
	}
	if err := held.check(); err != nil {
		return err
	}
	name := networkName(n.spec)
	made, err := n.at.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String(cidrOf(n.spec)),
		TagSpecifications: marked(types.ResourceTypeVpc, name, n.spec.Tags, map[string]string{zonesTag: strings.Join(zones, " ")})})
	if err != nil {
		return n.at.explain(err, "create the VPC "+name)
	}
	n.vpc, n.zones = made.Vpc, zones
	return nil
}

func (n *network) makeGateway(ctx context.Context, held lease) error {
	if err := held.check(); err != nil {
		return err
	}
	name := networkName(n.spec)
	_, err := n.at.ec2.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{TagSpecifications: marked(types.ResourceTypeInternetGateway, name, n.spec.Tags)})
	return n.at.explain(err, "create the internet gateway "+name)
}

func (n *network) makeAddress(ctx context.Context, held lease, i int) error {
	if err := held.check(); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%d", networkName(n.spec), i+1)
	_, err := n.at.ec2.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc, TagSpecifications: marked(types.ResourceTypeElasticIp, name, n.spec.Tags)})
	return n.at.explain(err, "allocate the address "+name)
}

// check is asked before anything is made: others may not take the holder for dead.
func (l lease) check() error {
	if l.over() {
		return fault.New(fault.Conflict, "the lease on the network ends before all of it is made: the next step goes on")
	}
	return nil
}
