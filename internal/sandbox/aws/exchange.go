package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/call"
	"github.com/m3o/platform/internal/sandbox/world"
)

// maxBody is the most that a request may send.
const maxBody = 1 << 20

// exchange is one request being answered.
type exchange struct {
	*call.Call
	cloud     *Cloud
	service   *service
	operation operation
	region    string
	body      []byte
	// in are the parameters of a form.
	in *wire.Query
}

// serve answers one request, whichever service it is for.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{cloud: c, Call: &call.Call{Provider: Name, World: c.World, Operation: "unknown", ID: uuid.NewString(), At: c.World.Clock.Now(), Request: r}}
	x.service = c.services["ec2"] // whose words are used while nobody knows whom a request is for
	out, err := x.process()
	status, header, body := http.StatusOK, w.Header(), []byte(nil)
	if err == nil {
		body, err = x.service.protocol.answer(x, header, out)
	}
	if err != nil {
		told := x.told(err)
		status, body = told.status, x.service.protocol.refusal(x, header, told)
	}
	x.Finish(status)
	header.Set("X-Amzn-Requestid", x.ID)
	header.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		c.Logger.DebugContext(r.Context(), "sandbox: aws: an answer did not arrive", "error", err)
	}
}

// process does what is asked, or says why not, in the order in which AWS looks.
func (x *exchange) process() (any, error) {
	if err := x.authenticate(); err != nil {
		return nil, err
	}
	var err error
	if x.operation, err = x.service.protocol.find(x); err != nil {
		return nil, err
	}
	x.Operation = x.operation.name
	if x.throttled() {
		return nil, &x.service.words.throttled
	}
	if err := x.View(x.aim); err != nil {
		return nil, err
	}
	fault, found, err := x.Misbehave()
	if err != nil {
		return nil, err
	}
	if found {
		return nil, x.faulty(fault)
	}
	if err := x.checkTaken(); err != nil {
		return nil, err
	}
	if err := x.authorize(); err != nil {
		return nil, err
	}
	if err := x.dryRun(); err != nil {
		return nil, err
	}
	return x.operation.handle(x)
}

// authenticate finds out which service is meant, and whether the request is signed by somebody we know.
func (x *exchange) authenticate() error {
	r := x.Request
	s, err := parseAuthorization(r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date"))
	if r.Header.Get("Authorization") == "" {
		return &x.service.words.unsigned
	}
	if err != nil {
		return refuseAs(http.StatusForbidden, "IncompleteSignature", "%v", err)
	}
	service, known := x.cloud.services[s.service]
	if !known {
		return refuseAs(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to correct service: the sandbox has no %.40q, only %s.",
			s.service, strings.Join(slices.Sorted(maps.Keys(x.cloud.services)), ", "))
	}
	x.service, x.region = service, s.region
	if x.body, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody)); err != nil {
		return refuseAs(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the request's body cannot be read, or has more than %d bytes", maxBody)
	}
	if err := x.cloud.verify(s, r, x.body, service.words); err != nil {
		return err
	}
	if _, known := findRegion(x.region); !known {
		return refuseAs(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to a valid region: %.40q is none.", x.region)
	}
	return nil
}

// dryRun ends a request that only asks whether it would be allowed.
func (x *exchange) dryRun() error {
	if x.in == nil {
		return nil
	}
	dry, err := x.in.Flag("DryRun", false)
	if err != nil {
		return refuse(x.service.words.invalid, "%v", err)
	}
	if dry {
		return refuseAs(http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	return nil
}

// faulty is the answer that an early fault asks for, in the service's words.
func (x *exchange) faulty(fault world.Fault) error {
	words := &x.service.words
	switch {
	case fault.Fault == world.Throttle:
		return &words.throttled
	case fault.Fault == world.Denied:
		return x.deny(x.service.prefix+":"+x.operation.name, "*")
	case fault.Fault == world.Quota:
		return x.overQuota()
	case fault.Status == http.StatusServiceUnavailable:
		return &words.unavailable
	}
	failed := words.failed
	if fault.Status != 0 {
		failed.status = fault.Status
	}
	return &failed
}

// told is what the caller gets to see of an error. What went wrong with us is logged.
func (x *exchange) told(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	x.cloud.Logger.ErrorContext(x.Request.Context(), "sandbox: aws: a request failed", "operation", x.Operation, "request", x.ID, "error", err)
	return &x.service.words.failed
}

// commit makes a change, view looks; both see what is due by now as done.
func (x *exchange) commit(change func(*world.Tx) error) error {
	return x.Commit(func(tx *world.Tx) error {
		if err := settle(tx, x.At); err != nil {
			return err
		}
		return change(tx)
	})
}

func (x *exchange) view(look func(*world.Tx) error) error {
	return x.View(func(tx *world.Tx) error {
		if err := settle(tx, x.At); err != nil {
			return err
		}
		return look(tx)
	})
}

// begin is the transition by which this request makes or changes something.
func (x *exchange) begin(tx *world.Tx, id string, takes time.Duration) (world.Transition, error) {
	return x.Begin(tx, id, takes, "an internal error occurred while the resource was created")
}

// record writes a line of the ledger.
func (x *exchange) record(tx *world.Tx, change, kind, id, name string, marks tags) error {
	effect := x.Effect(change, kind, id, name)
	effect.Tags = marks.texts()
	return tx.Record(effect)
}

// decode reads a JSON body. What the sandbox does not know is refused, not ignored.
func (x *exchange) decode(into any) error {
	body := x.body
	if len(body) == 0 {
		body = []byte("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return refuse(x.service.words.invalid, "The request's body is not what %s takes: %v", x.operation.name, err)
	}
	return nil
}

// needs refuses a request that lacks one of the parameters.
func (x *exchange) needs(names ...string) error {
	for _, name := range names {
		if !x.in.Has(name) {
			if x.service.scope == "ec2" {
				return refuse("MissingParameter", "The request must contain the parameter %s", name)
			}
			return refuse(x.service.words.invalid, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", lowerFirst(name))
		}
	}
	return nil
}

func lowerFirst(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// aim says what faults match: the names of what the request is about, and of what it is to make.
func (x *exchange) aim(tx *world.Tx) error {
	var names []string
	switch {
	case x.in != nil:
		names = formNames(x.in)
	case x.service.routes != nil:
		names = x.pathNames()
	}
	for i, name := range names {
		prefix, _, _ := strings.Cut(name, "-")
		known, err := tx.NameOf(ref(prefixes[prefix], name))
		if err != nil {
			return err
		}
		if known != "" {
			names[i] = known
		}
	}
	x.Target = strings.Join(slices.Compact(names), "/")
	return nil
}

// formNames are the names in a form: ids, the tag Name of what is to be made, and what services call a name.
func formNames(in *wire.Query) []string {
	var names []string
	for _, parameter := range in.Names() {
		switch {
		case parameter == "TagSpecification":
			for _, spec := range in.Items(parameter) {
				names = append(names, readTags(spec, "Tag").name(""))
			}
		case strings.HasSuffix(parameter, "Id"), strings.HasSuffix(parameter, "Name"), strings.HasSuffix(parameter, "Arn"):
			if text := in.Text(parameter); text != "" {
				names = append(names, text)
			}
			names = append(names, in.Texts(parameter)...)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// pathNames are the names in a path and in the body of what is to be made.
func (x *exchange) pathNames() []string {
	var names []string
	for _, parameter := range []string{"name", "nodegroupName", "addonName", "principalArn", "associationId"} {
		if value := x.Request.PathValue(parameter); value != "" {
			names = append(names, value)
		}
	}
	var body map[string]any
	// A body that is not what it should be has no name; the handler will say what is wrong with it.
	if json.Unmarshal(x.body, &body) == nil {
		for _, member := range []string{"name", "nodegroupName", "addonName", "principalArn"} {
			if name, is := body[member].(string); is && name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// arn is the name of a resource of this account and region.
func (x *exchange) arn(service, resource string) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, x.region, x.cloud.Account, resource)
}
