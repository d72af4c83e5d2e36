package aws

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

// netInterface is a network interface, as it is kept and as it is shown. All there are were made by services: for NAT gateways, control
// planes, load balancers and instances.
type netInterface struct {
	ID          string                `xml:"networkInterfaceId"`
	Subnet      string                `xml:"subnetId"`
	VPC         string                `xml:"vpcId"`
	Region      string                `xml:"-"`
	Zone        string                `xml:"availabilityZone"`
	Description string                `xml:"description"`
	Owner       string                `xml:"ownerId"`
	Requester   string                `xml:"requesterId"`
	Managed     bool                  `xml:"requesterManaged"`
	Status      string                `xml:"status"`
	MAC         string                `xml:"macAddress"`
	Address     string                `xml:"privateIpAddress"`
	Hostname    string                `xml:"privateDnsName"`
	Check       bool                  `xml:"sourceDestCheck"`
	Type        string                `xml:"interfaceType"`
	Groups      []groupName           `xml:"groupSet>item"`
	Association *interfaceAssociation `xml:"association"`
	Attachment  *interfaceAttachment  `xml:"attachment"`
	Addresses   []interfaceAddress    `xml:"privateIpAddressesSet>item"`
	Tags        tags                  `xml:"tagSet>item"`
	// Of is the id of what it was made for.
	Of string `xml:"-"`
}

type groupName struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type interfaceAssociation struct {
	Allocation  string `xml:"allocationId"`
	Association string `xml:"associationId"`
	Owner       string `xml:"ipOwnerId"`
	IP          string `xml:"publicIp"`
}

type interfaceAttachment struct {
	ID       string    `xml:"attachmentId"`
	Instance string    `xml:"instanceId"`
	Owner    string    `xml:"instanceOwnerId"`
	Index    int       `xml:"deviceIndex"`
	Status   string    `xml:"status"`
	At       time.Time `xml:"attachTime"`
	Ends     bool      `xml:"deleteOnTermination"`
}

type interfaceAddress struct {
	Address string `xml:"privateIpAddress"`
	Name    string `xml:"privateDnsName"`
	Primary bool   `xml:"primary"`
}

func (i netInterface) ident() string { return i.ID }
func (i netInterface) home() string  { return i.VPC }
func (i netInterface) place() string { return i.Region }
func (i netInterface) marks() tags   { return i.Tags }
func (i netInterface) attribute(name string) ([]string, bool) {
	var groups, attached []string
	for _, g := range i.Groups {
		groups = append(groups, g.ID)
	}
	if i.Attachment != nil {
		attached = filled(i.Attachment.Instance)
	}
	switch name {
	case "vpc-id":
		return filled(i.VPC), true
	case "subnet-id":
		return filled(i.Subnet), true
	case "network-interface-id":
		return filled(i.ID), true
	case "description":
		return filled(i.Description), true
	case "status":
		return filled(i.Status), true
	case "interface-type":
		return filled(i.Type), true
	case "requester-id":
		return filled(i.Requester), true
	case "requester-managed":
		return []string{flag(i.Managed)}, true
	case "group-id":
		return groups, true
	case "attachment.instance-id":
		return attached, true
	case "availability-zone":
		return filled(i.Zone), true
	case "private-ip-address", "addresses.private-ip-address":
		return filled(i.Address), true
	case "owner-id":
		return filled(i.Owner), true
	}
	return nil, false
}

// usedIn are the addresses of a subnet that something has.
func usedIn(tx *world.Tx, s subnet) (map[string]bool, error) {
	list, err := within(tx, kindInterface, s.VPC, func(i netInterface) bool { return i.Subnet == s.ID })
	used := map[string]bool{}
	for _, i := range list {
		used[i.Address] = true
	}
	return used, err
}

// newInterface makes an interface with a free address of the subnet. It writes nothing.
func (c *Cloud) newInterface(tx *world.Tx, s subnet, description string) (netInterface, error) {
	used, err := usedIn(tx, s)
	if err != nil {
		return netInterface{}, err
	}
	block := netip.MustParsePrefix(s.CIDR)
	free := block.Addr()
	for range 4 { // the first four and the last are AWS'
		free = free.Next()
	}
	for ; used[free.String()]; free = free.Next() {
	}
	if !block.Contains(free.Next()) {
		return netInterface{}, refuse("InsufficientFreeAddressesInSubnet", "The specified subnet does not have enough free addresses to satisfy the request.")
	}
	where, _ := findRegion(s.Region)
	id, name := newID("eni"), hostname(free, where)
	sum := sha256.Sum256([]byte(id))
	return netInterface{ID: id, Subnet: s.ID, VPC: s.VPC, Region: s.Region, Zone: s.Zone, Description: description, Owner: c.Account, Status: "available",
		MAC: fmt.Sprintf("0a:%02x:%02x:%02x:%02x:%02x", sum[0], sum[1], sum[2], sum[3], sum[4]), Address: free.String(), Hostname: name, Check: true,
		Type: "interface", Groups: []groupName{}, Addresses: []interfaceAddress{{free.String(), name, true}}, Tags: tags{}}, nil
}

// newInterface makes an interface for what the request makes.
func (x *exchange) newInterface(tx *world.Tx, s subnet, description string) (netInterface, error) {
	return x.cloud.newInterface(tx, s, description)
}

// hostname is the name of a machine with that address.
func hostname(at netip.Addr, where regionRow) string {
	return "ip-" + strings.ReplaceAll(at.String(), ".", "-") + "." + where.privateSuffix()
}

// unhouse removes the interfaces of something that went, and frees their addresses.
func unhouse(tx *world.Tx, of, vpc string) error {
	list, err := within(tx, kindInterface, vpc, func(i netInterface) bool { return i.Of == of })
	for _, i := range list {
		err = errors.Join(err, tx.Delete(ref(kindInterface, i.ID)))
		if i.Association == nil || i.Association.Allocation == "" {
			continue
		}
		freed := change(tx, kindAddress, i.Association.Allocation, func(a *address) {
			a.Association, a.Interface, a.Owner, a.Private = "", "", "", ""
		})
		if !isNotFound(freed) {
			err = errors.Join(err, freed)
		}
	}
	return err
}

func describeInterfaces(x *exchange) (any, error) {
	return describe[netInterface](x, kindInterface, "NetworkInterfaceId", "networkInterfaceSet", nil)
}

func deleteInterface(x *exchange) (any, error) {
	if err := x.needs("NetworkInterfaceId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		i, err := load[netInterface](x, tx, kindInterface, x.in.Text("NetworkInterfaceId"))
		switch {
		case err != nil:
			return err
		case i.Status != "available":
			return refuse("InvalidParameterValue", "Network interface '%s' is currently in use.", i.ID)
		case i.Managed:
			return refuseAs(403, "AuthFailure", "You do not have permission to access the specified resource.")
		}
		return drop(tx, kindInterface, i, x.Effect(world.Deleted, kindInterface, i.ID, ""))
	})
	return wire.Fields{"return": true}, err
}
