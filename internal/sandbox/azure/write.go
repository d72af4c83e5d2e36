package azure

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// Retry-After of a busy resource, before the time scale.
const busyFor = 10 * time.Second

// liveGroup is the resource group of the path, unless it is on its way out.
func (r *request) liveGroup(tx *world.Tx) (*resource, error) {
	group, err := r.group(tx)
	if err == nil && group.State == deleting {
		return nil, groupBeingDeleted(group.Name)
	}
	return group, err
}

func (r *request) group(tx *world.Tx) (*resource, error) {
	name := r.params["resourcegroupname"]
	group, err := find(tx, typeGroup, r.groupID(name))
	if err == nil && group == nil {
		err = groupNotFound(name)
	}
	return group, err
}

func (r *request) groupID(name string) string {
	return "/subscriptions/" + r.cloud.Account.Subscription + "/resourceGroups/" + name
}

// id is that of the resource of the path, in the caller's case and the provider's.
func (r *request) id() string {
	names := []string{r.params["name"]}
	if child := r.params["childname"]; child != "" {
		names = append(names, child)
	}
	return idIn(r.cloud.Account.Subscription, r.params["resourcegroupname"], r.route.kind.typ, names...)
}

// putResource makes or changes a resource of the simple kinds.
func putResource(r *request) (reply, error) {
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
		old, err := r.replaced(tx, body)
		if err != nil {
			return err
		}
		if old != nil && old.busy() {
			return busy(old.ID, r.cloud.World.Clock.Scaled(busyFor))
		}
		answer, err = r.replace(tx, group, body, old)
		return err
	})
	return answer, err
}

// replaced is the resource that a PUT is about, nil for a new one, when its conditions hold.
func (r *request) replaced(tx *world.Tx, body map[string]any) (*resource, error) {
	kind := r.route.kind
	if parent := parentType(kind.typ); parent != "" {
		if _, err := r.parent(tx, parent); err != nil {
			return nil, err
		}
	}
	old, err := find(tx, kind.typ, r.id())
	if err != nil {
		return nil, err
	}
	if err := r.checkConditions(old); err != nil {
		return nil, err
	}
	if kind.nowhere {
		return old, nil
	}
	return old, r.checkLocation(body, old)
}

// parent is the resource that the one of the path lives in, or those that are listed.
func (r *request) parent(tx *world.Tx, typ string) (*resource, error) {
	key := strings.ToLower(idIn(r.cloud.Account.Subscription, r.params["resourcegroupname"], typ, r.params["name"]))
	parent, err := find(tx, typ, key)
	if err == nil && parent == nil {
		err = arm(http.StatusNotFound, "ParentResourceNotFound", "Failed to perform '%s' on resource(s) of type '%s', because the parent resource '%s' could not be found.",
			strings.ToLower(r.http.Method), strings.TrimPrefix(r.route.kind.typ, namespace(r.route.kind.typ)+"/"), key)
	}
	return parent, err
}

// checkConditions checks If-Match and If-None-Match.
func (r *request) checkConditions(old *resource) error {
	want, none := r.http.Header.Get("If-Match"), r.http.Header.Get("If-None-Match")
	refused := refuse(http.StatusPreconditionFailed, "PreconditionFailed", "The condition specified using HTTP conditional header(s) is not met.")
	switch {
	case none == "*" && old != nil:
		return refused
	case want != "" && old == nil:
		return refused
	case want != "" && want != "*" && strings.Trim(strings.TrimPrefix(want, "W/"), `"`) != old.Etag:
		return refused
	}
	return nil
}

// replace writes the new or changed resource, and begins what it takes.
func (r *request) replace(tx *world.Tx, group *resource, body map[string]any, old *resource) (reply, error) {
	kind := r.route.kind
	one := &resource{GUID: uuid.NewString(), ID: r.id(), Type: kind.typ, CreatedAt: r.At}
	takes, verb := kind.make, verbMake
	if old != nil {
		copied := *old
		one, takes, verb = &copied, kind.change, verbChange
	} else {
		one.Name = lastOf(one.ID)
	}
	one.Sent, one.Body = body, withoutReadOnly(body)
	if !kind.nowhere {
		one.Location, _ = placeOf(text(body, "location"))
	}
	delete(one.Body, "location")
	if err := kind.complete(r, tx, one, old); err != nil {
		return reply{}, err
	}
	if old != nil && old.State == succeeded && !r.changed && same(one.Body, old.Body) {
		return r.show(tx, old, http.StatusOK)
	}
	one.State = succeeded
	one.touch(r.At)
	status := http.StatusOK
	if old == nil {
		status = http.StatusCreated
	}
	if takes > 0 {
		one.State = updating
		if err := r.begin(tx, one, verb, takes); err != nil {
			return reply{}, err
		}
		if err := r.tellBegun(tx, one); err != nil {
			return reply{}, err
		}
		if kind.created != 0 {
			status = kind.created
		}
	}
	effect := world.Updated
	if old == nil {
		effect = world.Created
	}
	why := r.asked()
	if one.Type == typeIdentity && old == nil {
		known := r.At.Add(r.cloud.World.Clock.Scaled(replicationTime / believedSooner))
		why.ReadyAt = &known
	}
	if err := errors.Join(put(tx, one), tx.Record(one.effect(effect, why))); err != nil {
		return reply{}, err
	}
	return r.show(tx, one, status)
}

func (r *request) tellBegun(tx *world.Tx, one *resource) error {
	o, err := findOperation(tx, one.Operation)
	if err == nil {
		r.tellOperation(o, r.route.kind.poll())
	}
	return err
}

// show answers with the resource.
func (r *request) show(tx *world.Tx, one *resource, status int) (reply, error) {
	wire, err := one.wire(tx)
	return reply{status: status, body: wire}, err
}

// withoutReadOnly is a body without what only the server says.
func withoutReadOnly(body map[string]any) map[string]any {
	kept := clone(body)
	for _, key := range []string{"id", "name", "type", "etag", "eTag", "systemData"} {
		delete(kept, key)
	}
	if p := object(kept, "properties"); p != nil {
		delete(p, "provisioningState")
	}
	return kept
}

func lastOf(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// patchResource changes a resource's tags, which is all that these PATCHes can do.
func patchResource(r *request) (reply, error) {
	body, err := r.decode()
	if err != nil {
		return reply{}, err
	}
	var answer reply
	err = r.Commit(func(tx *world.Tx) error {
		one, err := r.existing(tx)
		if err != nil {
			return err
		}
		if one.busy() {
			return busy(one.ID, r.cloud.World.Clock.Scaled(busyFor))
		}
		tags := object(body, "tags")
		if !same(object(one.Body["tags"]), tags) {
			one.Body["tags"], one.Sent = tags, nil
			one.touch(r.At)
			if err := errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, r.asked()))); err != nil {
				return err
			}
		}
		answer, err = r.show(tx, one, http.StatusOK)
		return err
	})
	return answer, err
}

// existing is the resource of the path, or the refusal that it, its parent or its group is not there.
func (r *request) existing(tx *world.Tx) (*resource, error) {
	if _, err := r.group(tx); err != nil {
		return nil, err
	}
	kind := r.route.kind
	one, err := find(tx, kind.typ, r.id())
	if err == nil && one == nil {
		err = r.missing(tx)
	}
	return one, err
}

// missing says that the resource of the path is not there, as its provider says it.
func (r *request) missing(tx *world.Tx) error {
	kind := r.route.kind
	if parent := parentType(kind.typ); parent != "" {
		if _, err := r.parent(tx, parent); err != nil {
			return err
		}
		return refuse(http.StatusNotFound, "NotFound", "Resource %s not found.", r.id())
	}
	return resourceNotFound(kind.typ, r.params["name"], r.params["resourcegroupname"])
}

func getResource(r *request) (reply, error) {
	var answer reply
	err := r.View(func(tx *world.Tx) error {
		one, err := r.existing(tx)
		if err != nil {
			return err
		}
		answer, err = r.show(tx, one, http.StatusOK)
		return err
	})
	return answer, err
}

// listInside lists the resources of a type in the group or the resource of the path.
func listInside(r *request) (reply, error) {
	return r.listed(func(tx *world.Tx) ([]*resource, error) {
		group, err := r.group(tx)
		if err != nil {
			return nil, err
		}
		key := group.key()
		if parent := parentType(r.route.kind.typ); parent != "" {
			within, err := r.parent(tx, parent)
			if err != nil {
				return nil, err
			}
			key = within.key()
		}
		return children(tx, r.route.kind.typ, key)
	})
}

func listAll(r *request) (reply, error) {
	return r.listed(func(tx *world.Tx) ([]*resource, error) { return list(tx, r.route.kind.typ) })
}

// listed answers with a page of resources.
func (r *request) listed(find func(*world.Tx) ([]*resource, error)) (reply, error) {
	var wires []any
	err := r.View(func(tx *world.Tx) error {
		all, err := find(tx)
		for _, one := range all {
			if err != nil {
				return err
			}
			var wire map[string]any
			wire, err = one.wire(tx)
			wires = append(wires, wire)
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	return r.page(wires)
}

// deleteResource begins the end of a resource of the simple kinds. What is gone, or going, is fine.
func deleteResource(r *request) (reply, error) {
	status := http.StatusNoContent
	err := r.Commit(func(tx *world.Tx) error {
		if _, err := r.group(tx); err != nil {
			return err
		}
		kind := r.route.kind
		one, err := find(tx, kind.typ, r.id())
		if err != nil || one == nil {
			return err
		}
		if one.State == deleting {
			status = http.StatusAccepted
			return r.tellBegun(tx, one)
		}
		if one.busy() {
			return busy(one.ID, r.cloud.World.Clock.Scaled(busyFor))
		}
		if kind.guard != nil {
			if err := kind.guard(tx, one); err != nil {
				return err
			}
		}
		if kind.end == 0 {
			status = http.StatusOK
			return remove(tx, one, r.asked())
		}
		status = http.StatusAccepted
		one.State = deleting
		if err := r.begin(tx, one, verbDelete, kind.end); err != nil {
			return err
		}
		one.touch(r.At)
		return errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, r.asked())), r.tellBegun(tx, one))
	})
	return reply{status: status}, err
}
