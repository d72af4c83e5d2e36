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

	"github.com/m3o/platform/internal/sandbox/call"
	"github.com/m3o/platform/internal/sandbox/world"
)

// maxBody is the most that a request may send.
const maxBody = 1 << 20

// exchange is one request being answered.
type exchange struct {
	call.Call
	cloud *Cloud
	body  []byte
}

// reply is an answer. A nil body is none.
type reply struct {
	status int
	body   any
	// yaml is the body of the one answer that is not JSON.
	yaml []byte
}

// handler answers a call.
type handler func(*exchange) (reply, error)

func (c *Cloud) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.method+" "+r.pattern, c.serve(r))
	}
	mux.Handle("/", c.serve(route{operation: "unknown", handle: func(*exchange) (reply, error) { return reply{}, unknownRoute() }}))
	return mux
}

// serve answers one route: whatever happens, the answer has the API's form, its rate limit and a request id.
func (c *Cloud) serve(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		one := &exchange{cloud: c, Call: call.Call{Provider: Name, World: c.World, Operation: r.operation, ID: uuid.NewString(),
			At: c.World.Clock.Now(), Request: request}}
		answer, err := one.answer(w.Header(), r)
		if err != nil {
			answer = one.refuse(w.Header(), err)
		}
		one.Finish(answer.status)
		one.write(w, answer)
	})
}

func (c *exchange) answer(header http.Header, r route) (reply, error) {
	header.Set("x-request-id", c.ID)
	allowed := c.cloud.budget.Take("")
	tell(header, allowed)
	if !c.authorized() {
		return reply{}, unauthorized()
	}
	if allowed.Wait > 0 {
		return reply{}, tooManyRequests(seconds(allowed.Wait))
	}
	if err := c.cloud.granted.refuses(c.Operation); err != nil {
		return reply{}, err
	}
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(nil, c.Request.Body, maxBody)); err != nil {
		return reply{}, badRequest("the request's body cannot be read, or has more than %d bytes", maxBody)
	}
	if err := c.View(c.setTarget); err != nil {
		return reply{}, err
	}
	fault, found, err := c.Misbehave()
	if err != nil {
		return reply{}, err
	}
	if found {
		return reply{}, c.spoil(header, fault)
	}
	return r.handle(c)
}

// authorized compares digests, so that neither content nor length of the token leaks through time.
func (c *exchange) authorized() bool {
	token, isBearer := strings.CutPrefix(c.Request.Header.Get("Authorization"), "Bearer ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(c.cloud.Token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && isBearer
}

// spoil puts a fault in the API's words.
func (c *exchange) spoil(header http.Header, fault world.Fault) error {
	switch fault.Fault {
	case world.Throttle:
		header.Set("ratelimit-remaining", "0")
		return tooManyRequests(seconds(c.World.Clock.Scaled(time.Minute)))
	case world.Denied:
		return forbidden("You are not authorized to perform this operation")
	case world.Quota:
		return quotaRefusal(c.Operation)
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

// setTarget finds the name that faults match: that of the resource in the path, and that of the one to be made.
func (c *exchange) setTarget(tx *world.Tx) error {
	var names []string
	for _, p := range pathKinds {
		id := c.Request.PathValue(p.parameter)
		if id == "" {
			continue
		}
		name, err := tx.NameOf(ref(p.kind, id))
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	if c.Request.Method == http.MethodPost {
		var named struct {
			Name string `json:"name"`
		}
		// A body that is not what it should be has no name; the handler will say what is wrong with it.
		if err := json.Unmarshal(c.body, &named); err == nil && named.Name != "" {
			names = append(names, named.Name)
		}
	}
	c.Target = strings.Join(names, "/")
	return nil
}

// begin is the transition by which this exchange makes or changes something.
func (c *exchange) begin(tx *world.Tx, id string, takes time.Duration) (world.Transition, error) {
	return c.Begin(tx, id, takes, "provisioning failed: an internal error occurred while creating the resource")
}

// decode reads a JSON body.
func (c *exchange) decode(into any) error {
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
func (c *exchange) refuse(header http.Header, err error) reply {
	r, ours := asRefusal(err)
	if ours {
		c.cloud.Logger.ErrorContext(c.Request.Context(), "sandbox: digitalocean: a request failed", "operation", c.Operation, "request", c.ID, "error", err)
	}
	if r.retryAfter > 0 {
		header.Set("retry-after", strconv.Itoa(r.retryAfter))
	}
	return reply{status: r.status, body: errorBody{ID: r.id, Message: r.message, RequestID: c.ID}}
}

func (c *exchange) write(w http.ResponseWriter, answer reply) {
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
		c.cloud.Logger.DebugContext(c.Request.Context(), "sandbox: digitalocean: an answer did not arrive", "error", err)
	}
}
