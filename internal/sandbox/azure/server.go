package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/call"
	"github.com/m3o/platform/internal/sandbox/world"
)

// maxBody is the most that a request may send: the Resource Manager's own limit is 4 MB.
const maxBody = 4 << 20

// request is one request being answered.
type request struct {
	*call.Call
	cloud   *Cloud
	route   *route
	http    *http.Request
	params  map[string]string
	body    []byte
	version string
	header  http.Header
	// changed says that something inside the resource changes with it.
	changed bool
}

// reply is an answer. A nil body is none.
type reply struct {
	status int
	body   any
}

// base is the URL at which the caller reached us.
func (r *request) base() string { return "https://" + r.http.Host }

// serve answers a request: whatever happens, the answer has the Resource Manager's form and its ids.
func (c *Cloud) serve(w http.ResponseWriter, in *http.Request) {
	matched, params := match(in.Method, in.URL.Path)
	r := &request{cloud: c, route: matched, http: in, params: params, header: w.Header(), version: in.URL.Query().Get("api-version"),
		Call: &call.Call{Provider: Name, World: c.World, Operation: matched.operation, ID: uuid.NewString(), At: c.World.Clock.Now(), Request: in}}
	r.tellIDs()
	answer, err := r.answer()
	if err != nil {
		answer = r.refuse(err)
	}
	r.Finish(answer.status)
	r.write(w, answer)
}

// tellIDs sets the headers that every answer has.
func (r *request) tellIDs() {
	h := r.header
	correlation := r.http.Header.Get("x-ms-correlation-request-id")
	if _, err := uuid.Parse(correlation); err != nil {
		correlation = r.ID
	}
	h.Set("x-ms-request-id", r.ID)
	h.Set("x-ms-correlation-request-id", correlation)
	h.Set("x-ms-routing-request-id", "SANDBOX:"+r.At.Format("20060102T150405Z")+":"+r.ID)
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	if client := r.http.Header.Get("x-ms-client-request-id"); len(client) <= 64 && strings.EqualFold(r.http.Header.Get("x-ms-return-client-request-id"), "true") {
		h.Set("x-ms-client-request-id", client)
	}
}

func (r *request) answer() (reply, error) {
	var err error
	if r.body, err = io.ReadAll(http.MaxBytesReader(nil, r.http.Body, maxBody)); err != nil {
		return reply{}, arm(http.StatusRequestEntityTooLarge, "RequestContentTooLarge", "The request content size exceeds the maximum size of %d bytes.", maxBody)
	}
	r.Target = r.target()
	if !r.route.open {
		if err := r.admit(); err != nil {
			return reply{}, err
		}
	}
	if err := r.misbehave(); err != nil {
		return reply{}, err
	}
	// In a commit of its own: a request that is refused takes back what it did itself, not what time did.
	if err := r.View(r.cloud.settle); err != nil {
		return reply{}, err
	}
	return r.route.handle(r)
}

// admit lets in who may do this, now, in a version of the API that there is. The order is the Resource Manager's.
func (r *request) admit() error {
	if err := r.authenticate(); err != nil {
		return err
	}
	if err := r.checkVersion(); err != nil {
		return err
	}
	if id := r.params["subscriptionid"]; id != "" && !strings.EqualFold(id, r.cloud.Account.Subscription) {
		return arm(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", id)
	}
	if err := r.spend(); err != nil {
		return err
	}
	return r.authorize()
}

// authenticate verifies the access token. Whoever has one is the account's service principal: the directory has no other.
func (r *request) authenticate() error {
	token, isBearer := strings.CutPrefix(r.http.Header.Get("Authorization"), "Bearer ")
	if !isBearer {
		return unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	_, err := r.cloud.authority.verify(token, r.cloud.audiences(r.base()))
	if err == nil {
		return nil
	}
	if strings.Contains(err.Error(), "expired") {
		return unauthorized("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
	}
	if strings.Contains(err.Error(), "audience") {
		return unauthorized("InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource.")
	}
	return unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
}

// target is the name that faults match: the names in the path, joined by "/".
func (r *request) target() string {
	var names []string
	for _, p := range r.route.names {
		if value := r.params[p]; value != "" {
			names = append(names, value)
		}
	}
	return strings.Join(names, "/")
}

// misbehave carries out the faults that show before anything is done.
func (r *request) misbehave() error {
	fault, found, err := r.Misbehave()
	if err != nil || !found {
		return err
	}
	switch fault.Fault {
	case world.Throttle:
		return tooMany(r.route.isAKS(), r.cloud.World.Clock.Scaled(time.Minute))
	case world.Denied:
		if r.route.open {
			return &loginError{http.StatusUnauthorized, "invalid_client", 7000222, "The provided client secret keys are expired."}
		}
		return r.denied(r.route.action, r.scope())
	case world.Quota:
		return r.quotaRefusal()
	case world.LostBefore:
		return serverFault(http.StatusGatewayTimeout)
	}
	return serverFault(fault.Status)
}

// decode reads a JSON object.
func (r *request) decode() (map[string]any, error) {
	var body map[string]any
	if err := json.Unmarshal(r.body, &body); err != nil || body == nil {
		return nil, badRequest("InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", jsonProblem(err))
	}
	return body, nil
}

func jsonProblem(err error) string {
	if err == nil {
		return "it is null"
	}
	return err.Error()
}

// refuse turns an error into an answer. What went wrong with us is logged, not told.
func (r *request) refuse(err error) reply {
	var login *loginError
	if errors.As(err, &login) {
		return reply{status: login.status, body: login.body(r.ID, r.At)}
	}
	refused, ours := asRefusal(err)
	if ours {
		r.cloud.Logger.ErrorContext(r.http.Context(), "sandbox: azure: a request failed", "operation", r.Operation, "request", r.ID, "error", err)
	}
	if refused.retryAfter > 0 {
		r.header.Set("Retry-After", seconds(refused.retryAfter))
	}
	if refused.gateway {
		r.header.Set("x-ms-failure-cause", "gateway")
	}
	if refused.challenge != "" {
		r.header.Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization_uri="%s/%s", %s`, r.base(), r.cloud.Account.Tenant, refused.challenge))
	}
	if r.http.Method == http.MethodHead {
		return reply{status: refused.status}
	}
	return reply{status: refused.status, body: errorBody{errorDetail{Code: refused.code, Message: refused.message}}}
}

func (r *request) write(w http.ResponseWriter, answer reply) {
	var data []byte
	if answer.body != nil {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		var err error
		if r.route.isAKS() {
			data, err = json.MarshalIndent(answer.body, "", "  ") // as that provider does
		} else {
			data, err = json.Marshal(answer.body)
		}
		if err != nil {
			panic(fmt.Sprintf("an answer of ours is not JSON: %v", err)) // maps and plain structs: cannot be
		}
	}
	w.WriteHeader(answer.status)
	if _, err := w.Write(data); err != nil && !errors.Is(err, context.Canceled) {
		r.cloud.Logger.DebugContext(r.http.Context(), "sandbox: azure: an answer did not arrive", "error", err)
	}
}
