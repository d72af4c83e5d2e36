package aws

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

var gatewayOperations = []operation{
	{name: "CreateInternetGateway", takes: "TagSpecification", handle: createGateway},
	{name: "AttachInternetGateway", takes: "InternetGatewayId VpcId", handle: attachGateway},
	{name: "DetachInternetGateway", takes: "InternetGatewayId VpcId", handle: detachGateway},
	{name: "DeleteInternetGateway", takes: "InternetGatewayId", handle: deleteGateway},
	{name: "DescribeInternetGateways", takes: "InternetGatewayId" + paged, handle: describeGateways},
	{name: "AllocateAddress", takes: "Domain NetworkBorderGroup TagSpecification", handle: allocateAddress},
	{name: "DescribeAddresses", takes: "Filter PublicIp AllocationId", handle: describeAddresses},
	{name: "DescribeAddressesAttribute", takes: "AllocationId Attribute MaxResults NextToken", handle: describeAddressesAttribute},
	{name: "ReleaseAddress", takes: "AllocationId NetworkBorderGroup", handle: releaseAddress},
	{name: "CreateNatGateway", takes: "SubnetId AllocationId ClientToken ConnectivityType TagSpecification", handle: createNAT},
	{name: "DescribeNatGateways", takes: "NatGatewayId" + paged, handle: describeNATs},
	{name: "DeleteNatGateway", takes: "NatGatewayId", handle: deleteNAT},
}

// gateway is an internet gateway, as it is kept and as it is shown.
type gateway struct {
	ID          string       `xml:"internetGatewayId"`
	Region      string       `xml:"-"`
	Owner       string       `xml:"ownerId"`
	Attachments []attachment `xml:"attachmentSet>item"`
	Tags        tags         `xml:"tagSet>item"`
}

type attachment struct {
	VPC   string `xml:"vpcId"`
	State string `xml:"state"`
}

func (g gateway) attachedTo(id string) bool {
	return len(g.Attachments) > 0 && g.Attachments[0].VPC == id
}

func (g gateway) ident() string { return g.ID }
func (g gateway) home() string  { return g.Region }
func (g gateway) place() string { return g.Region }
func (g gateway) marks() tags   { return g.Tags }
func (g gateway) attribute(name string) ([]string, bool) {
	var vpcs, states []string
	for _, a := range g.Attachments {
		vpcs, states = append(vpcs, a.VPC), append(states, a.State)
	}
	switch name {
	case "internet-gateway-id":
		return filled(g.ID), true
	case "owner-id":
		return filled(g.Owner), true
	case "attachment.vpc-id":
		return vpcs, true
	case "attachment.state":
		return states, true
	}
	return nil, false
}

func createGateway(x *exchange) (any, error) {
	marks, err := x.newTags(kindGateway)
	if err != nil {
		return nil, err
	}
	g := gateway{ID: newID("igw"), Region: x.region, Owner: x.cloud.Account, Attachments: []attachment{}, Tags: marks}
	err = x.commit(func(tx *world.Tx) error {
		others, err := within[gateway](tx, kindGateway, x.region, nil)
		if err != nil {
			return err
		}
		if len(others) >= maxVPCs {
			return x.overQuota()
		}
		return errors.Join(put(tx, kindGateway, g), x.record(tx, world.Created, kindGateway, g.ID, marks.name(g.ID), marks))
	})
	return wire.Fields{"internetGateway": g}, err
}

func describeGateways(x *exchange) (any, error) {
	return describe[gateway](x, kindGateway, "InternetGatewayId", "internetGatewaySet", nil)
}

// editGateway changes the gateway of the request, in view of the VPC of the request if it has one.
func (x *exchange) editGateway(how func(*world.Tx, *gateway, vpc) error) (any, error) {
	if err := x.needs("InternetGatewayId", "VpcId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		g, err := load[gateway](x, tx, kindGateway, x.in.Text("InternetGatewayId"))
		if err != nil {
			return err
		}
		v, err := load[vpc](x, tx, kindVPC, x.in.Text("VpcId"))
		if err == nil {
			err = how(tx, &g, v)
		}
		if err != nil {
			return err
		}
		return errors.Join(put(tx, kindGateway, g), x.record(tx, world.Updated, kindGateway, g.ID, g.Tags.name(g.ID), g.Tags))
	})
	return wire.Fields{"return": true}, err
}

func attachGateway(x *exchange) (any, error) {
	return x.editGateway(func(tx *world.Tx, g *gateway, v vpc) error {
		if len(g.Attachments) > 0 {
			return refuse("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.ID, g.Attachments[0].VPC)
		}
		others, err := within(tx, kindGateway, x.region, func(o gateway) bool { return o.attachedTo(v.ID) })
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return refuse("InvalidParameterValue", "Network %s already has an internet gateway attached", v.ID)
		}
		g.Attachments = []attachment{{VPC: v.ID, State: "available"}}
		return nil
	})
}

// detachGateway takes a gateway off its VPC, in which nothing may have a public address.
func detachGateway(x *exchange) (any, error) {
	return x.editGateway(func(tx *world.Tx, g *gateway, v vpc) error {
		if !g.attachedTo(v.ID) {
			return refuse("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, v.ID)
		}
		public, err := within(tx, kindInterface, v.ID, func(i netInterface) bool { return i.Association != nil })
		if err != nil {
			return err
		}
		if len(public) > 0 {
			return refuse("DependencyViolation", "Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", v.ID)
		}
		g.Attachments = []attachment{}
		return nil
	})
}

func deleteGateway(x *exchange) (any, error) {
	if err := x.needs("InternetGatewayId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		g, err := load[gateway](x, tx, kindGateway, x.in.Text("InternetGatewayId"))
		if err != nil {
			return err
		}
		if len(g.Attachments) > 0 {
			return refuse("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", g.ID)
		}
		return drop(tx, kindGateway, g, x.Effect(world.Deleted, kindGateway, g.ID, ""))
	})
	return wire.Fields{"return": true}, err
}

// address is an Elastic IP address, as it is kept and as it is shown.
type address struct {
	ID          string `xml:"allocationId"`
	IP          string `xml:"publicIp"`
	Region      string `xml:"-"`
	Domain      string `xml:"domain"`
	Pool        string `xml:"publicIpv4Pool"`
	Border      string `xml:"networkBorderGroup"`
	Association string `xml:"associationId"`
	Interface   string `xml:"networkInterfaceId"`
	Owner       string `xml:"networkInterfaceOwnerId"`
	Private     string `xml:"privateIpAddress"`
	Tags        tags   `xml:"tagSet>item"`
}

func (a address) ident() string { return a.ID }
func (a address) home() string  { return a.Region }
func (a address) place() string { return a.Region }
func (a address) marks() tags   { return a.Tags }
func (a address) attribute(name string) ([]string, bool) {
	switch name {
	case "allocation-id":
		return filled(a.ID), true
	case "public-ip":
		return filled(a.IP), true
	case "domain":
		return filled(a.Domain), true
	case "association-id":
		return filled(a.Association), true
	case "network-interface-id":
		return filled(a.Interface), true
	case "private-ip-address":
		return filled(a.Private), true
	}
	return nil, false
}

// publicIP makes an address of a documentation network (RFC 5737, 2544) of an id, so that it leads nowhere.
func publicIP(id string) string {
	sum := sha256.Sum256([]byte(id))
	return fmt.Sprintf("198.%d.%d.%d", 18+sum[0]%2, sum[1], 1+sum[2]%254)
}

func allocateAddress(x *exchange) (any, error) {
	if domain := x.in.Text("Domain"); domain != "" && domain != "vpc" {
		return nil, refuse("InvalidParameterValue", "Value (%.20s) for parameter domain is invalid.", domain)
	}
	marks, err := x.newTags(kindAddress)
	if err != nil {
		return nil, err
	}
	id := newID("eipalloc")
	a := address{ID: id, IP: publicIP(id), Region: x.region, Domain: "vpc", Pool: "amazon", Border: x.region, Tags: marks}
	err = x.commit(func(tx *world.Tx) error {
		others, err := within[address](tx, kindAddress, x.region, nil)
		if err != nil {
			return err
		}
		if len(others) >= maxAddresses {
			return x.overQuota()
		}
		return errors.Join(put(tx, kindAddress, a), x.record(tx, world.Created, kindAddress, id, marks.name(id), marks))
	})
	return wire.Fields{"publicIp": a.IP, "allocationId": id, "domain": a.Domain, "publicIpv4Pool": a.Pool, "networkBorderGroup": a.Border}, err
}

func describeAddresses(x *exchange) (any, error) {
	if ips := x.in.Texts("PublicIp"); len(ips) > 0 {
		return nil, refuse("UnsupportedOperation", "The sandbox finds addresses by AllocationId and filters, not by PublicIp.")
	}
	return describe[address](x, kindAddress, "AllocationId", "addressesSet", nil)
}

// describeAddressesAttribute says what domain names addresses have: none.
func describeAddressesAttribute(x *exchange) (any, error) {
	var list []wire.Fields
	err := x.view(func(tx *world.Tx) error {
		found, err := gather[address](x, tx, kindAddress, "AllocationId")
		for _, a := range found {
			list = append(list, wire.Fields{"publicIp": a.IP, "allocationId": a.ID})
		}
		return err
	})
	return wire.Fields{"addressSet>item": list}, err
}

func releaseAddress(x *exchange) (any, error) {
	if err := x.needs("AllocationId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		a, err := load[address](x, tx, kindAddress, x.in.Text("AllocationId"))
		if err != nil {
			return err
		}
		if a.Association != "" {
			return refuse("InvalidIPAddress.InUse", "Address %s is in use.", a.IP)
		}
		return drop(tx, kindAddress, a, x.Effect(world.Deleted, kindAddress, a.ID, ""))
	})
	return wire.Fields{"return": true}, err
}

// nat is a NAT gateway, as it is kept and as it is shown. Deleted ones are shown for a while.
type nat struct {
	ID           string       `xml:"natGatewayId"`
	Subnet       string       `xml:"subnetId"`
	VPC          string       `xml:"vpcId"`
	Region       string       `xml:"-"`
	Zone         string       `xml:"-"`
	State        string       `xml:"state"`
	Connectivity string       `xml:"connectivityType"`
	Created      time.Time    `xml:"createTime"`
	Deleted      time.Time    `xml:"deleteTime"`
	FailureCode  string       `xml:"failureCode"`
	Failure      string       `xml:"failureMessage"`
	Addresses    []natAddress `xml:"natGatewayAddressSet>item"`
	Tags         tags         `xml:"tagSet>item"`
	// Token is that of the request that made it.
	Token string `xml:"-"`
}

type natAddress struct {
	Allocation  string `xml:"allocationId"`
	Association string `xml:"associationId"`
	Interface   string `xml:"networkInterfaceId"`
	Private     string `xml:"privateIp"`
	Public      string `xml:"publicIp"`
	Primary     bool   `xml:"isPrimary"`
	Status      string `xml:"status"`
	Failure     string `xml:"failureMessage"`
}

// lives says that it is not gone yet.
func (n nat) lives() bool { return n.State != "deleted" }

func (n nat) ident() string { return n.ID }
func (n nat) home() string  { return n.VPC }
func (n nat) place() string { return n.Region }
func (n nat) marks() tags   { return n.Tags }
func (n nat) attribute(name string) ([]string, bool) {
	switch name {
	case "nat-gateway-id":
		return filled(n.ID), true
	case "vpc-id":
		return filled(n.VPC), true
	case "subnet-id":
		return filled(n.Subnet), true
	case "state":
		return filled(n.State), true
	}
	return nil, false
}

// createNAT accepts, as the real one does, what then fails: an address that is in use, a VPC without a way out.
func createNAT(x *exchange) (any, error) {
	if err := x.needs("SubnetId", "AllocationId"); err != nil {
		return nil, err
	}
	if kind := x.in.Text("ConnectivityType"); kind != "" && kind != "public" {
		return nil, refuse("InvalidParameterValue", "The sandbox's NAT gateways have the connectivity type public, not %.20q.", kind)
	}
	marks, err := x.newTags(kindNAT)
	if err != nil {
		return nil, err
	}
	n := nat{ID: newID("nat"), Region: x.region, State: "pending", Connectivity: "public", Created: x.At, Tags: marks, Token: x.in.Text("ClientToken"),
		Subnet: x.in.Text("SubnetId")}
	err = x.commit(func(tx *world.Tx) error {
		s, err := load[subnet](x, tx, kindSubnet, n.Subnet)
		if err != nil {
			return err
		}
		a, err := load[address](x, tx, kindAddress, x.in.Text("AllocationId"))
		if err != nil {
			return err
		}
		same, err := all(tx, kindNAT, func(o nat) bool { return n.Token != "" && o.Token == n.Token && o.Region == n.Region })
		if err != nil {
			return err
		}
		if len(same) > 0 && (same[0].Subnet != n.Subnet || same[0].Addresses[0].Allocation != a.ID) {
			return refuse("IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request.")
		}
		if len(same) > 0 {
			n = same[0]
			return nil
		}
		n.VPC, n.Zone = s.VPC, s.Zone
		return x.addNAT(tx, &n, s, a)
	})
	return wire.Fields{"natGateway": n, "clientToken": n.Token}, err
}

func (x *exchange) addNAT(tx *world.Tx, n *nat, s subnet, a address) error {
	zone, err := all(tx, kindNAT, func(o nat) bool { return o.Zone == s.Zone && o.lives() && o.State != "failed" })
	if err != nil {
		return err
	}
	if len(zone) >= maxNATs {
		return x.overQuota()
	}
	t, err := x.begin(tx, n.ID, natCreation)
	if err != nil {
		return err
	}
	gateways, err := within(tx, kindGateway, x.region, func(g gateway) bool { return g.attachedTo(s.VPC) })
	if err != nil {
		return err
	}
	to := "available"
	n.Addresses = []natAddress{{Allocation: a.ID, Public: a.IP, Primary: true, Status: "associating"}}
	switch {
	case t.Fail != "":
		n.FailureCode, n.Failure, to = "InternalError", "Network interface creation failed: "+t.Fail, "failed"
	case a.Association != "":
		n.FailureCode, n.Failure, to = "Resource.AlreadyAssociated", "Elastic IP address ["+a.ID+"] is already associated", "failed"
	case len(gateways) == 0:
		n.FailureCode, n.Failure, to = "Gateway.NotAttached", "Network "+s.VPC+" has no Internet gateway attached", "failed"
	default:
		if err := x.housed(tx, n, s, a); err != nil {
			return err
		}
	}
	effect := x.Effect(world.Created, kindNAT, n.ID, n.Tags.name(n.ID))
	if effect.Tags = n.Tags.texts(); to == "available" && !t.Spoiled() {
		effect.ReadyAt = &t.Due
	}
	return errors.Join(put(tx, kindNAT, *n), start(tx, kindNAT, n.ID, to, t), tx.Record(effect))
}

// housed gives a NAT gateway its network interface, and that the address.
func (x *exchange) housed(tx *world.Tx, n *nat, s subnet, a address) error {
	i, err := x.newInterface(tx, s, "Interface for NAT Gateway "+n.ID)
	if err != nil {
		return err
	}
	i.Type, i.Requester, i.Managed, i.Status, i.Of = "nat_gateway", "amazon-nat", true, "in-use", n.ID
	a.Association, a.Interface, a.Owner, a.Private = newID("eipassoc"), i.ID, x.cloud.Account, i.Address
	i.Association = &interfaceAssociation{Allocation: a.ID, Association: a.Association, Owner: x.cloud.Account, IP: a.IP}
	n.Addresses[0].Interface, n.Addresses[0].Private, n.Addresses[0].Association = i.ID, i.Address, a.Association
	return errors.Join(put(tx, kindInterface, i), put(tx, kindAddress, a))
}

func finishNAT(tx *world.Tx, u underway, now time.Time) error {
	n, err := world.Get[nat](tx, ref(kindNAT, u.ID))
	if err != nil {
		return err
	}
	switch u.To {
	case "available":
		n.State, n.Addresses[0].Status = "available", "succeeded"
		return put(tx, kindNAT, n)
	case "failed":
		n.State, n.Addresses[0].Status, n.Addresses[0].Failure = "failed", "failed", n.Failure
		return put(tx, kindNAT, n)
	case "forgotten":
		return tx.Delete(ref(kindNAT, n.ID))
	}
	n.State, n.Deleted = "deleted", now
	asked := u.Transition.RequestedAt
	memory := world.Transition{Operation: u.Transition.Operation, Key: u.Transition.Key, RequestedAt: now, Due: u.Transition.Due.Add(u.Transition.Due.Sub(asked) * time.Duration(natMemory/natDeletion))}
	return errors.Join(put(tx, kindNAT, n), start(tx, kindNAT, n.ID, "forgotten", memory), unhouse(tx, n.ID, n.VPC),
		tx.Record(world.Effect{Provider: Name, Operation: u.Transition.Operation, Kind: world.Deleted, Resource: kindNAT, ID: n.ID, Name: n.Tags.name(n.ID),
			Tags: n.Tags.texts(), Key: u.Transition.Key, Parent: n.VPC, RequestedAt: &asked, ReadyAt: &now}))
}

func describeNATs(x *exchange) (any, error) {
	return describe[nat](x, kindNAT, "NatGatewayId", "natGatewaySet", nil)
}

func deleteNAT(x *exchange) (any, error) {
	if err := x.needs("NatGatewayId"); err != nil {
		return nil, err
	}
	id := x.in.Text("NatGatewayId")
	err := x.commit(func(tx *world.Tx) error {
		n, err := load[nat](x, tx, kindNAT, id)
		if err != nil {
			return err
		}
		if n.State == "deleting" || n.State == "deleted" {
			return nil
		}
		t, err := x.BeginEnd(tx, id, natDeletion)
		n.State = "deleting"
		return errors.Join(err, put(tx, kindNAT, n), start(tx, kindNAT, id, "deleted", t))
	})
	return wire.Fields{"natGatewayId": id}, err
}
