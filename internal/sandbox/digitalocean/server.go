package digitalocean

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

// maxBody is the most that a request may send.
const maxBody = 1 << 20

// call is one request being answered.
type call struct {
	cloud     *Cloud
	operation string
	request   *http.Request
	body      []byte
	id        string
	at        time.Time
	// lost says that a fault wants the answer to be dropped; committed that a commit has asked for such a fault.
	lost, committed bool
}

// reply is an answer. A nil body is none.
type reply struct {
	status int
	body   any
	// yaml is the body of the one answer that is not JSON.
	yaml []byte
}

// handler answers a call.
type handler func(*call) (reply, error)

func (c *Cloud) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.method+" "+r.pattern, c.serve(r))
	}
	mux.Handle("/", c.serve(route{operation: "unknown", handle: func(*call) (reply, error) { return reply{}, unknownRoute() }}))
	return mux
}

// serve answers one route: whatever happens, the answer has the API's form, its rate limit and a request id.
func (c *Cloud) serve(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		one := &call{cloud: c, operation: r.operation, request: request, id: uuid.NewString(), at: c.World.Clock.Now()}
		answer, err := one.answer(w.Header(), r)
		if err != nil {
			answer = one.refuse(w.Header(), err)
		}
		c.World.Requests.Add(world.Request{Provider: Name, Method: request.Method, Path: request.URL.Path,
			Operation: r.operation, Status: answer.status, RequestID: one.id, At: one.at})
		if one.lost {
			// ErrAbortHandler closes the connection without a word, as a network failure would.
			panic(http.ErrAbortHandler)
		}
		one.write(w, answer)
	})
}

func (c *call) answer(header http.Header, r route) (reply, error) {
	header.Set("x-request-id", c.id)
	allowed := c.cloud.limiter.take()
	allowed.tell(header)
	if !c.authorized() {
		return reply{}, unauthorized()
	}
	if allowed.wait > 0 {
		return reply{}, tooManyRequests(seconds(allowed.wait))
	}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(nil, c.request.Body, maxBody)); err != nil {
		return reply{}, badRequest("the request's body cannot be read, or has more than %d bytes", maxBody)
	}
	if err := c.misbehave(header, r); err != nil || c.lost {
		return reply{}, err
	}
	answer, err := r.handle(c)
	if c.committed {
		return answer, err
	}
	// Nothing was committed, by a read or a refusal: the answer can be lost all the same.
	return answer, errors.Join(err, c.loseAnswer(r))
}

// authorized compares digests, so that neither content nor length of the token leaks through time.
func (c *call) authorized() bool {
	token, isBearer := strings.CutPrefix(c.request.Header.Get("Authorization"), "Bearer ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(c.cloud.Token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && isBearer
}

// misbehave carries out the faults that show before anything is done.
func (c *call) misbehave(header http.Header, r route) error {
	slow, found, err := c.takeFault(r, world.Slow)
	if err != nil {
		return err
	}
	if found {
		if err := c.cloud.World.Clock.Wait(c.request.Context(), c.cloud.World.Clock.Now().Add(slow.Wait())); err != nil {
			return serverError(http.StatusServiceUnavailable)
		}
	}
	fault, found, err := c.takeFault(r, world.Early...)
	if err != nil || !found {
		return err
	}
	switch fault.Fault {
	case world.Throttle:
		header.Set("ratelimit-remaining", "0")
		return tooManyRequests(seconds(c.cloud.World.Clock.Scaled(time.Minute)))
	case world.Denied:
		return forbidden("You are not authorized to perform this operation")
	case world.Quota:
		return quotaRefusal(r.operation)
	case world.LostBefore:
		c.lost = true
		return nil
	default:
		return serverError(fault.Status)
	}
}

// quotaRefusal is what the API says when the account's limit is in the way of an operation.
func quotaRefusal(operation string) error {
	for prefix, what := range map[string]string{"vpcs_": "VPC", "volumes_": "volume"} {
		if strings.HasPrefix(operation, prefix) {
			return invalid("You have reached your %s limit. Please contact support to request an increase.", what)
		}
	}
	return unprocessable("creating this/these droplet(s) will exceed your droplet limit")
}

// takeFault uses up a fault that is about this call, in a commit of its own.
func (c *call) takeFault(r route, kinds ...string) (fault world.Fault, found bool, err error) {
	err = c.cloud.World.View(c.request.Context(), func(tx *world.Tx) error {
		name, err := c.target(tx, r)
		if err == nil {
			fault, found, err = tx.TakeFault(Name, c.operation, name, kinds...)
		}
		return err
	})
	return fault, found, err
}

// loseAnswer looks for a fault that wants the answer to be lost.
func (c *call) loseAnswer(r route) error {
	_, found, err := c.takeFault(r, world.Lost)
	c.lost = found
	return err
}

// target is the name that faults match: that of the resource in the path, and that of the one to be made.
func (c *call) target(tx *world.Tx, r route) (string, error) {
	var names []string
	for _, p := range pathKinds {
		id := c.request.PathValue(p.parameter)
		if id == "" {
			continue
		}
		name, err := tx.NameOf(ref(p.kind, id))
		if err != nil {
			return "", err
		}
		names = append(names, name)
	}
	if r.method == http.MethodPost {
		var named struct {
			Name string `json:"name"`
		}
		// A body that is not what it should be has no name; the handler will say what is wrong with it.
		if err := json.Unmarshal(c.body, &named); err == nil && named.Name != "" {
			names = append(names, named.Name)
		}
	}
	return strings.Join(names, "/"), nil
}

// commit makes a change, with the loss of its answer if a fault wants it. The answer may be given when it returns.
func (c *call) commit(change func(*world.Tx) error) error {
	err := c.cloud.World.Update(c.request.Context(), func(tx *world.Tx) error {
		// The name is looked up before the change may remove it.
		name, err := c.target(tx, route{method: c.request.Method})
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		_, c.lost, err = tx.TakeFault(Name, c.operation, name, world.Lost)
		return err
	})
	c.committed = err == nil
	return err
}

// view looks at the state.
func (c *call) view(look func(*world.Tx) error) error {
	return c.cloud.World.View(c.request.Context(), look)
}

// begin is the transition by which this call makes or changes something, spoiled if a fault wants it.
func (c *call) begin(tx *world.Tx, id string, takes time.Duration) (world.Transition, error) {
	t, err := c.beginEnd(tx, id, takes)
	if err != nil || t.Stuck {
		return t, err
	}
	name, err := c.target(tx, route{method: c.request.Method})
	if err != nil {
		return t, err
	}
	_, late, err := tx.TakeFault(Name, c.operation, name, world.Late)
	if late {
		t.Fail = "provisioning failed: an internal error occurred while creating the resource"
	}
	return t, err
}

// beginEnd is the transition by which this call removes something. What goes is never ready, so it cannot fail late.
func (c *call) beginEnd(tx *world.Tx, id string, takes time.Duration) (world.Transition, error) {
	t := world.Transition{Operation: c.operation, Key: c.id, RequestedAt: c.at, Due: c.cloud.World.Clock.Due(c.at, takes, id)}
	name, err := c.target(tx, route{method: c.request.Method})
	if err != nil {
		return t, err
	}
	_, t.Stuck, err = tx.TakeFault(Name, c.operation, name, world.Stuck)
	return t, err
}

// effect is a line of the ledger about what this call did.
func (c *call) effect(kind, resource, id, name string) world.Effect {
	at := c.at
	return world.Effect{Provider: Name, Operation: c.operation, Kind: kind, Resource: resource, ID: id, Name: name,
		Key: c.id, RequestedAt: &at}
}

// decode reads a JSON body.
func (c *call) decode(into any) error {
	if len(c.body) == 0 {
		return badRequest("the request has no body")
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return unprocessable("%s must not be a %s", wrong.Field, wrong.Value)
		}
		return badRequest("the request's body is not JSON: %v", err)
	}
	return nil
}

// refuse turns an error into an answer. What went wrong with us is logged, not told.
func (c *call) refuse(header http.Header, err error) reply {
	r, ours := asRefusal(err)
	if ours {
		c.cloud.Logger.ErrorContext(c.request.Context(), "sandbox: digitalocean: a request failed", "operation", c.operation, "request", c.id, "error", err)
	}
	if r.retryAfter > 0 {
		header.Set("retry-after", strconv.Itoa(r.retryAfter))
	}
	return reply{status: r.status, body: errorBody{ID: r.id, Message: r.message, RequestID: c.id}}
}

func (c *call) write(w http.ResponseWriter, answer reply) {
	var data []byte
	switch {
	case answer.yaml != nil:
		w.Header().Set("Content-Type", "application/yaml")
		data = answer.yaml
	case answer.body != nil:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		var err error
		if data, err = json.Marshal(answer.body); err != nil {
			panic(fmt.Sprintf("an answer of ours is not JSON: %v", err)) // plain structs: cannot be
		}
	}
	w.WriteHeader(answer.status)
	if _, err := w.Write(data); err != nil && !errors.Is(err, context.Canceled) {
		c.cloud.Logger.DebugContext(c.request.Context(), "sandbox: digitalocean: an answer did not arrive", "error", err)
	}
}
