package aws

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

var networkOperations = []operation{
	{name: "CreateVpc", takes: "CidrBlock InstanceTenancy TagSpecification", handle: createVPC},
	{name: "DescribeVpcs", takes: "VpcId" + paged, handle: describeVPCs},
	{name: "DescribeVpcAttribute", takes: "VpcId Attribute", handle: describeVPCAttribute},
	{name: "ModifyVpcAttribute", takes: "VpcId EnableDnsSupport EnableDnsHostnames EnableNetworkAddressUsageMetrics", handle: modifyVPCAttribute},
	{name: "DeleteVpc", takes: "VpcId", handle: deleteVPC},
	{name: "CreateSubnet", takes: "VpcId CidrBlock AvailabilityZone AvailabilityZoneId TagSpecification", handle: createSubnet},
	{name: "DescribeSubnets", takes: "SubnetId" + paged, handle: describeSubnets},
	{name: "ModifySubnetAttribute", takes: "SubnetId MapPublicIpOnLaunch", handle: modifySubnetAttribute},
	{name: "DeleteSubnet", takes: "SubnetId", handle: deleteSubnet},
	{name: "CreateRouteTable", takes: "VpcId ClientToken TagSpecification", handle: createRouteTable},
	{name: "DescribeRouteTables", takes: "RouteTableId" + paged, handle: describeRouteTables},
	{name: "CreateRoute", takes: "RouteTableId DestinationCidrBlock GatewayId NatGatewayId", handle: createRoute},
	{name: "ReplaceRoute", takes: "RouteTableId DestinationCidrBlock GatewayId NatGatewayId", handle: replaceRoute},
	{name: "DeleteRoute", takes: "RouteTableId DestinationCidrBlock", handle: deleteRoute},
	{name: "AssociateRouteTable", takes: "RouteTableId SubnetId", handle: associateRouteTable},
	{name: "DisassociateRouteTable", takes: "AssociationId", handle: disassociateRouteTable},
	{name: "DeleteRouteTable", takes: "RouteTableId", handle: deleteRouteTable},
	{name: "DescribeNetworkAcls", takes: "NetworkAclId" + paged, handle: describeACLs},
	{name: "DescribeNetworkInterfaces", takes: "NetworkInterfaceId" + paged, handle: describeInterfaces},
	{name: "DeleteNetworkInterface", takes: "NetworkInterfaceId", handle: deleteInterface},
}

// vpc is a VPC, as it is kept and as it is shown.
type vpc struct {
	ID         string            `xml:"vpcId"`
	Region     string            `xml:"-"`
	Owner      string            `xml:"ownerId"`
	CIDR       string            `xml:"cidrBlock"`
	State      string            `xml:"state"`
	Options    string            `xml:"dhcpOptionsId"`
	Tenancy    string            `xml:"instanceTenancy"`
	Default    bool              `xml:"isDefault"`
	Blocks     []cidrAssociation `xml:"cidrBlockAssociationSet>item"`
	Tags       tags              `xml:"tagSet>item"`
	Attributes map[string]bool   `xml:"-"`
}

type cidrAssociation struct {
	ID    string    `xml:"associationId"`
	CIDR  string    `xml:"cidrBlock"`
	State cidrState `xml:"cidrBlockState"`
}

type cidrState struct {
	State string `xml:"state"`
}

func (v vpc) ident() string { return v.ID }
func (v vpc) home() string  { return v.Region }
func (v vpc) place() string { return v.Region }
func (v vpc) marks() tags   { return v.Tags }
func (v vpc) attribute(name string) ([]string, bool) {
	switch name {
	case "vpc-id":
		return filled(v.ID), true
	case "cidr", "cidr-block-association.cidr-block":
		return filled(v.CIDR), true
	case "state":
		return filled(v.State), true
	case "is-default", "isDefault":
		return []string{flag(v.Default)}, true
	case "owner-id":
		return filled(v.Owner), true
	case "dhcp-options-id":
		return filled(v.Options), true
	}
	return nil, false
}

// parseRange reads a network that a VPC or a subnet can have.
func parseRange(text, code string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || !prefix.Addr().Is4() {
		return prefix, refuse("InvalidParameterValue", "Value (%.40s) for parameter cidrBlock is invalid. This is not a valid CIDR block.", text)
	}
	if prefix.Bits() < 16 || prefix.Bits() > 28 {
		return prefix, refuse(code, "The CIDR '%s' is invalid.", text)
	}
	return prefix.Masked(), nil
}

func createVPC(x *exchange) (any, error) {
	if err := x.needs("CidrBlock"); err != nil {
		return nil, err
	}
	block, err := parseRange(x.in.Text("CidrBlock"), "InvalidVpc.Range")
	if err != nil {
		return nil, err
	}
	if tenancy := x.in.Text("InstanceTenancy"); tenancy != "" && tenancy != "default" {
		return nil, refuse("InvalidParameterValue", "The sandbox's VPCs have the tenancy default, not %.20q.", tenancy)
	}
	marks, err := x.newTags(kindVPC)
	if err != nil {
		return nil, err
	}
	v := vpc{ID: newID("vpc"), Region: x.region, Owner: x.cloud.Account, CIDR: block.String(), State: "pending", Options: "dopt-" + hexHash([]byte(x.region))[:17],
		Tenancy: "default", Tags: marks, Attributes: map[string]bool{"enableDnsSupport": true},
		Blocks: []cidrAssociation{{ID: newID("vpc-cidr-assoc"), CIDR: block.String(), State: cidrState{"associated"}}}}
	err = x.commit(func(tx *world.Tx) error {
		others, err := within[vpc](tx, kindVPC, x.region, nil)
		if err != nil {
			return err
		}
		if len(others) >= maxVPCs {
			return x.overQuota()
		}
		return x.addVPC(tx, v)
	})
	return wire.Fields{"vpc": v}, err
}

// addVPC makes a VPC with what every VPC has from the beginning: a main route table, a network ACL and a security group.
func (x *exchange) addVPC(tx *world.Tx, v vpc) error {
	t, err := x.begin(tx, v.ID, vpcCreation)
	if err != nil {
		return err
	}
	main := routeTable{ID: newID("rtb"), VPC: v.ID, Region: v.Region, Owner: v.Owner, Routes: localRoutes(v.CIDR), Tags: tags{}}
	main.Associations = []routeAssociation{{ID: newID("rtbassoc"), Table: main.ID, Main: true, State: associated}}
	return errors.Join(put(tx, kindVPC, v), start(tx, kindVPC, v.ID, "available", t), put(tx, kindRouteTable, main),
		put(tx, kindACL, defaultACL(v)), put(tx, kindGroup, defaultGroup(v)), x.record(tx, world.Created, kindVPC, v.ID, v.Tags.name(v.ID), v.Tags))
}

func finishVPC(tx *world.Tx, u underway, _ time.Time) error {
	return change(tx, kindVPC, u.ID, func(v *vpc) { v.State = u.To })
}

func describeVPCs(x *exchange) (any, error) { return describe[vpc](x, kindVPC, "VpcId", "vpcSet", nil) }

// vpcAttributes are those that a VPC has, by their names in requests.
var vpcAttributes = map[string]string{"EnableDnsSupport": "enableDnsSupport", "EnableDnsHostnames": "enableDnsHostnames",
	"EnableNetworkAddressUsageMetrics": "enableNetworkAddressUsageMetrics"}

func describeVPCAttribute(x *exchange) (any, error) {
	if err := x.needs("VpcId", "Attribute"); err != nil {
		return nil, err
	}
	name := x.in.Text("Attribute")
	var v vpc
	err := x.view(func(tx *world.Tx) (err error) {
		v, err = load[vpc](x, tx, kindVPC, x.in.Text("VpcId"))
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, known := range vpcAttributes {
		if known == name {
			return wire.Fields{"vpcId": v.ID, name: wire.Fields{"value": v.Attributes[name]}}, nil
		}
	}
	return nil, refuse("InvalidParameterValue", "Value (%.60s) for parameter attribute is invalid. Unknown attribute.", name)
}

func modifyVPCAttribute(x *exchange) (any, error) {
	if err := x.needs("VpcId"); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	for parameter, name := range vpcAttributes {
		if x.in.Has(parameter) {
			value, err := x.in.Get(parameter).Flag("Value", false)
			if err != nil {
				return nil, refuse("InvalidParameterValue", "%v", err)
			}
			given[name] = value
		}
	}
	if len(given) != 1 {
		return nil, refuse("InvalidParameterCombination", "Exactly one attribute can be changed in a request, not %d", len(given))
	}
	err := x.commit(func(tx *world.Tx) error {
		v, err := load[vpc](x, tx, kindVPC, x.in.Text("VpcId"))
		if err != nil {
			return err
		}
		for name, value := range given {
			v.Attributes[name] = value
		}
		return errors.Join(put(tx, kindVPC, v), x.record(tx, world.Updated, kindVPC, v.ID, v.Tags.name(v.ID), v.Tags))
	})
	return wire.Fields{"return": true}, err
}

// deleteVPC deletes a VPC and what was made with it; everything else must have gone before.
func deleteVPC(x *exchange) (any, error) {
	if err := x.needs("VpcId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		v, err := load[vpc](x, tx, kindVPC, x.in.Text("VpcId"))
		if err != nil {
			return err
		}
		tables, err := within[routeTable](tx, kindRouteTable, v.ID, nil)
		if err != nil {
			return err
		}
		groups, err := within[group](tx, kindGroup, v.ID, nil)
		if err != nil {
			return err
		}
		inside, err := inhabitants(tx, v.ID)
		if err != nil {
			return err
		}
		if inside > 0 || len(tables) > 1 || len(groups) > 1 {
			return refuse("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", v.ID)
		}
		acls, err := within[acl](tx, kindACL, v.ID, nil)
		for _, a := range acls {
			err = errors.Join(err, tx.Delete(ref(kindACL, a.ID)))
		}
		for _, t := range tables {
			err = errors.Join(err, tx.Delete(ref(kindRouteTable, t.ID)))
		}
		for _, g := range groups {
			err = errors.Join(err, tx.Delete(ref(kindGroup, g.ID)))
		}
		return errors.Join(err, drop(tx, kindVPC, v, x.Effect(world.Deleted, kindVPC, v.ID, "")))
	})
	return wire.Fields{"return": true}, err
}

// inhabitants counts what is in a VPC and keeps it: subnets, network interfaces, NAT and internet gateways.
func inhabitants(tx *world.Tx, id string) (int, error) {
	subnets, err := within[subnet](tx, kindSubnet, id, nil)
	if err != nil {
		return 0, err
	}
	interfaces, err := within[netInterface](tx, kindInterface, id, nil)
	if err != nil {
		return 0, err
	}
	nats, err := within(tx, kindNAT, id, nat.lives)
	if err != nil {
		return 0, err
	}
	gateways, err := all(tx, kindGateway, func(g gateway) bool { return g.attachedTo(id) })
	return len(subnets) + len(interfaces) + len(nats) + len(gateways), err
}

// subnet is a subnet, as it is kept and as it is shown.
type subnet struct {
	ID        string      `xml:"subnetId"`
	ARN       string      `xml:"subnetArn"`
	VPC       string      `xml:"vpcId"`
	Region    string      `xml:"-"`
	Owner     string      `xml:"ownerId"`
	CIDR      string      `xml:"cidrBlock"`
	Zone      string      `xml:"availabilityZone"`
	ZoneID    string      `xml:"availabilityZoneId"`
	State     string      `xml:"state"`
	Free      int         `xml:"availableIpAddressCount"`
	Default   bool        `xml:"defaultForAz"`
	MapPublic bool        `xml:"mapPublicIpOnLaunch"`
	OfCustom  bool        `xml:"mapCustomerOwnedIpOnLaunch"`
	AssignSix bool        `xml:"assignIpv6AddressOnCreation"`
	Six       []struct{}  `xml:"ipv6CidrBlockAssociationSet>item"`
	DNS64     bool        `xml:"enableDns64"`
	Native    bool        `xml:"ipv6Native"`
	Hostnames hostOptions `xml:"privateDnsNameOptionsOnLaunch"`
	Tags      tags        `xml:"tagSet>item"`
}

type hostOptions struct {
	Type string `xml:"hostnameType"`
	A    bool   `xml:"enableResourceNameDnsARecord"`
	AAAA bool   `xml:"enableResourceNameDnsAAAARecord"`
}

func (s subnet) ident() string { return s.ID }
func (s subnet) home() string  { return s.VPC }
func (s subnet) place() string { return s.Region }
func (s subnet) marks() tags   { return s.Tags }
func (s subnet) attribute(name string) ([]string, bool) {
	switch name {
	case "vpc-id":
		return filled(s.VPC), true
	case "subnet-id":
		return filled(s.ID), true
	case "availability-zone", "availabilityZone":
		return filled(s.Zone), true
	case "availability-zone-id":
		return filled(s.ZoneID), true
	case "cidr-block", "cidr", "cidrBlock":
		return filled(s.CIDR), true
	case "state":
		return filled(s.State), true
	case "default-for-az":
		return []string{flag(s.Default)}, true
	case "map-public-ip-on-launch":
		return []string{flag(s.MapPublic)}, true
	case "owner-id":
		return filled(s.Owner), true
	}
	return nil, false
}

// zoneOf is the zone that a request names by one of two ways.
func (x *exchange) zoneOf() (string, error) {
	where, _ := findRegion(x.region)
	zones := where.zoneNames()
	name, id := x.in.Text("AvailabilityZone"), x.in.Text("AvailabilityZoneId")
	if name == "" && id == "" {
		return zones[0], nil
	}
	for _, zone := range zones {
		if zone == name || where.zoneID(zone) == id {
			return zone, nil
		}
	}
	return "", refuse("InvalidParameterValue", "Value (%.40s%.40s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.",
		name, id, joined(zones))
}

func createSubnet(x *exchange) (any, error) {
	if err := x.needs("VpcId", "CidrBlock"); err != nil {
		return nil, err
	}
	block, err := parseRange(x.in.Text("CidrBlock"), "InvalidSubnet.Range")
	if err != nil {
		return nil, err
	}
	zone, err := x.zoneOf()
	if err != nil {
		return nil, err
	}
	marks, err := x.newTags(kindSubnet)
	if err != nil {
		return nil, err
	}
	where, _ := findRegion(x.region)
	id := newID("subnet")
	s := subnet{ID: id, ARN: x.arn("ec2", "subnet/"+id), VPC: x.in.Text("VpcId"), Region: x.region, Owner: x.cloud.Account, CIDR: block.String(), Zone: zone,
		ZoneID: where.zoneID(zone), State: "pending", Free: room(block), Hostnames: hostOptions{Type: "ip-name"}, Six: []struct{}{}, Tags: marks}
	err = x.commit(func(tx *world.Tx) error {
		if err := x.fitSubnet(tx, s, block); err != nil {
			return err
		}
		t, err := x.begin(tx, id, subnetCreation)
		return errors.Join(err, put(tx, kindSubnet, s), start(tx, kindSubnet, id, "available", t),
			x.record(tx, world.Created, kindSubnet, id, marks.name(id), marks))
	})
	return wire.Fields{"subnet": s}, err
}

// room is how many addresses a subnet has for others: AWS keeps five.
func room(block netip.Prefix) int { return 1<<(32-block.Bits()) - 5 }

// fitSubnet refuses a subnet that does not lie in its VPC, or not alone.
func (x *exchange) fitSubnet(tx *world.Tx, s subnet, block netip.Prefix) error {
	v, err := load[vpc](x, tx, kindVPC, s.VPC)
	if err != nil {
		return err
	}
	whole := netip.MustParsePrefix(v.CIDR)
	if !whole.Contains(block.Addr()) || block.Bits() < whole.Bits() {
		return refuse("InvalidSubnet.Range", "The CIDR '%s' is invalid.", s.CIDR)
	}
	others, err := within[subnet](tx, kindSubnet, v.ID, nil)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(others, func(o subnet) bool { return netip.MustParsePrefix(o.CIDR).Overlaps(block) }) {
		return refuse("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", s.CIDR)
	}
	if len(others) >= maxSubnets {
		return x.overQuota()
	}
	return nil
}

func finishSubnet(tx *world.Tx, u underway, _ time.Time) error {
	return change(tx, kindSubnet, u.ID, func(s *subnet) { s.State = u.To })
}

func describeSubnets(x *exchange) (any, error) {
	return describe(x, kindSubnet, "SubnetId", "subnetSet", func(tx *world.Tx, list []subnet) error {
		for i, s := range list {
			used, err := usedIn(tx, s)
			if err != nil {
				return err
			}
			list[i].Free = room(netip.MustParsePrefix(s.CIDR)) - len(used)
		}
		return nil
	})
}

func modifySubnetAttribute(x *exchange) (any, error) {
	if err := x.needs("SubnetId"); err != nil {
		return nil, err
	}
	public, err := x.in.Get("MapPublicIpOnLaunch").Flag("Value", false)
	if err != nil {
		return nil, refuse("InvalidParameterValue", "%v", err)
	}
	err = x.commit(func(tx *world.Tx) error {
		s, err := load[subnet](x, tx, kindSubnet, x.in.Text("SubnetId"))
		if err != nil {
			return err
		}
		s.MapPublic = public
		return errors.Join(put(tx, kindSubnet, s), x.record(tx, world.Updated, kindSubnet, s.ID, s.Tags.name(s.ID), s.Tags))
	})
	return wire.Fields{"return": true}, err
}

// deleteSubnet deletes a subnet in which there is no network interface; a NAT gateway has one.
func deleteSubnet(x *exchange) (any, error) {
	if err := x.needs("SubnetId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		s, err := load[subnet](x, tx, kindSubnet, x.in.Text("SubnetId"))
		if err != nil {
			return err
		}
		inside, err := within(tx, kindInterface, s.VPC, func(i netInterface) bool { return i.Subnet == s.ID })
		if err != nil {
			return err
		}
		if len(inside) > 0 {
			return refuse("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", s.ID)
		}
		tables, err := within[routeTable](tx, kindRouteTable, s.VPC, nil)
		if err != nil {
			return err
		}
		for _, t := range tables {
			if t.dissociate(func(a routeAssociation) bool { return a.Subnet == s.ID }) {
				err = errors.Join(err, put(tx, kindRouteTable, t))
			}
		}
		return errors.Join(err, drop(tx, kindSubnet, s, x.Effect(world.Deleted, kindSubnet, s.ID, "")))
	})
	return wire.Fields{"return": true}, err
}

func joined(list []string) string {
	text := ""
	for i, one := range list {
		if i > 0 {
			text += ", "
		}
		text += one
	}
	return text
}

// acl is a network ACL. The only ones there are were made with their VPC, and let everything pass.
type acl struct {
	ID           string           `xml:"networkAclId"`
	VPC          string           `xml:"vpcId"`
	Region       string           `xml:"-"`
	Owner        string           `xml:"ownerId"`
	Default      bool             `xml:"default"`
	Entries      []aclEntry       `xml:"entrySet>item"`
	Associations []aclAssociation `xml:"associationSet>item"`
	Tags         tags             `xml:"tagSet>item"`
}

type aclEntry struct {
	Number   int    `xml:"ruleNumber"`
	Protocol string `xml:"protocol"`
	Action   string `xml:"ruleAction"`
	Egress   bool   `xml:"egress"`
	CIDR     string `xml:"cidrBlock"`
}

type aclAssociation struct {
	ID     string `xml:"networkAclAssociationId"`
	ACL    string `xml:"networkAclId"`
	Subnet string `xml:"subnetId"`
}

func defaultACL(v vpc) acl {
	a := acl{ID: newID("acl"), VPC: v.ID, Region: v.Region, Owner: v.Owner, Default: true, Tags: tags{}, Associations: []aclAssociation{}}
	for _, egress := range []bool{true, false} {
		a.Entries = append(a.Entries, aclEntry{100, "-1", "allow", egress, "0.0.0.0/0"}, aclEntry{32767, "-1", "deny", egress, "0.0.0.0/0"})
	}
	return a
}

func (a acl) ident() string { return a.ID }
func (a acl) home() string  { return a.VPC }
func (a acl) place() string { return a.Region }
func (a acl) marks() tags   { return a.Tags }
func (a acl) attribute(name string) ([]string, bool) {
	switch name {
	case "vpc-id":
		return filled(a.VPC), true
	case "network-acl-id":
		return filled(a.ID), true
	case "default":
		return []string{flag(a.Default)}, true
	case "association.subnet-id":
		var ids []string
		for _, one := range a.Associations {
			ids = append(ids, one.Subnet)
		}
		return ids, true
	}
	return nil, false
}

func describeACLs(x *exchange) (any, error) {
	return describe(x, kindACL, "NetworkAclId", "networkAclSet", func(tx *world.Tx, list []acl) error {
		for i, a := range list {
			subnets, err := within[subnet](tx, kindSubnet, a.VPC, nil)
			if err != nil {
				return err
			}
			for _, s := range subnets { // every subnet has the VPC's own
				list[i].Associations = append(list[i].Associations, aclAssociation{fmt.Sprintf("aclassoc-%s", s.ID[len("subnet-"):]), a.ID, s.ID})
			}
		}
		return nil
	})
}
