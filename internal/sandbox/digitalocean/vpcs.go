package digitalocean

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

var vpcName = regexp.MustCompile(`^[a-zA-Z0-9\-.]+$`)

const (
	maxName        = 255
	maxDescription = 255
	// VPCs have between 2^4 and 2^16 addresses.
	minBits, maxBits = 16, 28
)

type vpcRequest struct {
	Name        string  `json:"name"`
	Region      string  `json:"region"`
	Description *string `json:"description"`
	IPRange     string  `json:"ip_range"`
	Default     *bool   `json:"default"`
}

func (v vpc) wire() wireVPC {
	return wireVPC{ID: v.ID, URN: urn("vpc", v.ID), Name: v.Name, Description: v.Description, Region: v.Region,
		IPRange: v.IPRange, Default: v.Default, CreatedAt: stamp(v.CreatedAt)}
}

func listVPCs(c *exchange) (reply, error) {
	var all []vpc
	err := c.View(func(tx *world.Tx) (err error) {
		all, err = world.List[vpc](tx, ref(kindVPC, ""))
		return err
	})
	wires := make([]wireVPC, 0, len(all))
	for _, v := range all {
		wires = append(wires, v.wire())
	}
	return reply{status: http.StatusOK, body: listed(pageOf(c.Request), "vpcs", wires)}, err
}

func getVPC(c *exchange) (reply, error) {
	var v vpc
	err := c.View(func(tx *world.Tx) (err error) {
		v, err = world.Get[vpc](tx, ref(kindVPC, c.Request.PathValue("vpc_id")))
		return err
	})
	return reply{status: http.StatusOK, body: map[string]any{"vpc": v.wire()}}, err
}

func createVPC(c *exchange) (reply, error) {
	var asked vpcRequest
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	if err := asked.check(); err != nil {
		return reply{}, err
	}
	v := vpc{ID: uuid.NewString(), Name: asked.Name, Region: asked.Region, IPRange: asked.IPRange, CreatedAt: c.At}
	if asked.Description != nil {
		v.Description = *asked.Description
	}
	ready := c.cloud.World.Clock.Due(c.At, vpcCreation, v.ID)
	err := c.Commit(func(tx *world.Tx) error {
		others, err := world.List[vpc](tx, ref(kindVPC, ""))
		if err != nil {
			return err
		}
		if err := v.fit(others); err != nil {
			return err
		}
		_, has := defaultOf(others, v.Region)
		v.Default = !has
		return c.addVPC(tx, v, ready)
	})
	if err != nil {
		return reply{}, err
	}
	// The real one answers when it is made. Whoever hangs up meanwhile has it all the same.
	if err := c.cloud.World.Clock.Wait(c.Request.Context(), ready); err != nil {
		c.Lost = true
	}
	return reply{status: http.StatusCreated, body: map[string]any{"vpc": v.wire()}}, nil
}

func (c *exchange) addVPC(tx *world.Tx, v vpc, ready time.Time) error {
	effect := c.Effect(world.Created, kindVPC, v.ID, v.Name)
	effect.ReadyAt = &ready
	return errors.Join(putVPC(tx, v), tx.Record(effect))
}

// check says what is wrong with a request to make a VPC, by itself.
func (r vpcRequest) check() error {
	if r.Name == "" {
		return invalid("name is required")
	}
	if err := r.checkTexts(); err != nil {
		return err
	}
	if where, known := findRegion(r.Region); !known || !where.Available {
		return invalid("Region is not valid")
	}
	if r.IPRange == "" {
		return nil
	}
	prefix, err := netip.ParsePrefix(r.IPRange)
	if err != nil || prefix != prefix.Masked() || !prefix.Addr().IsPrivate() || !prefix.Addr().Is4() {
		return invalid("ip_range must be a private IPv4 network in CIDR form, such as 10.10.10.0/24")
	}
	if prefix.Bits() < minBits || prefix.Bits() > maxBits {
		return invalid("ip_range must be between /%d and /%d", maxBits, minBits)
	}
	return nil
}

func (r vpcRequest) checkTexts() error {
	if r.Name != "" && (!vpcName.MatchString(r.Name) || len(r.Name) > maxName) {
		return invalid("Name can only contain alphanumeric characters, dashes and periods")
	}
	if r.Description != nil && len(*r.Description) > maxDescription {
		return invalid("Description is too long (maximum is %d characters)", maxDescription)
	}
	return nil
}

// fit finds v a network, and refuses a name or a network that another has.
func (v *vpc) fit(others []vpc) error {
	if len(others) >= maxVPCs {
		return quotaRefusal("vpcs_create")
	}
	if slices.ContainsFunc(others, func(o vpc) bool { return o.Name == v.Name }) {
		return invalid("Name has already been taken")
	}
	taken := make([]netip.Prefix, 0, len(others))
	for _, o := range others {
		if prefix, err := netip.ParsePrefix(o.IPRange); err == nil {
			taken = append(taken, prefix)
		}
	}
	overlaps := func(p netip.Prefix) bool { return slices.ContainsFunc(taken, p.Overlaps) }
	if v.IPRange != "" {
		if overlaps(netip.MustParsePrefix(v.IPRange)) {
			return invalid("This range/size overlaps with another VPC network in your account")
		}
		return nil
	}
	for i := range 16 * 156 {
		free := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i/16), byte(i % 16 * 16), 0}), 20)
		if !overlaps(free) {
			v.IPRange = free.String()
			return nil
		}
	}
	return invalid("no private network is left: give an ip_range")
}

func updateVPC(c *exchange) (reply, error) {
	var asked vpcRequest
	if err := c.decode(&asked); err != nil {
		return reply{}, err
	}
	if c.Request.Method == http.MethodPut && asked.Name == "" {
		return reply{}, invalid("name is required")
	}
	if err := asked.checkTexts(); err != nil {
		return reply{}, err
	}
	var v vpc
	err := c.Commit(func(tx *world.Tx) error {
		all, err := world.List[vpc](tx, ref(kindVPC, ""))
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(o vpc) bool { return o.ID == c.Request.PathValue("vpc_id") })
		if i < 0 {
			return notFound()
		}
		if slices.ContainsFunc(all, func(o vpc) bool { return o.Name == asked.Name && o.ID != all[i].ID }) {
			return invalid("Name has already been taken")
		}
		v, err = c.changeVPC(tx, all, all[i], asked)
		return err
	})
	return reply{status: http.StatusOK, body: map[string]any{"vpc": v.wire()}}, err
}

// changeVPC changes v. A region has one default, so making v it takes that from another.
func (c *exchange) changeVPC(tx *world.Tx, all []vpc, v vpc, asked vpcRequest) (vpc, error) {
	v.Name = cmp.Or(asked.Name, v.Name)
	if asked.Description != nil {
		v.Description = *asked.Description
	}
	if asked.Default != nil && !*asked.Default && v.Default {
		return v, forbidden("Can not unset default VPCs")
	}
	if asked.Default != nil && *asked.Default {
		for _, o := range all {
			if o.Region == v.Region && o.Default {
				o.Default = false
				if err := putVPC(tx, o); err != nil {
					return v, err
				}
			}
		}
		v.Default = true
	}
	return v, errors.Join(putVPC(tx, v), tx.Record(c.Effect(world.Updated, kindVPC, v.ID, v.Name)))
}

func deleteVPC(c *exchange) (reply, error) {
	err := c.Commit(func(tx *world.Tx) error {
		v, err := world.Get[vpc](tx, ref(kindVPC, c.Request.PathValue("vpc_id")))
		if err != nil {
			return err
		}
		if v.Default {
			return forbidden("Can not delete default VPCs")
		}
		members, err := membersOf(tx, v.ID)
		if err != nil {
			return err
		}
		if len(members) > 0 {
			// The description says 403 here, too; users report 409 with these words.
			return conflict("Can not delete VPC with members")
		}
		return errors.Join(tx.Delete(ref(kindVPC, v.ID)), tx.Record(c.Effect(world.Deleted, kindVPC, v.ID, v.Name)))
	})
	return reply{status: http.StatusNoContent}, err
}

func listMembers(c *exchange) (reply, error) {
	var members []wireMember
	err := c.View(func(tx *world.Tx) error {
		v, err := world.Get[vpc](tx, ref(kindVPC, c.Request.PathValue("vpc_id")))
		if err != nil {
			return err
		}
		members, err = membersOf(tx, v.ID)
		return err
	})
	if kind := c.Request.URL.Query().Get("resource_type"); kind != "" {
		members = slices.DeleteFunc(members, func(m wireMember) bool {
			return len(m.URN) < len(kind)+4 || m.URN[:len(kind)+4] != "do:"+kind+":"
		})
	}
	return reply{status: http.StatusOK, body: listed(pageOf(c.Request), "members", members)}, err
}

// membersOf lists what is in a VPC: clusters, their Droplets, and load balancers.
func membersOf(tx *world.Tx, id string) ([]wireMember, error) {
	clusters, err := world.Children[cluster](tx, ref(kindCluster, id))
	if err != nil {
		return nil, err
	}
	var members []wireMember
	for _, one := range clusters {
		members = append(members, wireMember{URN: urn("kubernetes", one.ID), Name: one.Name, CreatedAt: stamp(one.CreatedAt)})
		nodes, err := world.Children[node](tx, ref(kindNode, one.ID))
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			members = append(members, wireMember{URN: urn("droplet", fmt.Sprint(n.DropletID)), Name: n.Name, CreatedAt: stamp(n.CreatedAt)})
		}
	}
	balancers, err := world.List[belonging](tx, ref(kindLoadBalancer, ""))
	if err != nil {
		return nil, err
	}
	for _, b := range balancers {
		if b.VPC == id {
			members = append(members, wireMember{URN: urn("loadbalancer", b.ID), Name: b.Name, CreatedAt: stamp(b.CreatedAt)})
		}
	}
	return members, nil
}
