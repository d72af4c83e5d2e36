package slack

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/budget"
	"github.com/m3o/platform/internal/sandbox/call"
	"github.com/m3o/platform/internal/sandbox/world"
)

const maxBody = 256 << 10

// method is one of the Web API's.
type method struct {
	name   string
	rate   budget.Bucket
	handle func(*exchange) (map[string]any, error)
}

// perMinute is the budget of one of Slack's tiers.
func perMinute(n float64) budget.Bucket { return budget.Bucket{Burst: int(n), PerSecond: n / 60} }

// methods are those that the sandbox has. Messages are limited to one a second in each channel, with short bursts.
var methods = []method{
	{"auth.test", perMinute(600), testAuth},
	{"chat.postMessage", budget.Bucket{Burst: 4, PerSecond: 1}, postMessage},
	{"chat.postEphemeral", perMinute(100), postEphemeral},
	{"chat.update", perMinute(50), updateMessage},
	{"conversations.history", perMinute(50), history},
	{"conversations.replies", perMinute(50), replies},
	{"conversations.open", perMinute(50), openConversation},
	{"users.info", perMinute(100), userInfo},
	{"users.lookupByEmail", perMinute(50), lookupByEmail},
}

// exchange is one request being answered.
type exchange struct {
	call.Call
	cloud *Cloud
	form  url.Values
}

// failure is an error as the API has it: an answer 200 that is not ok.
type failure string

func (f failure) Error() string { return string(f) }

// refusal is an answer of another status.
type refusal struct {
	status int
	wait   time.Duration
}

func (r *refusal) Error() string { return http.StatusText(r.status) }

func (c *Cloud) routes() http.Handler {
	mux := http.NewServeMux()
	for _, m := range methods {
		mux.Handle("/api/"+m.name, c.serve(m))
	}
	mux.HandleFunc("POST /actions/{team}/{id}/{secret}", c.respond)
	mux.Handle("/", c.serve(method{name: "unknown", rate: perMinute(600), handle: func(*exchange) (map[string]any, error) { return nil, failure("unknown_method") }}))
	return mux
}

func (c *Cloud) serve(m method) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		one := &exchange{cloud: c, Call: call.Call{Provider: Name, World: c.World, Operation: m.name, ID: uuid.NewString(), At: c.World.Clock.Now(), Request: request}}
		body, err := one.answer(m)
		status := http.StatusOK
		if err != nil {
			status, body = one.refuse(w.Header(), err)
		} else {
			body["ok"] = true
		}
		one.Finish(status)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("X-Slack-Req-Id", one.ID)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the caller may have gone
	})
}

// refuse turns an error into an answer. What went wrong with us is logged, not told.
func (c *exchange) refuse(header http.Header, err error) (int, map[string]any) {
	var said failure
	var other *refusal
	switch {
	case errors.As(err, &said):
		return http.StatusOK, map[string]any{"ok": false, "error": string(said)}
	case !errors.As(err, &other):
		c.cloud.Logger.ErrorContext(c.Request.Context(), "sandbox: slack: a request failed", "operation", c.Operation, "request", c.ID, "error", err)
		return http.StatusOK, map[string]any{"ok": false, "error": "internal_error"}
	case other.status == http.StatusTooManyRequests:
		header.Set("Retry-After", strconv.Itoa(int(max(1, (other.wait+time.Second-1)/time.Second))))
		return other.status, map[string]any{"ok": false, "error": "ratelimited"}
	}
	return other.status, map[string]any{"ok": false, "error": "service_unavailable"}
}

func (c *exchange) answer(m method) (map[string]any, error) {
	if err := c.read(); err != nil {
		return nil, err
	}
	if err := c.authorize(); err != nil {
		return nil, err
	}
	c.Target = c.target()
	fault, found, err := c.Misbehave()
	if err != nil {
		return nil, err
	}
	if found {
		return nil, spoil(fault)
	}
	key := m.name
	if m.name == "chat.postMessage" {
		key += " " + c.form.Get("channel")
	}
	if allowed := c.cloud.budget.Take(key, m.rate); allowed.Wait > 0 {
		return nil, &refusal{status: http.StatusTooManyRequests, wait: allowed.Wait}
	}
	return m.handle(c)
}

// read reads the arguments, from the query and a body that is a form or JSON.
func (c *exchange) read() error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, c.Request.Body, maxBody))
	if err != nil {
		return failure("request_timeout")
	}
	c.form = c.Request.URL.Query()
	if strings.HasPrefix(c.Request.Header.Get("Content-Type"), "application/json") {
		var values map[string]json.RawMessage
		if err := json.Unmarshal(body, &values); err != nil {
			return failure("invalid_json")
		}
		for name, raw := range values {
			var plain string
			if json.Unmarshal(raw, &plain) != nil {
				plain = string(raw)
			}
			c.form.Set(name, plain)
		}
		return nil
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return failure("invalid_form_data")
	}
	for name, of := range values {
		c.form[name] = of
	}
	return nil
}

// authorize compares digests, so that neither content nor length of the token leaks through time.
func (c *exchange) authorize() error {
	token := c.form.Get("token")
	if bearer, is := strings.CutPrefix(c.Request.Header.Get("Authorization"), "Bearer "); is {
		token = bearer
	}
	c.form.Del("token")
	if token == "" {
		return failure("not_authed")
	}
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(c.cloud.Credentials.BotToken))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return failure("invalid_auth")
	}
	return nil
}

// target is what faults match: the channel or the member that the request names, by id and by name.
func (c *exchange) target() string {
	what := c.form.Get("channel") + c.form.Get("users") + c.form.Get("user") + c.form.Get("email")
	err := c.View(func(tx *world.Tx) error {
		to, err := find(tx, what)
		if err == nil {
			what += " " + to.id + " " + to.address() + " " + to.member.Name
		}
		return nil // the method says what is wrong
	})
	if err != nil {
		return what
	}
	return what
}

// spoil puts a fault in the API's words.
func spoil(fault world.Fault) error {
	switch fault.Fault {
	case world.Throttle:
		return &refusal{status: http.StatusTooManyRequests, wait: time.Second}
	case world.Denied:
		return failure("account_inactive")
	}
	return &refusal{status: max(fault.Status, http.StatusInternalServerError)}
}
