package aws

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

// ec2Service is EC2: networks and machines.
func ec2Service() *service {
	return &service{scope: "ec2", prefix: "ec2", words: ec2Words,
		protocol:   ec2Query{forms{"2016-11-15", "http://ec2.amazonaws.com/doc/2016-11-15/"}},
		operations: slices.Concat(placeOperations, networkOperations, gatewayOperations, groupOperations, machineOperations, tagOperations)}
}

const paged = " Filter MaxResults NextToken"

var tagOperations = []operation{
	{name: "CreateTags", takes: "ResourceId Tag", handle: createTags},
	{name: "DeleteTags", takes: "ResourceId Tag", handle: deleteTags},
	{name: "DescribeTags", takes: paged, handle: describeTags},
}

// newID makes an id of that prefix, as long as EC2's.
func newID(prefix string) string {
	var random [9]byte
	_, _ = rand.Read(random[:]) // never fails
	return prefix + "-" + hex.EncodeToString(random[:])[:17]
}

// readTags reads the tags of a form.
func readTags(in *wire.Query, list string) tags {
	t := tags{}
	for _, one := range in.Items(list) {
		t = append(t, tag{one.Text("Key"), one.Text("Value")})
	}
	return t
}

// newTags are the tags that a request gives to what it makes, of that kind.
func (x *exchange) newTags(kind string) (tags, error) {
	t := tags{}
	for _, spec := range x.in.Items("TagSpecification") {
		if got := spec.Text("ResourceType"); got != kind {
			return nil, refuse("InvalidParameterValue", "'%.60s' is not a valid taggable resource type for this operation.", got)
		}
		t = append(t, readTags(spec, "Tag")...)
	}
	return t, checkTags(t)
}

// checkTags says what is wrong with tags: the EC2 user guide, "Tag restrictions".
func checkTags(t tags) error {
	if len(t) > maxTags {
		return refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	seen := map[string]bool{}
	for _, one := range t {
		switch {
		case one.Key == "" || len(one.Key) > 128 || len(one.Value) > 256:
			return refuse("InvalidParameterValue", "Tag keys have 1 to 128 and values up to 256 characters: %.130q", one.Key)
		case strings.HasPrefix(strings.ToLower(one.Key), "aws:"):
			return refuse("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case seen[one.Key]:
			return refuse("InvalidParameterValue", "Duplicate tag key '%s' specified.", one.Key)
		}
		seen[one.Key] = true
	}
	return nil
}

// missing is what EC2 says of an id that nothing has.
func missing(kind, id string) error {
	for _, row := range []struct{ kind, code, words string }{
		{kindVPC, "InvalidVpcID.NotFound", "The vpc ID '%s' does not exist"},
		{kindSubnet, "InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist"},
		{kindGateway, "InvalidInternetGatewayID.NotFound", "The internetGateway ID '%s' does not exist"},
		{kindAddress, "InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist"},
		{kindNAT, "NatGatewayNotFound", "The Nat Gateway %s was not found"},
		{kindRouteTable, "InvalidRouteTableID.NotFound", "The routeTable ID '%s' does not exist"},
		{kindGroup, "InvalidGroup.NotFound", "The security group '%s' does not exist"},
		{kindACL, "InvalidNetworkAclID.NotFound", "The networkAcl ID '%s' does not exist"},
		{kindInterface, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist"},
		{kindVolume, "InvalidVolume.NotFound", "The volume '%s' does not exist."},
		{kindSnapshot, "InvalidSnapshot.NotFound", "The snapshot '%s' does not exist."},
		{kindInstance, "InvalidInstanceID.NotFound", "The instance ID '%s' does not exist"},
		{kindTemplate, "InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist."},
	} {
		if row.kind == kind {
			return refuse(row.code, row.words, id)
		}
	}
	return refuse("InvalidID", "The ID '%.60s' is not valid", id)
}

// load gets a resource of the request's region by its id.
func load[T resource](x *exchange, tx *world.Tx, kind, id string) (T, error) {
	one, err := world.Get[T](tx, ref(kind, id))
	if isNotFound(err) || err == nil && one.place() != x.region {
		return one, missing(kind, id)
	}
	return one, err
}

// filter is one of a request's filters.
type filter struct {
	name   string
	values []string
}

func (x *exchange) filters() []filter {
	var list []filter
	for _, item := range x.in.Items("Filter") {
		list = append(list, filter{item.Text("Name"), item.Texts("Value")})
	}
	return list
}

// passes reports whether a resource fits a filter. Values may have wildcards.
func (f filter) passes(one resource) (bool, error) {
	got, known := one.attribute(f.name)
	if key, isTag := strings.CutPrefix(f.name, "tag:"); isTag {
		value, has := one.marks().get(key)
		got, known = []string{value}, true
		if !has {
			got = nil
		}
	}
	if f.name == "tag-key" {
		known = true
		for _, t := range one.marks() {
			got = append(got, t.Key)
		}
	}
	if !known {
		return false, refuse("InvalidParameterValue", "The filter '%.60s' is invalid", f.name)
	}
	return slices.ContainsFunc(got, func(value string) bool {
		return slices.ContainsFunc(f.values, func(pattern string) bool { return fits(pattern, value) })
	}), nil
}

// fits compares a value with a pattern in which * and ? stand for any text and any letter.
func fits(pattern, value string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return pattern == value
	}
	// Slashes and brackets mean nothing here.
	plain := strings.NewReplacer("/", "\x00", "[", `\[`)
	matched, err := path.Match(plain.Replace(pattern), strings.ReplaceAll(value, "/", "\x00"))
	return err == nil && matched
}

// sift leaves those that pass all filters.
func sift[T resource](list []T, filters []filter) ([]T, error) {
	passed := make([]T, 0, len(list))
	for _, one := range list {
		ok := true
		for _, f := range filters {
			fits, err := f.passes(one)
			if err != nil {
				return nil, err
			}
			ok = ok && fits
		}
		if ok {
			passed = append(passed, one)
		}
	}
	if len(list) == 0 { // a filter that is none is refused all the same
		var none T
		for _, f := range filters {
			if _, err := f.passes(none); err != nil {
				return nil, err
			}
		}
	}
	return passed, nil
}

// gather lists the resources of a kind that a request asks for, by the parameter that has their ids and by its filters.
func gather[T resource](x *exchange, tx *world.Tx, kind, ids string) ([]T, error) {
	filters := x.filters()
	var list []T
	var err error
	if wanted := x.in.Texts(ids); len(wanted) > 0 {
		for _, id := range wanted {
			one, err := load[T](x, tx, kind, id)
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
		return sift(list, filters)
	}
	home := ""
	for _, f := range filters {
		// Most lists are of one VPC.
		if f.name == "vpc-id" && len(f.values) == 1 && !strings.ContainsAny(f.values[0], "*?") && kind != kindVPC && kind != kindGateway {
			home = f.values[0]
		}
	}
	ours := func(one T) bool { return one.place() == x.region }
	if home != "" {
		list, err = within(tx, kind, home, ours)
	} else {
		list, err = all(tx, kind, ours)
	}
	if err != nil {
		return nil, err
	}
	return sift(list, filters)
}

// describe answers a list of resources, a page at a time.
func describe[T resource](x *exchange, kind, ids, set string, refine func(*world.Tx, []T) error) (any, error) {
	var list []T
	err := x.view(func(tx *world.Tx) (err error) {
		if list, err = gather[T](x, tx, kind, ids); err != nil || refine == nil {
			return err
		}
		return refine(tx, list)
	})
	if err != nil {
		return nil, err
	}
	page, next, err := paginate(x, list, len(x.in.Texts(ids)) > 0)
	return wire.Fields{set + ">item": page, "nextToken": next}, err
}

// paginate cuts a list to the page that is asked for. Tokens name the place where the next page begins.
func paginate[T any](x *exchange, list []T, byID bool) (page []T, next string, err error) {
	if !x.in.Has("MaxResults") && !x.in.Has("NextToken") {
		return list, "", nil
	}
	most, err := x.in.Number("MaxResults", 1000)
	if err != nil || most < 5 || most > 1000 {
		return nil, "", refuse("InvalidParameterValue", "Value ( %.20s ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", x.in.Text("MaxResults"))
	}
	if byID && x.in.Has("MaxResults") {
		return nil, "", refuse("InvalidParameterCombination", "The parameter MaxResults cannot be used with the parameter that names ids in the same request")
	}
	from, err := readToken(x.in.Text("NextToken"), len(list))
	if err != nil {
		return nil, "", refuse("InvalidNextToken", "Invalid value '%.60s' for parameter NextToken.", x.in.Text("NextToken"))
	}
	to := min(len(list), from+most)
	if to < len(list) {
		next = pageToken(to)
	}
	return list[from:to], next, nil
}

// pageToken is opaque to callers, as it should be.
func pageToken(from int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "page:%d", from))
}

func readToken(token string, length int) (from int, err error) {
	if token == "" {
		return 0, nil
	}
	text, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(string(text), "page:%d", &from); err != nil {
		return 0, err
	}
	if from < 0 {
		return 0, fmt.Errorf("a list does not begin at %d", from)
	}
	return min(from, length), nil
}

// marked are the kinds that tags can be given to and read of by id alone.
var marked = map[string]func(*world.Tx, string, func(tags) tags) error{
	kindVPC:        retag(func(v *vpc) *tags { return &v.Tags }),
	kindSubnet:     retag(func(s *subnet) *tags { return &s.Tags }),
	kindGateway:    retag(func(g *gateway) *tags { return &g.Tags }),
	kindAddress:    retag(func(a *address) *tags { return &a.Tags }),
	kindNAT:        retag(func(n *nat) *tags { return &n.Tags }),
	kindRouteTable: retag(func(r *routeTable) *tags { return &r.Tags }),
	kindGroup:      retag(func(g *group) *tags { return &g.Tags }),
	kindACL:        retag(func(a *acl) *tags { return &a.Tags }),
	kindInterface:  retag(func(i *netInterface) *tags { return &i.Tags }),
	kindVolume:     retag(func(v *volume) *tags { return &v.Tags }),
	kindSnapshot:   retag(func(s *snapshot) *tags { return &s.Tags }),
	kindInstance:   retag(func(i *instance) *tags { return &i.Tags }),
	kindTemplate:   retag(func(t *template) *tags { return &t.Tags }),
}

// retag makes the function that changes the tags of one kind of resource.
func retag[T resource](field func(*T) *tags) func(*world.Tx, string, func(tags) tags) error {
	return func(tx *world.Tx, id string, how func(tags) tags) error {
		kind := prefixes[strings.SplitN(id, "-", 2)[0]]
		return change(tx, kind, id, func(one *T) {
			t := field(one)
			*t = how(*t)
		})
	}
}

func createTags(x *exchange) (any, error) {
	given := readTags(x.in, "Tag")
	if err := checkTags(given); err != nil {
		return nil, err
	}
	return x.changeTags(func(t tags) tags {
		for _, one := range given {
			t = t.set(one.Key, one.Value)
		}
		return t
	})
}

func deleteTags(x *exchange) (any, error) {
	gone := readTags(x.in, "Tag")
	return x.changeTags(func(t tags) tags {
		for _, one := range gone {
			t = t.without(one.Key)
		}
		return t
	})
}

// changeTags changes the tags of the resources of the request.
func (x *exchange) changeTags(how func(tags) tags) (any, error) {
	if err := x.needs("ResourceId"); err != nil {
		return nil, err
	}
	err := x.commit(func(tx *world.Tx) error {
		for _, id := range x.in.Texts("ResourceId") {
			kind := prefixes[strings.SplitN(id, "-", 2)[0]]
			if marked[kind] == nil {
				return missing(kind, id)
			}
			err := marked[kind](tx, id, how)
			if isNotFound(err) {
				return missing(kind, id)
			}
			if err == nil {
				err = x.record(tx, world.Updated, kind, id, id, nil)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return wire.Fields{"return": true}, err
}

// tagRow is a tag as DescribeTags shows it.
type tagRow struct {
	Resource string `xml:"resourceId"`
	Kind     string `xml:"resourceType"`
	tag
}

func (t tagRow) ident() string { return t.Resource }
func (t tagRow) home() string  { return "" }
func (t tagRow) place() string { return "" }
func (t tagRow) marks() tags   { return tags{t.tag} }
func (t tagRow) attribute(name string) ([]string, bool) {
	switch name {
	case "resource-id":
		return []string{t.Resource}, true
	case "resource-type":
		return []string{t.Kind}, true
	case "key":
		return []string{t.Key}, true
	case "value":
		return []string{t.Value}, true
	}
	return nil, false
}

func describeTags(x *exchange) (any, error) {
	rows := []tagRow{}
	err := x.view(func(tx *world.Tx) error {
		for _, kind := range prefixes {
			err := marksOf(x, tx, kind, &rows)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b tagRow) int { return strings.Compare(a.Resource+a.Key, b.Resource+b.Key) })
	if rows, err = sift(rows, x.filters()); err != nil {
		return nil, err
	}
	page, next, err := paginate(x, rows, false)
	return wire.Fields{"tagSet>item": page, "nextToken": next}, err
}

// marksOf adds the tags of all resources of a kind, of which no more need be known here.
func marksOf(x *exchange, tx *world.Tx, kind string, rows *[]tagRow) error {
	type carrier struct {
		ID, Region string
		Tags       tags
	}
	list, err := all(tx, kind, func(c carrier) bool { return c.Region == x.region })
	for _, c := range list {
		for _, t := range c.Tags {
			*rows = append(*rows, tagRow{c.ID, kind, t})
		}
	}
	return err
}
