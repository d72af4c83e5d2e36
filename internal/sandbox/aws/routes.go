package aws

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

// routeTable is a route table, as it is kept and as it is shown.
type routeTable struct {
	ID           string             `xml:"routeTableId"`
	VPC          string             `xml:"vpcId"`
	Region       string             `xml:"-"`
	Owner        string             `xml:"ownerId"`
	Routes       []route            `xml:"routeSet>item"`
	Associations []routeAssociation `xml:"associationSet>item"`
	Propagating  []struct{}         `xml:"propagatingVgwSet>item"`
	Tags         tags               `xml:"tagSet>item"`
	// Token is that of the request that made it.
	Token string `xml:"-"`
}

type route struct {
	CIDR    string `xml:"destinationCidrBlock"`
	Gateway string `xml:"gatewayId"`
	NAT     string `xml:"natGatewayId"`
	Origin  string `xml:"origin"`
	State   string `xml:"state"`
}

type routeAssociation struct {
	ID     string    `xml:"routeTableAssociationId"`
	Table  string    `xml:"routeTableId"`
	Subnet string    `xml:"subnetId"`
	Main   bool      `xml:"main"`
	State  cidrState `xml:"associationState"`
}

var associated = cidrState{"associated"}

func localRoutes(cidr string) []route {
	return []route{{CIDR: cidr, Gateway: "local", Origin: "CreateRouteTable", State: "active"}}
}

func (r routeTable) ident() string { return r.ID }
func (r routeTable) home() string  { return r.VPC }
func (r routeTable) place() string { return r.Region }
func (r routeTable) marks() tags   { return r.Tags }
func (r routeTable) attribute(name string) ([]string, bool) {
	switch name {
	case "vpc-id":
		return filled(r.VPC), true
	case "route-table-id", "association.route-table-id":
		return filled(r.ID), true
	case "owner-id":
		return filled(r.Owner), true
	}
	return r.inner(name)
}

// inner are the filters that look at routes and associations.
func (r routeTable) inner(name string) (values []string, known bool) {
	for _, a := range r.Associations {
		switch name {
		case "association.main":
			values = append(values, flag(a.Main))
		case "association.subnet-id":
			values = append(values, filled(a.Subnet)...)
		case "association.route-table-association-id":
			values = append(values, a.ID)
		}
	}
	for _, one := range r.Routes {
		switch name {
		case "route.destination-cidr-block":
			values = append(values, one.CIDR)
		case "route.nat-gateway-id":
			values = append(values, filled(one.NAT)...)
		case "route.gateway-id":
			values = append(values, filled(one.Gateway)...)
		case "route.state":
			values = append(values, one.State)
		}
	}
	return values, slices.Contains([]string{"association.main", "association.subnet-id", "association.route-table-association-id",
		"route.destination-cidr-block", "route.nat-gateway-id", "route.gateway-id", "route.state"}, name)
}

// dissociate drops associations, and says whether there were any.
func (r *routeTable) dissociate(which func(routeAssociation) bool) bool {
	before := len(r.Associations)
	r.Associations = slices.DeleteFunc(r.Associations, which)
	return len(r.Associations) != before
}

func createRouteTable(x *exchange) (any, error) {
	if err := x.needs("VpcId"); err != nil {
		return nil, err
	}
	marks, err := x.newTags(kindRouteTable)
	if err != nil {
		return nil, err
	}
	table := routeTable{ID: newID("rtb"), VPC: x.in.Text("VpcId"), Region: x.region, Owner: x.cloud.Account, Token: x.in.Text("ClientToken"),
		Associations: []routeAssociation{}, Propagating: []struct{}{}, Tags: marks}
	err = x.commit(func(tx *world.Tx) error {
		v, err := load[vpc](x, tx, kindVPC, table.VPC)
		if err != nil {
			return err
		}
		if table.Token != "" {
			same, err := within(tx, kindRouteTable, v.ID, func(o routeTable) bool { return o.Token == table.Token })
			if err != nil {
				return err
			}
			if len(same) > 0 {
				table = same[0]
				return nil
			}
		}
		table.Routes = localRoutes(v.CIDR)
		return errors.Join(put(tx, kindRouteTable, table), x.record(tx, world.Created, kindRouteTable, table.ID, marks.name(table.ID), marks))
	})
	return wire.Fields{"routeTable": table, "clientToken": table.Token}, err
}

func describeRouteTables(x *exchange) (any, error) {
	return describe(x, kindRouteTable, "RouteTableId", "routeTableSet", func(tx *world.Tx, list []routeTable) error {
		for _, table := range list {
			for i, one := range table.Routes {
				state, err := x.routeState(tx, one)
				if err != nil {
					return err
				}
				table.Routes[i].State = state
			}
		}
		return nil
	})
}

// routeState says whether a route leads anywhere still.
func (x *exchange) routeState(tx *world.Tx, r route) (string, error) {
	var err error
	alive := true
	switch {
	case r.NAT != "":
		var n nat
		n, err = world.Get[nat](tx, ref(kindNAT, r.NAT))
		alive = err == nil && n.lives()
	case r.Gateway != "local":
		_, err = world.Get[gateway](tx, ref(kindGateway, r.Gateway))
		alive = err == nil
	}
	if err != nil && !isNotFound(err) {
		return "", err
	}
	if !alive {
		return "blackhole", nil
	}
	return "active", nil
}

// target checks where a route is to lead, and is the route.
func (x *exchange) target(tx *world.Tx, table routeTable) (route, error) {
	r := route{CIDR: x.in.Text("DestinationCidrBlock"), Gateway: x.in.Text("GatewayId"), NAT: x.in.Text("NatGatewayId"), Origin: "CreateRoute", State: "active"}
	if prefix, err := netip.ParsePrefix(r.CIDR); err != nil || prefix != prefix.Masked() {
		return r, refuse("InvalidParameterValue", "Value (%.40s) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.", r.CIDR)
	}
	switch {
	case r.Gateway != "" && r.NAT != "" || r.Gateway == "" && r.NAT == "":
		return r, refuse("InvalidParameterCombination", "Exactly one of the targets GatewayId and NatGatewayId is to be given")
	case r.NAT != "":
		n, err := world.Get[nat](tx, ref(kindNAT, r.NAT))
		if isNotFound(err) || err == nil && (!n.lives() || n.State == "failed") {
			return r, refuse("InvalidNatGatewayID.NotFound", "The natGateway ID '%s' does not exist", r.NAT)
		}
		if err == nil && n.VPC != table.VPC {
			err = refuse("InvalidParameterValue", "route table %s and nat gateway %s belong to different networks", table.ID, r.NAT)
		}
		return r, err
	}
	g, err := load[gateway](x, tx, kindGateway, r.Gateway)
	if err != nil {
		return r, refuse("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", r.Gateway)
	}
	if !g.attachedTo(table.VPC) {
		return r, refuse("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", table.ID, r.Gateway)
	}
	return r, nil
}

func createRoute(x *exchange) (any, error) {
	return x.editTable(func(tx *world.Tx, table *routeTable) error {
		r, err := x.target(tx, *table)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(table.Routes, func(o route) bool { return o.CIDR == r.CIDR })
		switch {
		case i >= 0 && table.Routes[i].Gateway == r.Gateway && table.Routes[i].NAT == r.NAT:
			return nil // the same once more is fine there
		case i >= 0:
			return refuse("RouteAlreadyExists", "The route identified by %s already exists.", r.CIDR)
		case len(table.Routes) >= maxRoutes:
			return x.overQuota()
		}
		table.Routes = append(table.Routes, r)
		return nil
	})
}

func replaceRoute(x *exchange) (any, error) {
	return x.editTable(func(tx *world.Tx, table *routeTable) error {
		r, err := x.target(tx, *table)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(table.Routes, func(o route) bool { return o.CIDR == r.CIDR })
		if i < 0 {
			return refuse("InvalidParameterValue", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", r.CIDR)
		}
		table.Routes[i] = r
		return nil
	})
}

func deleteRoute(x *exchange) (any, error) {
	return x.editTable(func(_ *world.Tx, table *routeTable) error {
		cidr := x.in.Text("DestinationCidrBlock")
		i := slices.IndexFunc(table.Routes, func(o route) bool { return o.CIDR == cidr && o.Gateway != "local" })
		if i < 0 {
			return refuse("InvalidRoute.NotFound", "no route with destination-cidr-block %.40s in route table %s", cidr, table.ID)
		}
		table.Routes = slices.Delete(table.Routes, i, i+1)
		return nil
	})
}

// editTable changes the route table of the request.
func (x *exchange) editTable(how func(*world.Tx, *routeTable) error) (any, error) {
	if err := x.needs("RouteTableId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		table, err := load[routeTable](x, tx, kindRouteTable, x.in.Text("RouteTableId"))
		if err == nil {
			err = how(tx, &table)
		}
		if err != nil {
			return err
		}
		return errors.Join(put(tx, kindRouteTable, table), x.record(tx, world.Updated, kindRouteTable, table.ID, table.Tags.name(table.ID), table.Tags))
	})
	return wire.Fields{"return": true}, err
}

func associateRouteTable(x *exchange) (any, error) {
	if err := x.needs("RouteTableId", "SubnetId"); err != nil {
		return nil, err
	}
	made := routeAssociation{ID: newID("rtbassoc"), Table: x.in.Text("RouteTableId"), Subnet: x.in.Text("SubnetId"), State: associated}
	_, err := x.editTable(func(tx *world.Tx, table *routeTable) error {
		s, err := load[subnet](x, tx, kindSubnet, made.Subnet)
		if err != nil {
			return err
		}
		if s.VPC != table.VPC {
			return refuse("InvalidParameterValue", "Route table %s and subnet %s belong to different networks", table.ID, s.ID)
		}
		tables, err := within[routeTable](tx, kindRouteTable, s.VPC, nil)
		if err != nil {
			return err
		}
		for _, other := range tables {
			i := slices.IndexFunc(other.Associations, func(a routeAssociation) bool { return a.Subnet == s.ID })
			switch {
			case i >= 0 && other.ID == table.ID:
				made = other.Associations[i]
				return nil
			case i >= 0:
				return refuse("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", table.ID)
			}
		}
		table.Associations = append(table.Associations, made)
		return nil
	})
	return wire.Fields{"associationId": made.ID, "associationState": made.State}, err
}

func disassociateRouteTable(x *exchange) (any, error) {
	if err := x.needs("AssociationId"); err != nil {
		return nil, err
	}
	id := x.in.Text("AssociationId")
	err := x.commit(func(tx *world.Tx) error {
		tables, err := all(tx, kindRouteTable, func(r routeTable) bool { return r.Region == x.region })
		if err != nil {
			return err
		}
		for _, table := range tables {
			if table.dissociate(func(a routeAssociation) bool { return a.ID == id && !a.Main }) {
				return errors.Join(put(tx, kindRouteTable, table), x.record(tx, world.Updated, kindRouteTable, table.ID, table.Tags.name(table.ID), table.Tags))
			}
		}
		return refuse("InvalidAssociationID.NotFound", "The association ID '%.40s' does not exist", id)
	})
	return wire.Fields{"return": true}, err
}

func deleteRouteTable(x *exchange) (any, error) {
	if err := x.needs("RouteTableId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		table, err := load[routeTable](x, tx, kindRouteTable, x.in.Text("RouteTableId"))
		if err != nil {
			return err
		}
		if len(table.Associations) > 0 {
			return refuse("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", table.ID)
		}
		return drop(tx, kindRouteTable, table, x.Effect(world.Deleted, kindRouteTable, table.ID, ""))
	})
	return wire.Fields{"return": true}, err
}
