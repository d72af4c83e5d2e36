package azure

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	inProgress = "InProgress"
	verbMake   = "create"
	verbChange = "update"
	verbDelete = "delete"
)

// operation is a long-running one, as it is kept.
type operation struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	Location  string `json:"location"`
	Verb      string `json:"verb"`
	// Type, Target and GUID say on which resource it works. That may be gone.
	Type   string `json:"type"`
	Target string `json:"target"`
	GUID   string `json:"guid"`
	Status string `json:"status"`
	Code   string `json:"code,omitempty"`
	// Message says in the provider's words why it failed.
	Message   string           `json:"message,omitempty"`
	StartedAt time.Time        `json:"started_at"`
	EndedAt   time.Time        `json:"ended_at"`
	Work      world.Transition `json:"work"`
}

func putOperation(tx *world.Tx, o operation) error {
	return tx.Put(ref(kindOperation, o.ID), world.Meta{Name: o.Target, Parent: strings.ToLower(o.Target)}, o)
}

// end takes an operation out of those in progress. It is kept for those who poll.
func (o operation) end(tx *world.Tx, now time.Time, status, code, message string) error {
	o.Status, o.Code, o.Message, o.EndedAt = status, code, message, now
	return errors.Join(tx.Delete(ref(kindOperation, o.ID)),
		tx.Put(ref(kindEnded, o.ID), world.Meta{Name: o.Target, Parent: strings.ToLower(o.Target)}, o))
}

func findOperation(tx *world.Tx, id string) (operation, error) {
	o, err := world.Get[operation](tx, ref(kindOperation, id))
	if isNotFound(err) {
		o, err = world.Get[operation](tx, ref(kindEnded, id))
	}
	return o, err
}

// begin starts an operation on a resource, which keeps its transition.
func (r *request) begin(tx *world.Tx, one *resource, verb string, takes time.Duration) error {
	var work world.Transition
	var err error
	if verb == verbDelete {
		work, err = r.BeginEnd(tx, one.GUID+verb, takes)
	} else {
		work, err = r.Begin(tx, one.GUID+verb+r.ID, takes, lateWords(one))
	}
	if err != nil {
		return err
	}
	o := operation{ID: uuid.NewString(), Namespace: namespace(one.Type), Location: one.Location, Verb: verb, Type: one.Type, Target: one.ID, GUID: one.GUID,
		Status: inProgress, StartedAt: r.At, Work: work}
	one.Operation, one.Work = o.ID, work
	if one.Location == "" {
		o.Location, err = r.locationOf(tx, one)
	}
	return errors.Join(err, putOperation(tx, o))
}

// lateWords are why something fails that a fault makes fail.
func lateWords(one *resource) string {
	return fmt.Sprintf("An error occurred while provisioning %s %s.", one.Type, one.Name)
}

// locationOf is where what has no location of its own is.
func (r *request) locationOf(tx *world.Tx, one *resource) (string, error) {
	for key := parentKey(one.ID); key != ""; key = parentKey(key) {
		typ := typeGroup
		if s := split(key); len(s) > 4 {
			typ = parentType(one.Type)
		}
		parent, err := find(tx, typ, key)
		if err != nil || parent != nil {
			return locationOrEmpty(parent), err
		}
		if len(split(key)) <= 2 {
			break
		}
	}
	return "global", nil
}

func locationOrEmpty(r *resource) string {
	if r == nil {
		return ""
	}
	return r.Location
}

// tellOperation sets the headers by which the caller follows an operation.
func (r *request) tellOperation(o operation, poll time.Duration) {
	status, result := r.pollURL(o, "operations"), r.pollURL(o, "operationResults")
	switch o.Namespace {
	case resources:
		r.header.Set("Location", result)
	case containerService:
		r.header.Set("Azure-AsyncOperation", status)
		if o.Verb == verbDelete {
			r.header.Set("Location", r.pollURL(o, "operationresults"))
		}
	case compute:
		r.header.Set("Azure-AsyncOperation", r.pollURL(o, "DiskOperations"))
		r.header.Set("Location", r.pollURL(o, "DiskOperations")+"&monitor=true")
	default:
		r.header.Set("Azure-AsyncOperation", status)
		r.header.Set("Azure-AsyncNotification", "Enabled")
		if o.Verb == verbDelete {
			r.header.Set("Location", result)
		}
	}
	if poll > 0 {
		r.header.Set("Retry-After", seconds(r.cloud.World.Clock.Scaled(poll)))
	}
}

// pollURL is where an operation is asked about. Its query is for nobody to read.
func (r *request) pollURL(o operation, what string) string {
	version := r.version
	if o.Namespace == containerService {
		version = "2016-03-30"
	}
	path := fmt.Sprintf("/subscriptions/%s/providers/%s/locations/%s/%s/%s", r.cloud.Account.Subscription, o.Namespace, o.Location, what, o.ID)
	if o.Namespace == resources {
		path = fmt.Sprintf("/subscriptions/%s/operationresults/%s", r.cloud.Account.Subscription, o.ID)
	}
	return fmt.Sprintf("%s%s?api-version=%s&t=%d&c=%s&s=%s&h=%s", r.base(), path, version, o.StartedAt.UnixNano()/100, opaque(o.ID), opaque(o.ID+"s"), opaque(o.ID+"h"))
}

// getOperation answers Azure-AsyncOperation's URL: the status itself, always with 200.
func getOperation(r *request) (reply, error) {
	o, err := r.polled()
	if err != nil {
		return reply{}, err
	}
	body := map[string]any{"status": o.Status}
	if o.Namespace != network {
		body["name"], body["startTime"] = o.ID, o.StartedAt.Format(time.RFC3339Nano)
		if !o.EndedAt.IsZero() {
			body["endTime"] = o.EndedAt.Format(time.RFC3339Nano)
		}
	}
	if o.Code != "" {
		body["error"] = errorDetail{Code: o.Code, Message: o.Message}
	}
	if o.Status == inProgress {
		r.tellWait(o)
	}
	return reply{status: http.StatusOK, body: body}, nil
}

// getResult answers Location's URL: 202 until the operation has ended, and then what it ended in.
func getResult(r *request) (reply, error) {
	o, err := r.polled()
	if err != nil {
		return reply{}, err
	}
	switch {
	case o.Status == inProgress:
		r.header.Set("Location", r.base()+r.http.URL.RequestURI())
		r.tellWait(o)
		return reply{status: http.StatusAccepted}, nil
	case o.Code != "":
		return reply{}, conflict(o.Code, "%s", o.Message)
	case o.Verb == verbDelete && o.Namespace != resources:
		return reply{status: http.StatusNoContent}, nil
	case o.Verb == verbDelete:
		return reply{status: http.StatusOK}, nil
	}
	var wire map[string]any
	err = r.View(func(tx *world.Tx) error {
		one, err := get(tx, o.Type, o.Target)
		if err == nil {
			wire, err = one.wire(tx)
		}
		return err
	})
	return reply{status: http.StatusOK, body: wire}, err
}

func (r *request) tellWait(o operation) {
	wait := pollGroup
	if k := kindOf(o.Type); k != nil {
		wait = k.poll()
	}
	if wait > 0 {
		r.header.Set("Retry-After", seconds(r.cloud.World.Clock.Scaled(wait)))
	}
}

// polled is the operation of the path. One that nobody knows, or that ended long ago, is not found.
func (r *request) polled() (operation, error) {
	var o operation
	err := r.View(func(tx *world.Tx) (err error) {
		o, err = findOperation(tx, r.params["operationid"])
		return err
	})
	if isNotFound(err) {
		return o, refuse(http.StatusNotFound, "OperationNotFound", "The operation '%s' was not found.", r.params["operationid"])
	}
	return o, err
}

// settle ends the operations whose time has come, but those on clusters and pools, which end when the real cluster is there.
func (c *Cloud) settle(tx *world.Tx) error {
	now := c.World.Clock.Now()
	pending, err := world.List[operation](tx, ref(kindOperation, ""))
	if err != nil {
		return err
	}
	for _, o := range pending {
		if o.Namespace == containerService || !o.Work.IsDue(now) {
			continue
		}
		c.ended.Add(1)
		if err := c.finish(tx, o, now); err != nil {
			return err
		}
	}
	return c.forgetEnded(tx)
}

// forgetEnded drops the older half of the operations that have ended, when there are very many. Counting them takes a look at all, so
// it is done after every so many ends only.
func (c *Cloud) forgetEnded(tx *world.Tx) error {
	if c.ended.Load() < maxOperations/2 {
		return nil
	}
	c.ended.Store(0)
	old, err := world.List[operation](tx, ref(kindEnded, ""))
	if err != nil || len(old) < maxOperations {
		return err
	}
	for _, o := range old[:len(old)/2] {
		err = errors.Join(err, tx.Delete(ref(kindEnded, o.ID)))
	}
	return err
}

// finish ends one operation on a simple resource.
func (c *Cloud) finish(tx *world.Tx, o operation, now time.Time) error {
	if o.Type == typeGroup {
		return c.finishGroup(tx, o, now)
	}
	one, err := find(tx, o.Type, o.Target)
	if err != nil {
		return err
	}
	if one == nil || one.GUID != o.GUID {
		return o.end(tx, now, canceled, "Canceled", "The resource has been deleted.")
	}
	if o.Verb == verbDelete {
		return errors.Join(remove(tx, one, because(o.Work, now)), o.end(tx, now, succeeded, "", ""))
	}
	one.touch(now)
	one.Operation = ""
	if o.Work.Fail != "" {
		one.State = failed
		return errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, because(o.Work, now))),
			o.end(tx, now, failed, "InternalOperationError", o.Work.Fail))
	}
	one.State = succeeded
	return errors.Join(put(tx, one), tx.Record(one.effect(world.Updated, because(o.Work, now))), o.end(tx, now, succeeded, "", ""))
}
