package azure

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// groupEnd is how long a resource group with nothing in it takes to go.
const groupEnd = 18 * time.Second

var groupName = regexp.MustCompile(`^[-\w._()]{0,89}[-\w_()]$`)

// wireGroup is a resource group as the Resource Manager shows it.
func wireGroup(g *resource) map[string]any {
	w := clone(g.Body)
	w["id"], w["name"], w["type"], w["location"] = g.ID, g.Name, typeGroup, g.Location
	w["properties"] = map[string]any{"provisioningState": g.State}
	return w
}

func putGroup(r *request) (reply, error) {
	name := r.params["resourcegroupname"]
	if !groupName.MatchString(name) {
		return reply{}, arm(http.StatusBadRequest, "InvalidResourceGroupName", "The provided resource group name '%s' is not valid: it has 1 to 90 characters "+
			"that are letters, digits, underscores, parentheses, hyphens or periods, and does not end with a period.", name)
	}
	body, err := r.decode()
	if err != nil {
		return reply{}, err
	}
	var answer reply
	err = r.Commit(func(tx *world.Tx) error {
		old, err := find(tx, typeGroup, r.groupID(name))
		if err != nil {
			return err
		}
		answer, err = r.writeGroup(tx, body, old)
		return err
	})
	return answer, err
}

func (r *request) writeGroup(tx *world.Tx, body map[string]any, old *resource) (reply, error) {
	name := r.params["resourcegroupname"]
	place, known := placeOf(text(body, "location"))
	switch {
	case text(body, "location") == "":
		return reply{}, arm(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
	case !known:
		return reply{}, arm(http.StatusBadRequest, "LocationNotAvailableForResourceGroup", "The provided location '%s' is not available for resource group. "+
			"List of available regions is '%s'.", text(body, "location"), strings.Join(locationNames(), ","))
	case old != nil && old.State == deleting:
		return reply{}, groupBeingDeleted(old.Name)
	case old != nil && old.Location != place:
		return reply{}, arm(http.StatusConflict, "InvalidResourceGroupLocation", "Invalid resource group location '%s'. The Resource group already exists in location '%s'.", place, old.Location)
	}
	kept := withoutReadOnly(body)
	delete(kept, "location")
	delete(kept, "properties")
	if old != nil && same(old.Body, kept) {
		return reply{status: http.StatusOK, body: wireGroup(old)}, nil
	}
	one, status, effect := &resource{GUID: uuid.NewString(), ID: r.groupID(name), Type: typeGroup, Name: name, CreatedAt: r.At}, http.StatusCreated, world.Created
	if old != nil {
		one, status, effect = old, http.StatusOK, world.Updated
	}
	one.Body, one.Location, one.State = kept, place, succeeded
	one.touch(r.At)
	return reply{status: status, body: wireGroup(one)}, errors.Join(put(tx, one), tx.Record(one.effect(effect, r.asked())))
}

func patchGroup(r *request) (reply, error) {
	body, err := r.decode()
	if err != nil {
		return reply{}, err
	}
	var answer reply
	err = r.Commit(func(tx *world.Tx) error {
		group, err := r.liveGroup(tx)
		if err != nil {
			return err
		}
		merged := clone(body)
		defaults(merged, group.Body)
		merged["location"] = group.Location
		answer, err = r.writeGroup(tx, merged, group)
		return err
	})
	return answer, err
}

func getGroup(r *request) (reply, error) {
	var answer reply
	err := r.View(func(tx *world.Tx) error {
		group, err := r.group(tx)
		if err == nil {
			answer = reply{status: http.StatusOK, body: wireGroup(group)}
		}
		return err
	})
	return answer, err
}

func headGroup(r *request) (reply, error) {
	_, err := getGroup(r)
	return reply{status: http.StatusNoContent}, err
}

func listGroups(r *request) (reply, error) {
	var wires []any
	keep, err := listFilter(r.http.URL.Query().Get("$filter"))
	if err != nil {
		return reply{}, err
	}
	err = r.View(func(tx *world.Tx) error {
		all, err := list(tx, typeGroup)
		for _, g := range all {
			if keep(g) {
				wires = append(wires, wireGroup(g))
			}
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return r.page(wires)
}

var filterTerm = regexp.MustCompile(`^(tagName|tagValue|resourceType|resourceGroup|name|location) eq '([^']*)'$`)

// listFilter reads a filter of a list: terms that say what something is equal to, joined by "and". Others are refused.
func listFilter(filter string) (func(*resource) bool, error) {
	want := map[string]string{}
	if filter != "" {
		for _, text := range strings.Split(filter, " and ") {
			term := filterTerm.FindStringSubmatch(strings.TrimSpace(text))
			if term == nil {
				return nil, arm(http.StatusBadRequest, "InvalidFilterInQueryString", "Invalid $filter '%s' specified in the query string.", filter)
			}
			want[term[1]] = term[2]
		}
	}
	return func(one *resource) bool {
		group := lastOf(groupKey(one.ID))
		for key, have := range map[string]string{"resourceType": one.Type, "resourceGroup": group, "name": one.Name, "location": one.Location} {
			if wanted, asked := want[key]; asked && !strings.EqualFold(wanted, have) {
				return false
			}
		}
		name, asked := want["tagName"]
		return !asked || one.hasTag(name, want["tagValue"])
	}, nil
}

// hasTag says whether a resource has a tag of that value, or of any if that is "". Names are without regard to case.
func (r *resource) hasTag(name, value string) bool {
	for key, have := range stringsOf(r.Body["tags"]) {
		if strings.EqualFold(key, name) && (value == "" || value == have) {
			return true
		}
	}
	return false
}

// tracked are the types that a list of resources has: those that live in a group and have a location.
func tracked() []string {
	var types []string
	for _, k := range kinds {
		if parentType(k.typ) == "" && !k.nowhere {
			types = append(types, k.typ)
		}
	}
	return types
}

// listResources lists the resources of the group of the path, or of the subscription, as the Resource Manager knows them: without
// their properties.
func listResources(r *request) (reply, error) {
	filter := r.http.URL.Query().Get("$filter")
	keep, err := listFilter(filter)
	if err != nil {
		return reply{}, err
	}
	var wires []any
	err = r.View(func(tx *world.Tx) error {
		within := ""
		if r.params["resourcegroupname"] != "" {
			group, err := r.group(tx)
			if err != nil {
				return err
			}
			within = group.key()
		}
		for _, typ := range tracked() {
			all, err := list(tx, typ)
			if err != nil {
				return err
			}
			for _, one := range all {
				if (within == "" || groupKey(one.ID) == within) && keep(one) {
					wires = append(wires, one.tracked(strings.Contains(filter, "tagName")))
				}
			}
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return r.page(wires)
}

// tracked is a resource as the Resource Manager tracks it, without its tags for a caller who filters by them.
func (r *resource) tracked(byTag bool) map[string]any {
	w := map[string]any{"id": r.ID, "name": r.Name, "type": r.Type, "location": r.Location, "provisioningState": r.State,
		"createdTime": r.CreatedAt.Format(time.RFC3339Nano), "changedTime": r.ChangedAt.Format(time.RFC3339Nano)}
	for _, key := range []string{"tags", "sku", "identity", "managedBy"} {
		if value, has := r.Body[key]; has && value != nil && !(byTag && key == "tags") {
			w[key] = value
		}
	}
	return w
}

// deleteGroup begins the end of a group and of everything in it. It answers 202 also for one that is going.
func deleteGroup(r *request) (reply, error) {
	err := r.Commit(func(tx *world.Tx) error {
		group, err := r.group(tx)
		if err != nil {
			return err
		}
		if group.State != deleting {
			group.State = deleting
			if err := r.begin(tx, group, verbDelete, groupEnd); err != nil {
				return err
			}
			group.touch(r.At)
			if err := errors.Join(put(tx, group), tx.Record(group.effect(world.Updated, r.asked()))); err != nil {
				return err
			}
			if err := r.deleteClustersOf(tx, group); err != nil {
				return err
			}
		}
		o, err := findOperation(tx, group.Operation)
		if err == nil {
			r.tellOperation(o, pollGroup)
		}
		return err
	})
	return reply{status: http.StatusAccepted}, err
}

// deleteClustersOf begins the end of the clusters in a group, which goes when they have gone.
func (r *request) deleteClustersOf(tx *world.Tx, group *resource) error {
	clusters, err := children(tx, typeCluster, group.key())
	for _, one := range clusters {
		if err == nil && one.State != deleting {
			err = r.beginClusterEnd(tx, one)
		}
	}
	return err
}

// finishGroup removes a group that is due with all that is in it, unless a cluster is still going or something elsewhere holds it.
func (c *Cloud) finishGroup(tx *world.Tx, o operation, now time.Time) error {
	group, err := find(tx, typeGroup, o.Target)
	if err != nil {
		return err
	}
	if group == nil || group.GUID != o.GUID {
		return o.end(tx, now, succeeded, "", "")
	}
	clusters, err := children(tx, typeCluster, group.key())
	if err != nil || len(clusters) > 0 {
		return err
	}
	holders, err := heldFromOutside(tx, group)
	if err != nil {
		return err
	}
	if len(holders) > 0 {
		group.State, group.Operation = succeeded, ""
		group.touch(now)
		return errors.Join(put(tx, group), tx.Record(group.effect(world.Updated, because(o.Work, now))),
			o.end(tx, now, failed, "ResourceGroupDeletionBlocked", "Deletion of resource group '"+group.Name+"' failed as resources with identifiers '"+
				strings.Join(holders, "','")+"' are in use."))
	}
	return errors.Join(removeGroup(tx, group, because(o.Work, now)), o.end(tx, now, succeeded, "", ""))
}

// heldFromOutside lists the ids in a group that something in another group needs.
func heldFromOutside(tx *world.Tx, group *resource) ([]string, error) {
	var holders []string
	for _, typ := range []string{typeVNet, typeNAT, typeAddress, typeNSG} {
		inside, err := children(tx, typ, group.key())
		if err != nil {
			return nil, err
		}
		for _, one := range inside {
			users, err := inUse(tx, one, typeScaleSet, typeInterface, typeBalancer, typeSubnet, typeNAT)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(users, func(id string) bool { return groupKey(id) != group.key() }) {
				holders = append(holders, one.ID)
			}
		}
	}
	return holders, nil
}

// removeGroup drops a group and everything in it.
func removeGroup(tx *world.Tx, group *resource, why world.Effect) error {
	for _, k := range kinds {
		if parentType(k.typ) != "" || k.typ == typeAssignment {
			continue // goes with what it lives in
		}
		inside, err := children(tx, k.typ, group.key())
		if err != nil {
			return err
		}
		for _, one := range inside {
			if err := remove(tx, one, why); err != nil {
				return err
			}
		}
	}
	return remove(tx, group, why)
}
