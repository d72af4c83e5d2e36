package aws

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

const permission = "GroupId IpPermissions TagSpecification"

var groupOperations = []operation{
	{name: "CreateSecurityGroup", takes: "GroupName GroupDescription VpcId TagSpecification", handle: createGroup},
	{name: "DescribeSecurityGroups", takes: "GroupId GroupName" + paged, handle: describeGroups},
	{name: "DescribeSecurityGroupRules", takes: "SecurityGroupRuleId" + paged, handle: describeRules},
	{name: "AuthorizeSecurityGroupIngress", takes: permission, handle: authorizeIngress},
	{name: "AuthorizeSecurityGroupEgress", takes: permission, handle: authorizeEgress},
	{name: "RevokeSecurityGroupIngress", takes: "GroupId IpPermissions SecurityGroupRuleId", handle: revokeIngress},
	{name: "RevokeSecurityGroupEgress", takes: "GroupId IpPermissions SecurityGroupRuleId", handle: revokeEgress},
	{name: "DeleteSecurityGroup", takes: "GroupId", handle: deleteGroup},
}

// group is a security group, as it is kept; what is shown of it has its rules gathered to permissions.
type group struct {
	ID          string      `xml:"groupId"`
	Name        string      `xml:"groupName"`
	Description string      `xml:"groupDescription"`
	ARN         string      `xml:"securityGroupArn"`
	VPC         string      `xml:"vpcId"`
	Region      string      `xml:"-"`
	Owner       string      `xml:"ownerId"`
	Rules       []rule      `xml:"-"`
	Ingress     []permitted `xml:"ipPermissions>item"`
	Egress      []permitted `xml:"ipPermissionsEgress>item"`
	Tags        tags        `xml:"tagSet>item"`
	// Cluster is the ARN of the cluster that made it, if one did.
	Cluster string `xml:"-"`
}

// rule is one of a group's rules.
type rule struct {
	ID          string          `xml:"securityGroupRuleId"`
	Group       string          `xml:"groupId"`
	Owner       string          `xml:"groupOwnerId"`
	Egress      bool            `xml:"isEgress"`
	Protocol    string          `xml:"ipProtocol"`
	From        int             `xml:"fromPort"`
	To          int             `xml:"toPort"`
	CIDR        string          `xml:"cidrIpv4"`
	Six         string          `xml:"cidrIpv6"`
	Other       *referencedRule `xml:"referencedGroupInfo"`
	Description string          `xml:"description"`
	Tags        tags            `xml:"tagSet>item"`
}

type referencedRule struct {
	Group string `xml:"groupId"`
	User  string `xml:"userId"`
}

// permitted is what rules of one protocol and range of ports permit.
type permitted struct {
	Protocol string        `xml:"ipProtocol"`
	From     *int          `xml:"fromPort"`
	To       *int          `xml:"toPort"`
	Groups   []wire.Fields `xml:"groups>item"`
	Ranges   []wire.Fields `xml:"ipRanges>item"`
	Six      []wire.Fields `xml:"ipv6Ranges>item"`
	Prefixes []wire.Fields `xml:"prefixListIds>item"`
}

func (g group) ident() string { return g.ID }
func (g group) home() string  { return g.VPC }
func (g group) place() string { return g.Region }
func (g group) marks() tags   { return g.Tags }
func (g group) attribute(name string) ([]string, bool) {
	switch name {
	case "vpc-id":
		return filled(g.VPC), true
	case "group-id":
		return filled(g.ID), true
	case "group-name":
		return filled(g.Name), true
	case "description":
		return filled(g.Description), true
	case "owner-id":
		return filled(g.Owner), true
	case "ip-permission.group-id":
		return g.referenced(), true
	}
	return nil, false
}

// referenced are the groups that its rules are about.
func (g group) referenced() []string {
	var ids []string
	for _, r := range g.Rules {
		if r.Other != nil {
			ids = append(ids, r.Other.Group)
		}
	}
	return ids
}

// shown is the group with its rules gathered.
func (g group) shown() group {
	g.Ingress, g.Egress = []permitted{}, []permitted{}
	for _, r := range g.Rules {
		list := &g.Ingress
		if r.Egress {
			list = &g.Egress
		}
		i := slices.IndexFunc(*list, func(p permitted) bool {
			return p.Protocol == r.Protocol && (p.From == nil || *p.From == r.From && *p.To == r.To)
		})
		if i < 0 {
			p := permitted{Protocol: r.Protocol, Groups: []wire.Fields{}, Ranges: []wire.Fields{}, Six: []wire.Fields{}, Prefixes: []wire.Fields{}}
			if r.Protocol != "-1" {
				p.From, p.To = &r.From, &r.To
			}
			*list, i = append(*list, p), len(*list)
		}
		p := &(*list)[i]
		switch {
		case r.Other != nil:
			p.Groups = append(p.Groups, wire.Fields{"groupId": r.Other.Group, "userId": r.Other.User, "description": r.Description})
		case r.Six != "":
			p.Six = append(p.Six, wire.Fields{"cidrIpv6": r.Six, "description": r.Description})
		default:
			p.Ranges = append(p.Ranges, wire.Fields{"cidrIp": r.CIDR, "description": r.Description})
		}
	}
	return g
}

// anywhere is the rule that lets everything out, which every new group has.
func anywhere(g group) rule {
	return rule{ID: newID("sgr"), Group: g.ID, Owner: g.Owner, Egress: true, Protocol: "-1", From: -1, To: -1, CIDR: "0.0.0.0/0", Tags: tags{}}
}

// amongItself is the rule that lets everything in from the group itself.
func amongItself(g group) rule {
	return rule{ID: newID("sgr"), Group: g.ID, Owner: g.Owner, Protocol: "-1", From: -1, To: -1, Other: &referencedRule{g.ID, g.Owner}, Tags: tags{}}
}

func newGroup(account string, v vpc, name, description string, marks tags) group {
	id := newID("sg")
	g := group{ID: id, Name: name, Description: description, VPC: v.ID, Region: v.Region, Owner: account, Tags: marks,
		ARN: fmt.Sprintf("arn:aws:ec2:%s:%s:security-group/%s", v.Region, account, id)}
	g.Rules = []rule{anywhere(g)}
	return g
}

func defaultGroup(v vpc) group {
	g := newGroup(v.Owner, v, "default", "default VPC security group", tags{})
	g.Rules = append(g.Rules, amongItself(g))
	return g
}

func createGroup(x *exchange) (any, error) {
	if err := x.needs("GroupName", "GroupDescription", "VpcId"); err != nil {
		return nil, err
	}
	marks, err := x.newTags(kindGroup)
	if err != nil {
		return nil, err
	}
	name := x.in.Text("GroupName")
	if strings.HasPrefix(name, "sg-") || len(name) > 255 {
		return nil, refuse("InvalidParameterValue", "Value (%.260s) for parameter GroupName is invalid.", name)
	}
	var g group
	err = x.commit(func(tx *world.Tx) error {
		v, err := load[vpc](x, tx, kindVPC, x.in.Text("VpcId"))
		if err != nil {
			return err
		}
		others, err := within(tx, kindGroup, v.ID, func(o group) bool { return o.Name == name })
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return refuse("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, v.ID)
		}
		g = newGroup(x.cloud.Account, v, name, x.in.Text("GroupDescription"), marks)
		return errors.Join(put(tx, kindGroup, g), x.record(tx, world.Created, kindGroup, g.ID, marks.name(g.ID), marks))
	})
	return wire.Fields{"groupId": g.ID, "tagSet>item": marks, "securityGroupArn": g.ARN}, err
}

func describeGroups(x *exchange) (any, error) {
	if x.in.Has("GroupName") {
		return nil, refuse("InvalidParameterValue", "Groups of a VPC are found by GroupId or by the filter group-name")
	}
	return describe(x, kindGroup, "GroupId", "securityGroupInfo", func(_ *world.Tx, list []group) error {
		for i := range list {
			list[i] = list[i].shown()
		}
		return nil
	})
}

// ruleRow is a rule as a list shows it.
type ruleRow struct{ rule }

func (r ruleRow) ident() string { return r.ID }
func (r ruleRow) home() string  { return r.Group }
func (r ruleRow) place() string { return "" }
func (r ruleRow) marks() tags   { return r.Tags }
func (r ruleRow) attribute(name string) ([]string, bool) {
	switch name {
	case "group-id":
		return filled(r.Group), true
	case "security-group-rule-id":
		return filled(r.ID), true
	}
	return nil, false
}

func describeRules(x *exchange) (any, error) {
	rows := []ruleRow{}
	wanted := x.in.Texts("SecurityGroupRuleId")
	err := x.view(func(tx *world.Tx) error {
		groups, err := all(tx, kindGroup, func(g group) bool { return g.Region == x.region })
		for _, g := range groups {
			for _, r := range g.Rules {
				if len(wanted) == 0 || slices.Contains(wanted, r.ID) {
					rows = append(rows, ruleRow{r})
				}
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(rows) < len(wanted) {
		return nil, refuse("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%.40s' does not exist", wanted[0])
	}
	if rows, err = sift(rows, x.filters()); err != nil {
		return nil, err
	}
	page, next, err := paginate(x, rows, len(wanted) > 0)
	return wire.Fields{"securityGroupRuleSet>item": page, "nextToken": next}, err
}

// permissions reads the rules of a request.
func (x *exchange) permissions(g group, egress bool) ([]rule, error) {
	var rules []rule
	for _, p := range x.in.Items("IpPermissions") {
		base := rule{Group: g.ID, Owner: g.Owner, Egress: egress, Protocol: p.Text("IpProtocol"), Tags: tags{}}
		var err, other error
		base.From, err = p.Number("FromPort", -1)
		base.To, other = p.Number("ToPort", -1)
		if err := errors.Join(err, other); err != nil || base.Protocol == "" || base.From > 65535 || base.To > 65535 {
			return nil, refuse("InvalidPermission.Malformed", "A permission needs a protocol and a range of ports")
		}
		add := func(r rule) {
			r.ID = newID("sgr")
			rules = append(rules, r)
		}
		for _, one := range p.Items("IpRanges") {
			r := base
			r.CIDR, r.Description = one.Text("CidrIp"), one.Text("Description")
			if prefix, err := netip.ParsePrefix(r.CIDR); err != nil || !prefix.Addr().Is4() {
				return nil, refuse("InvalidParameterValue", "CIDR block %.40s is malformed", r.CIDR)
			}
			add(r)
		}
		for _, one := range p.Items("Ipv6Ranges") {
			r := base
			r.Six, r.Description = one.Text("CidrIpv6"), one.Text("Description")
			if prefix, err := netip.ParsePrefix(r.Six); err != nil || !prefix.Addr().Is6() {
				return nil, refuse("InvalidParameterValue", "CIDR block %.60s is malformed", r.Six)
			}
			add(r)
		}
		for _, one := range p.Items("Groups") {
			r := base
			r.Other, r.Description = &referencedRule{one.Text("GroupId"), g.Owner}, one.Text("Description")
			add(r)
		}
	}
	if len(rules) == 0 {
		return nil, refuse("MissingParameter", "The request must contain the parameter ipPermissions")
	}
	return rules, nil
}

// same says that two rules permit the same.
func (r rule) same(o rule) bool {
	other := func(r rule) string {
		if r.Other == nil {
			return ""
		}
		return r.Other.Group
	}
	return r.Egress == o.Egress && r.Protocol == o.Protocol && r.From == o.From && r.To == o.To && r.CIDR == o.CIDR && r.Six == o.Six && other(r) == other(o)
}

func authorizeIngress(x *exchange) (any, error) { return x.permit(false) }

func authorizeEgress(x *exchange) (any, error) { return x.permit(true) }

func (x *exchange) permit(egress bool) (any, error) {
	var made []rule
	err := x.editGroup(func(tx *world.Tx, g *group) (err error) {
		if made, err = x.permissions(*g, egress); err != nil {
			return err
		}
		for _, r := range made {
			if r.Other != nil {
				if _, err := load[group](x, tx, kindGroup, r.Other.Group); err != nil {
					return err
				}
			}
			if slices.ContainsFunc(g.Rules, r.same) {
				return refuse("InvalidPermission.Duplicate", "the specified rule \"peer: %s%s, %s, from port: %s, to port: %s, ALLOW\" already exists",
					r.CIDR, r.Six, r.Protocol, strconv.Itoa(r.From), strconv.Itoa(r.To))
			}
			g.Rules = append(g.Rules, r)
		}
		return nil
	})
	return wire.Fields{"return": true, "securityGroupRuleSet>item": made}, err
}

func revokeIngress(x *exchange) (any, error) { return x.revoke(false) }

func revokeEgress(x *exchange) (any, error) { return x.revoke(true) }

func (x *exchange) revoke(egress bool) (any, error) {
	ids := x.in.Texts("SecurityGroupRuleId")
	err := x.editGroup(func(_ *world.Tx, g *group) error {
		named := func(r rule) bool { return slices.Contains(ids, r.ID) }
		if len(ids) == 0 {
			rules, err := x.permissions(*g, egress)
			if err != nil {
				return err
			}
			named = func(r rule) bool { return slices.ContainsFunc(rules, r.same) }
		}
		before := len(g.Rules)
		g.Rules = slices.DeleteFunc(g.Rules, named)
		if len(g.Rules) == before {
			return refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
		return nil
	})
	return wire.Fields{"return": true}, err
}

func (x *exchange) editGroup(how func(*world.Tx, *group) error) error {
	if err := x.needs("GroupId"); err != nil {
		return err
	}
	return x.commit(func(tx *world.Tx) error {
		g, err := load[group](x, tx, kindGroup, x.in.Text("GroupId"))
		if err == nil {
			err = how(tx, &g)
		}
		if err != nil {
			return err
		}
		return errors.Join(put(tx, kindGroup, g), x.record(tx, world.Updated, kindGroup, g.ID, g.Tags.name(g.ID), g.Tags))
	})
}

// deleteGroup deletes a group that no interface has and no other group's rules name.
func deleteGroup(x *exchange) (any, error) {
	if err := x.needs("GroupId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		g, err := load[group](x, tx, kindGroup, x.in.Text("GroupId"))
		if err != nil {
			return err
		}
		if g.Name == "default" {
			return refuse("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.ID)
		}
		used, err := groupInUse(tx, g)
		if err != nil {
			return err
		}
		if used {
			return refuse("DependencyViolation", "resource %s has a dependent object", g.ID)
		}
		return drop(tx, kindGroup, g, x.Effect(world.Deleted, kindGroup, g.ID, ""))
	})
	return wire.Fields{"return": true, "groupId": x.in.Text("GroupId")}, err
}

func groupInUse(tx *world.Tx, g group) (bool, error) {
	carriers, err := within(tx, kindInterface, g.VPC, func(i netInterface) bool {
		return slices.ContainsFunc(i.Groups, func(n groupName) bool { return n.ID == g.ID })
	})
	if err != nil {
		return false, err
	}
	naming, err := within(tx, kindGroup, g.VPC, func(o group) bool { return o.ID != g.ID && slices.Contains(o.referenced(), g.ID) })
	return len(carriers)+len(naming) > 0, err
}
