package gcp

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// kindRequest are the operations by the caller's request ids.
const kindRequest = "request_id"

// newID draws a number as compute's ids are: 19 digits at most.
func newID() (string, error) {
	var data [8]byte
	if _, err := rand.Read(data[:]); err != nil {
		return "", fmt.Errorf("draw a number: %w", err)
	}
	return fmt.Sprint(1_000_000_000_000_000_000 + binary.BigEndian.Uint64(data[:])%8_000_000_000_000_000_000), nil
}

// newOperation is the operation of this request. Its transition is set when it is known how long it takes.
func (r *request) newOperation(service, scope, kind string) (operation, error) {
	id, err := newID()
	if err != nil {
		return operation{}, err
	}
	return operation{Name: fmt.Sprintf("operation-%d-%s", r.At.UnixMilli(), uuid.NewString()), ID: id, Service: service, Scope: scope, Type: kind, User: r.caller}, nil
}

// about says what an operation of compute changes.
func (o *operation) about(r resource) {
	o.Target, o.TargetID, o.Kind, o.Key = r.path(), r.ID, r.Collection, r.Scope+"/"+r.Name
}

// shown is the operation as compute shows it.
func (o operation) shown(now time.Time) document {
	doc := document{"kind": "compute#operation", "id": o.ID, "name": o.Name, "operationType": o.Type, "status": o.status(now), "user": o.User,
		"progress": o.progress(now), "insertTime": timestamp(o.Transition.RequestedAt), "startTime": timestamp(o.Transition.RequestedAt),
		"targetLink": computeLink(o.Target), "targetId": o.TargetID, "selfLink": computeLink("projects/" + ProjectID + "/" + o.Scope + "/operations/" + o.Name)}
	if plural, place, placed := strings.Cut(o.Scope, "/"); placed {
		doc[strings.TrimSuffix(plural, "s")] = computeLink("projects/" + ProjectID + "/" + plural + "/" + place)
	}
	if o.Request != "" {
		doc["clientOperationId"] = o.Request
	}
	if o.Done {
		doc["endTime"] = timestamp(o.EndedAt)
	}
	if o.ErrorCode != "" {
		doc["error"] = map[string]any{"errors": []any{map[string]any{"code": o.ErrorCode, "message": o.ErrorMessage}}}
		doc["httpErrorStatusCode"], doc["httpErrorMessage"] = 503, "SERVICE UNAVAILABLE"
		if o.RefusedCode != "" {
			doc["httpErrorStatusCode"], doc["httpErrorMessage"] = 403, "FORBIDDEN"
		}
	}
	return doc
}

// settle ends the operations of compute and service usage that are due. It is called whenever somebody looks, so that what they
// see depends on what is stored and the time alone.
func settle(tx *world.Tx, now time.Time) error {
	pending, err := world.Children[operation](tx, ref(kindOperation, pendingOperations))
	if err != nil {
		return err
	}
	for _, o := range pending {
		if o.Service == serviceContainer || !o.Transition.IsDue(now) {
			continue
		}
		if o.Service == serviceUsage {
			err = o.finishEnabling(tx)
		} else {
			err = o.finish(tx)
		}
		o.Done, o.EndedAt = true, o.Transition.Due
		if o.Transition.Fail != "" {
			o.ErrorCode, o.ErrorMessage = cmp.Or(o.RefusedCode, "INTERNAL_ERROR"), o.Transition.Fail
		}
		if err = errors.Join(err, putOperation(tx, o)); err != nil {
			return err
		}
	}
	return nil
}

// finish has compute's resource be what the operation makes of it.
func (o operation) finish(tx *world.Tx) error {
	found, err := world.Get[resource](tx, ref(o.Kind, o.Key))
	if isNotFound(err) || err == nil && found.Busy != o.Name {
		return nil
	}
	if err != nil {
		return err
	}
	ends := o.Type == "delete"
	if o.Type == "insert" {
		ends = o.Transition.Fail != ""
	}
	of, _ := collectionNamed(found.Collection)
	asked, ended := o.Transition.RequestedAt, o.Transition.Due
	effect := world.Effect{Provider: Name, Operation: o.Transition.Operation, Kind: world.Deleted,
		Resource: of.ledger, ID: found.ID, Name: found.Name, Key: o.Transition.Key, RequestedAt: &asked, ReadyAt: &ended}
	if ends {
		return errors.Join(tx.Delete(found.key()), tx.Record(effect))
	}
	found.Busy, found.Fresh = "", false
	if o.Transition.Fail != "" {
		return putResource(tx, found)
	}
	if o.Pending != nil {
		found.Doc = o.Pending
	}
	effect.Kind = world.Updated
	return errors.Join(putResource(tx, found), tx.Record(effect))
}

func operationOfRequest(tx *world.Tx, request, kind string) (operation, bool, error) {
	if request == "" {
		return operation{}, false, nil
	}
	name, err := world.Get[string](tx, ref(kindRequest, kind+"/"+request))
	if isNotFound(err) {
		return operation{}, false, nil
	}
	if err != nil {
		return operation{}, false, err
	}
	o, err := world.Get[operation](tx, ref(kindOperation, name))
	return o, err == nil, err
}

func rememberRequest(tx *world.Tx, o operation) error {
	if o.Request == "" {
		return nil
	}
	return tx.Put(ref(kindRequest, o.Type+"/"+o.Request), world.Meta{Name: o.Request}, o.Name)
}

// forgetOperations drops operations that ended long ago, and their request ids.
func forgetOperations(tx *world.Tx, clock world.Clock) error {
	done, err := world.Children[operation](tx, ref(kindOperation, doneOperations))
	if err != nil {
		return err
	}
	const kept = 2000 // however fast time is
	for i, o := range done {
		if len(done)-i <= kept && clock.Now().Sub(o.EndedAt) < max(time.Hour, clock.Scaled(keptOperations)) {
			continue
		}
		if err := tx.Delete(ref(kindOperation, o.Name)); err != nil {
			return err
		}
		if o.Request == "" {
			continue
		}
		if err := tx.Delete(ref(kindRequest, o.Type+"/"+o.Request)); err != nil && !isNotFound(err) {
			return err
		}
	}
	return nil
}

// computeOperationRoutes are the methods for operations of the three scopes.
func computeOperationRoutes() []route {
	var all []route
	for _, s := range []struct{ path, api string }{{"/global", "globalOperations"}, {"/regions/{region}", "regionOperations"}, {"/zones/{zone}", "zoneOperations"}} {
		path := onCompute + s.path + "/operations"
		add := func(method, path, verb, permission string, handle func(*request) (any, error)) {
			all = append(all, route{service: serviceCompute, method: method, path: path, operation: "compute." + s.api + "." + verb,
				permissions: []string{"compute." + s.api + "." + permission}, handle: handle, names: []string{"operation"}})
		}
		add("GET", path, "list", "list", listOperations)
		add("GET", path+"/{operation}", "get", "get", getOperation)
		add("POST", path+"/{operation}/wait", "wait", "get", waitOperation)
	}
	return all
}

func (r *request) operation(tx *world.Tx) (operation, error) {
	scope, err := r.scope()
	if err != nil {
		return operation{}, err
	}
	name := r.vars["operation"]
	o, err := world.Get[operation](tx, ref(kindOperation, name))
	if isNotFound(err) || err == nil && (o.Service != serviceCompute || o.Scope != scope) {
		err = noResource(pathOf(scope, "operations", name))
	}
	return o, err
}

func getOperation(r *request) (any, error) {
	var o operation
	err := r.View(func(tx *world.Tx) (err error) {
		o, err = r.operation(tx)
		return err
	})
	return o.shown(r.At), err
}

// waitOperation answers when the operation is done, or after two minutes.
func waitOperation(r *request) (any, error) {
	clock := r.cloud.World.Clock
	deadline := clock.Now().Add(clock.Scaled(waitLimit))
	for {
		var o operation
		now := clock.Now()
		err := r.cloud.view(r.Request.Context(), func(tx *world.Tx) (err error) {
			o, err = r.operation(tx)
			return err
		})
		if err != nil || o.Done || !now.Before(deadline) {
			return o.shown(now), err
		}
		next := deadline
		if !o.Transition.Stuck && o.Transition.Due.Before(next) {
			next = o.Transition.Due
		}
		next = next.Add(time.Millisecond)
		if clock.Wait(r.Request.Context(), next) != nil {
			return nil, serverError(503)
		}
	}
}

func listOperations(r *request) (any, error) {
	scope, err := r.scope()
	if err != nil {
		return nil, err
	}
	var docs []document
	err = r.View(func(tx *world.Tx) error {
		all, err := world.List[operation](tx, ref(kindOperation, ""))
		for i := len(all) - 1; i >= 0; i-- {
			if all[i].Service == serviceCompute && all[i].Scope == scope {
				docs = append(docs, all[i].shown(r.At))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.page("compute#operationList", pathOf(scope, "operations", ""), docs)
}

// regionName is the region of a location, which may be a zone.
func regionName(location string) string {
	of, _ := regionOfZone(location)
	return cmp.Or(of.Name, location)
}
