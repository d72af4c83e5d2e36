//go:build contract

package contract

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/digitalocean/godo"
	"github.com/getkin/kin-openapi/openapi3"
)

// alter changes an answer on its way.
type alter struct {
	next   http.RoundTripper
	change func(*http.Response, string) string
}

func (a alter) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := a.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := drain(&answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader([]byte(a.change(answer, string(body)))))
	answer.ContentLength = -1
	return answer, nil
}

// TestTheCheckNotices spoils answers, and sees that the check says so: a check that cannot fail is none.
func TestTheCheckNotices(t *testing.T) {
	for name, spoil := range map[string]func(*http.Response, string) string{
		"a wrong type": func(_ *http.Response, body string) string {
			return strings.Replace(body, `"droplet_limit":25`, `"droplet_limit":"25"`, 1)
		},
		"a missing field": func(_ *http.Response, body string) string {
			return strings.Replace(body, `"email":`, `"mail":`, 1)
		},
		"a field too many": func(_ *http.Response, body string) string {
			return strings.Replace(body, `{"droplet_limit"`, `{"surprise":1,"droplet_limit"`, 1)
		},
		"a value that is none of the list": func(_ *http.Response, body string) string {
			return strings.Replace(body, `"status":"active"`, `"status":"sleepy"`, 1)
		},
		"a missing header": func(answer *http.Response, body string) string {
			answer.Header.Del("Ratelimit-Reset")
			return body
		},
		"an answer that is no JSON": func(_ *http.Response, body string) string { return "<html>" + body },
	} {
		e := newExchange(t)
		e.check.allowed = nil
		var problems []string
		e.check.report = func(problem string) { problems = append(problems, problem) }
		_, _, err := e.Account.Get(e.ctx)
		must(t, err)
		if len(problems) != 0 {
			t.Fatalf("a right answer is reported: %v", problems)
		}
		e.check.next = alter{next: http.DefaultTransport, change: spoil}
		_, _, _ = e.Account.Get(e.ctx) // the SDK may stumble over it too
		if len(problems) == 0 {
			t.Errorf("%s is not noticed", name)
		}
	}
}

// TestDefaultsAreMissed: what the description gives a default, an answer always has, and the objects around it.
func TestDefaultsAreMissed(t *testing.T) {
	var schema openapi3.SchemaRef
	must(t, json.Unmarshal([]byte(`{"allOf": [{"type": "object", "properties": {"things": {"type": "array", "items": {"type": "object", "properties": {
		"name": {"type": "string"}, "size": {"type": "integer", "default": 1}, "check": {"type": "object", "properties": {"port": {"type": "integer", "default": 80}}}}}}}}]}`), &schema))
	for body, want := range map[string][]string{
		`{"things": [{"size": 2, "check": {"port": 81}}]}`:                   nil,
		`{"things": [{"name": "a"}, {"size": 1, "check": {}}], "other": {}}`: {"/things/*/check", "/things/*/check/port", "/things/*/size"},
		`{}`: nil,
	} {
		var value any
		must(t, json.Unmarshal([]byte(body), &value))
		got := leftOut(&schema, value, "")
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s lacks %v, want %v", body, got, want)
		}
	}
}

// TestTheCheckSaysWhere has one field of one entry of a list be wrong.
func TestTheCheckSaysWhere(t *testing.T) {
	e := newExchange(t)
	var pointers []string
	e.check.report = func(problem string) { pointers = append(pointers, problem) }
	e.check.next = alter{next: http.DefaultTransport, change: func(_ *http.Response, body string) string {
		return strings.NewReplacer(`"price_hourly":0.`, `"price_hourly":"0.`, `,"regions":`, `","regions":`).Replace(body)
	}}
	_, _, _ = e.Sizes.List(e.ctx, &godo.ListOptions{Page: 1, PerPage: 1}) // the SDK stumbles over it too
	if len(pointers) != 1 || !strings.Contains(pointers[0], `"/sizes/*/price_hourly"`) {
		t.Errorf("reported: %v", pointers)
	}
}

// TestUnusedDeviationsAreNoticed sees that the list of deviations cannot grow old.
func TestUnusedDeviationsAreNoticed(t *testing.T) {
	e := newExchange(t)
	var problems []string
	e.check.report = func(problem string) { problems = append(problems, problem) }
	e.check.allowed = []deviation{{operation: "account_get", direction: "answer", pointer: "/account", reason: "none"}}
	_, _, err := e.Account.Get(e.ctx)
	must(t, err)
	e.check.finish([]string{"account_get"})
	if len(problems) != 1 || !strings.Contains(problems[0], "does not happen any more") {
		t.Errorf("problems %v", problems)
	}
}
