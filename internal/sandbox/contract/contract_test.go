//go:build contract

package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

var specs = flag.String("specs", "", "folder with the official API descriptions")

// deviation is a place where the SDK or the sandbox is known to differ from the description, and why that is right.
type deviation struct {
	operation string
	// direction is "request" or "answer".
	direction string
	// pointer is the JSON pointer of what differs.
	pointer string
	reason  string
}

// checker is a transport that checks what passes through it.
type checker struct {
	t *testing.T
	// report is told of every difference that is not allowed.
	report  func(string)
	router  routers.Router
	next    http.RoundTripper
	allowed []deviation
	// headers are on every answer.
	headers []string
	// authorized says what is wrong with a request's credentials.
	authorized func(*http.Request) error
	// refusal judges answers that the description leaves out, which are refusals; nil: every answer is described.
	refusal func(status int, body []byte) error
	// defaults: the description's defaults are always there.
	defaults bool

	mu    sync.Mutex
	used  map[int]bool
	seen  map[string]int
	codes map[string][]int
}

// description reads a provider's own.
func description(t *testing.T, file string) *openapi3.T {
	t.Helper()
	if *specs == "" {
		t.Fatal("give -specs DIR: the folder with " + file)
	}
	data, err := os.ReadFile(filepath.Join(*specs, file))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// newChecker is for DigitalOcean's description.
func newChecker(t *testing.T, file string, allowed []deviation) *checker {
	t.Helper()
	c := newCheckerOf(t, description(t, file), allowed)
	c.headers, c.defaults = []string{"Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset", "X-Request-Id"}, true
	c.authorized = func(r *http.Request) error {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			return errors.New("no bearer token")
		}
		return nil
	}
	return c
}

func newCheckerOf(t *testing.T, doc *openapi3.T, allowed []deviation) *checker {
	t.Helper()
	doc.Servers = nil // ours is elsewhere
	for _, path := range doc.Paths.Map() {
		path.Servers = nil
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	report := func(problem string) { t.Error(problem) }
	return &checker{t: t, report: report, router: router, next: http.DefaultTransport, allowed: allowed,
		used: map[int]bool{}, seen: map[string]int{}, codes: map[string][]int{}}
}

// RoundTrip implements http.RoundTripper.
func (c *checker) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper must leave its request as it is
	body, err := drain(&r.Body)
	if err != nil {
		return nil, err
	}
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s is not in the description: %w", r.Method, r.URL.Path, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: c.options()}
	c.judge(route.Operation.OperationID, "request", openapi3filter.ValidateRequest(r.Context(), input))
	if route.Operation.RequestBody != nil {
		c.judgeFields(route.Operation.OperationID, "request", route.Operation.RequestBody.Value.Content, body)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return answer, c.checkAnswer(r.Context(), input, answer)
}

func (c *checker) checkAnswer(ctx context.Context, input *openapi3filter.RequestValidationInput, answer *http.Response) error {
	body, err := drain(&answer.Body)
	if err != nil {
		return err
	}
	operation := input.Route.Operation.OperationID
	described := describedAnswer(input.Route.Operation, answer.StatusCode)
	if described == nil && c.refusal != nil {
		answer.Body = io.NopCloser(bytes.NewReader(body))
		c.judge(operation, "answer", c.refusal(answer.StatusCode, body))
		c.count(operation, answer.StatusCode)
		return nil
	}
	c.judge(operation, "answer", openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.StatusCode, Header: answer.Header,
		Body: io.NopCloser(bytes.NewReader(body)), Options: c.options()}))
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if described != nil {
		c.judgeFields(operation, "answer", described.Content, body)
		if c.defaults {
			c.judgeDefaults(operation, described.Content, body)
		}
	}
	for _, header := range c.headers {
		if answer.Header.Get(header) == "" {
			c.report(fmt.Sprintf("%s: the answer has no header %s", operation, header))
		}
	}
	c.count(operation, answer.StatusCode)
	return nil
}

// count notes down an exchange.
func (c *checker) count(operation string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[operation]++
	if !slices.Contains(c.codes[operation], status) {
		c.codes[operation] = append(c.codes[operation], status)
	}
}

func (c *checker) options() *openapi3filter.Options {
	// What is sent stays what it was: defaults are the server's business.
	return &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, SkipSettingDefaults: true,
		AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
			return c.authorized(in.RequestValidationInput.Request)
		}}
}

// judge reports what the description does not allow and we do not either.
func (c *checker) judge(operation, direction string, err error) {
	for _, p := range problemsOf(err) {
		c.judgeOne(operation, direction, p.pointer, p.words)
	}
}

// judgeFields reports fields that the description does not have. It allows them, but whoever sends one is mistaken.
func (c *checker) judgeFields(operation, direction string, content openapi3.Content, body []byte) {
	described := content.Get("application/json")
	if described == nil || described.Schema == nil || len(body) == 0 {
		return
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return // the other check says so
	}
	for _, pointer := range undescribed(described.Schema, value, "") {
		c.judgeOne(operation, direction, pointer, "the description has no such field")
	}
}

// judgeDefaults reports fields that the answer leaves out although the description gives them a default.
func (c *checker) judgeDefaults(operation string, content openapi3.Content, body []byte) {
	described := content.Get("application/json")
	var value any
	if described == nil || described.Schema == nil || json.Unmarshal(body, &value) != nil {
		return
	}
	for _, pointer := range leftOut(described.Schema, value, "") {
		c.judgeOne(operation, "answer", pointer, "the description has a default for it, so that it is always there")
	}
}

func (c *checker) judgeOne(operation, direction, pointer, problem string) {
	i := slices.IndexFunc(c.allowed, func(d deviation) bool {
		return d.operation == operation && d.direction == direction && d.pointer == pointer
	})
	if i < 0 {
		c.report(fmt.Sprintf("%s: the %s differs from the description at %q: %s", operation, direction, pointer, problem))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[i] = true
}

// finish fails for operations that were not seen and deviations that did not happen.
func (c *checker) finish(operations []string) {
	c.t.Helper()
	for _, operation := range operations {
		if c.seen[operation] == 0 {
			c.report(fmt.Sprintf("operation %s was not checked", operation))
		}
	}
	for operation := range c.seen {
		if !slices.Contains(operations, operation) {
			c.report(fmt.Sprintf("operation %s was used but is not the sandbox's", operation))
		}
	}
	for i, d := range c.allowed {
		if !c.used[i] {
			c.report(fmt.Sprintf("the allowed deviation of %s (%s) at %s does not happen any more: remove it", d.operation, d.direction, d.pointer))
		}
	}
	total := 0
	for operation, n := range c.seen {
		total += n
		c.t.Logf("%s: %d exchanges, status %v", operation, n, c.codes[operation])
	}
	c.t.Logf("%d operations, %d exchanges agree with the description", len(c.seen), total)
}

func drain(body *io.ReadCloser) ([]byte, error) {
	if *body == nil {
		return nil, nil
	}
	defer (*body).Close()
	return io.ReadAll(*body)
}
