package gcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/m3o/platform/internal/sandbox/call"
	"github.com/m3o/platform/internal/sandbox/world"
)

// request is one request being answered.
type request struct {
	*call.Call
	cloud  *Cloud
	route  route
	vars   map[string]string
	body   []byte
	caller string // the service account's address
}

// serve answers a request: whatever happens, the answer has the form of the service's API.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	found, vars := c.match(r.Method, r.URL.Path)
	one := &request{cloud: c, route: found, vars: vars,
		Call: &call.Call{Provider: Name, World: c.World, Operation: found.operation, ID: uuid.NewString(), At: c.World.Clock.Now(), Request: r}}
	answer, err := one.answer()
	status := http.StatusOK
	if err != nil {
		status, answer = one.refuse(w.Header(), err)
	}
	one.Finish(status)
	one.write(w, status, answer)
}

// answer has the request pass all that stands before a method: form, credentials, budgets, faults, permissions.
func (r *request) answer() (any, error) {
	if r.route.handle == nil {
		return nil, unknownMethod(r.Request.URL.Path)
	}
	var err error
	if r.body, err = io.ReadAll(http.MaxBytesReader(nil, r.Request.Body, maxBody)); err != nil {
		return nil, invalid("Request payload size exceeds the limit: %d bytes.", maxBody)
	}
	r.Target = r.target()
	if !r.route.open {
		if err := r.authenticate(); err != nil {
			return nil, err
		}
		if err := r.cloud.budgets.take(r.route, r.vars); err != nil {
			return nil, err
		}
	}
	if err := r.misbehave(); err != nil || r.Lost {
		return nil, err
	}
	if !r.route.open {
		if err := r.checkProject(); err != nil {
			return nil, err
		}
		if err := r.authorize(r.route.permissions...); err != nil {
			return nil, err
		}
	}
	// What is due has happened before the method looks, in a commit of its own: a refusal that tells of it must not undo it.
	if err := r.View(func(tx *world.Tx) error { return settle(tx, r.At) }); err != nil {
		return nil, err
	}
	return r.route.handle(r)
}

// authenticate learns who calls.
func (r *request) authenticate() error {
	token, isBearer := strings.CutPrefix(r.Request.Header.Get("Authorization"), "Bearer ")
	if !isBearer {
		return unauthenticated("CREDENTIALS_MISSING")
	}
	email, err := r.cloud.callerOf(r.Request.Context(), token)
	if err != nil {
		return err
	}
	r.caller = email
	return nil
}

// misbehave carries out the faults that show before anything is done.
func (r *request) misbehave() error {
	fault, found, err := r.Misbehave()
	if err != nil || !found {
		return err
	}
	switch fault.Fault {
	case world.Throttle:
		return tooMany(r.route.service, "default_requests", "global")
	case world.Denied:
		needed := "resourcemanager.projects.get"
		if len(r.route.permissions) > 0 {
			needed = r.route.permissions[0]
		}
		return r.lacks(needed)
	case world.Quota:
		return r.quotaFault()
	case world.LostBefore:
		return nil
	}
	return serverError(fault.Status)
}

// quotaFault is what the service says when the project's limit is in the way of the method.
func (r *request) quotaFault() error {
	if r.route.collection != nil && r.route.collection.quota != "" {
		return overQuota(serviceCompute, r.route.collection.quota, projectLimits[r.route.collection.quota], "globally")
	}
	return shortOf("CPUS", 2, 0, regionLimits["CPUS"])
}

// target is the name that faults match: those of the path, and of what is to be made.
func (r *request) target() string {
	var names []string
	for _, variable := range r.route.names {
		names = append(names, r.vars[variable])
	}
	if r.Request.Method == http.MethodPost {
		var named struct {
			Name      string `json:"name"`
			AccountID string `json:"accountId"`
			Cluster   struct {
				Name string `json:"name"`
			} `json:"cluster"`
			NodePool struct {
				Name string `json:"name"`
			} `json:"nodePool"`
		}
		// A body that is not what it should be has no name; the method says what is wrong with it.
		if err := json.Unmarshal(r.body, &named); err == nil {
			for _, name := range []string{named.Name, named.AccountID, named.Cluster.Name, named.NodePool.Name} {
				if name != "" {
					names = append(names, name)
				}
			}
		}
	}
	return strings.Join(names, "/")
}

// decode reads a JSON body into a struct of the official SDK, which knows all fields that there are.
func (r *request) decode(into any) error {
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return invalid("Invalid value at '%s' (%s), a %s was found.", wrong.Field, wrong.Type, wrong.Value)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return invalid("Invalid JSON payload received. Unknown name %s: Cannot find field.", strings.TrimPrefix(err.Error(), "json: unknown field "))
	}
	return invalid("Invalid JSON payload received. %v", err)
}

// decodeProto reads a body of the container API: enums as names or numbers, no unknown fields.
func (r *request) decodeProto(into proto.Message) error {
	if len(r.body) == 0 {
		return nil
	}
	if err := protojson.Unmarshal(r.body, into); err != nil {
		return invalid("Invalid JSON payload received. %v", err)
	}
	return nil
}

// refuse turns an error into an answer. What went wrong with us is logged, not told.
func (r *request) refuse(header http.Header, err error) (int, any) {
	var refused *tokenRefusal
	if errors.As(err, &refused) {
		return refused.status, refused
	}
	told, ours := asRefusal(err)
	if ours {
		r.cloud.Logger.ErrorContext(r.Request.Context(), "sandbox: gcp: a request failed", "operation", r.Operation, "request", r.ID, "error", err)
	}
	if told.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
	}
	return told.status, told.body(r.route.service, r.ID)
}

// write sends an answer.
func (r *request) write(w http.ResponseWriter, status int, answer any) {
	data, err := r.encode(answer)
	if err != nil {
		panic(fmt.Sprintf("an answer of ours is not JSON: %v", err)) // our own documents: cannot be
	}
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=UTF-8")
	header.Set("Server", "ESF")
	header.Set("Vary", "Origin, X-Origin, Referer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	header.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if _, err := w.Write(data); err != nil {
		r.cloud.Logger.DebugContext(r.Request.Context(), "sandbox: gcp: an answer did not arrive", "error", err)
	}
}

func (r *request) encode(answer any) ([]byte, error) {
	m, isProto := answer.(proto.Message)
	if !isProto {
		return json.MarshalIndent(answer, "", "  ")
	}
	return protojson.MarshalOptions{Multiline: true, UseEnumNumbers: r.wantsNumbers()}.Marshal(m)
}

// wantsNumbers says whether enums are to be numbers, as the REST clients of the SDK ask.
func (r *request) wantsNumbers() bool {
	query := r.Request.URL.Query()
	return strings.Contains(query.Get("$alt")+query.Get("alt"), "enum-encoding=int")
}
