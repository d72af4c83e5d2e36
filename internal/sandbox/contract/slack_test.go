//go:build contract

package contract

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/slack-go/slack"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/sandbox/world"
)

// refused is the status under which the check sees an answer that is not ok. Slack answers 200 as well, and its description has the two
// apart.
const refused = 599

// mark gives answers that are not ok the status refused, and unmark takes it from them, so that the check between the two sees it.
type mark struct{ next http.RoundTripper }

func (m mark) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := m.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := drain(&answer.Body)
	if answer.Body = io.NopCloser(bytes.NewReader(body)); bytes.Contains(body, []byte(`"ok":false`)) && answer.StatusCode == http.StatusOK {
		answer.StatusCode = refused
	}
	return answer, err
}

type unmark struct{ next http.RoundTripper }

func (u unmark) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := u.next.RoundTrip(r)
	if err == nil && answer.StatusCode == refused {
		answer.StatusCode = http.StatusOK
	}
	return answer, err
}

// slackMethod is a method as Slack's description (Swagger 2.0) has it.
type slackMethod struct {
	Parameters []struct {
		Name     string `json:"name"`
		Required bool   `json:"required"`
		Type     string `json:"type"`
	} `json:"parameters"`
	Responses map[string]struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"responses"`
}

// slackDescription makes OpenAPI 3 of the description of some methods. The description names one way to call each; Slack takes all of them
// by POST with a form, as its documentation says and its clients do.
func slackDescription(t *testing.T, names []string) *openapi3.T {
	t.Helper()
	if *specs == "" {
		t.Fatal("give -specs DIR: the folder with slack-swagger2.json")
	}
	data, err := os.ReadFile(filepath.Join(*specs, "slack-swagger2.json"))
	must(t, err)
	var described struct {
		Definitions map[string]any                    `json:"definitions"`
		Paths       map[string]map[string]slackMethod `json:"paths"`
	}
	must(t, json.Unmarshal(bytes.ReplaceAll(data, []byte("#/definitions/"), []byte("#/components/schemas/")), &described))
	paths := map[string]any{}
	for _, name := range names {
		for _, m := range described.Paths["/"+name] {
			paths["/api/"+name] = map[string]any{"post": m.operation(t, name)}
		}
	}
	whole, err := json.Marshal(map[string]any{"openapi": "3.0.3", "info": map[string]string{"title": "Slack", "version": "2021"},
		"paths": paths, "components": map[string]any{"schemas": alternatives(described.Definitions)}})
	must(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(whole)
	must(t, err)
	return doc
}

func (m slackMethod) operation(t *testing.T, name string) map[string]any {
	t.Helper()
	fields, required := map[string]any{}, []string{}
	for _, p := range m.Parameters {
		if p.Name == "token" { // goes by the Authorization header, or in the form
			p.Required = false
		}
		fields[p.Name] = map[string]string{"type": p.Type}
		if p.Required {
			required = append(required, p.Name)
		}
	}
	form := map[string]any{"type": "object", "properties": fields}
	if len(required) > 0 {
		form["required"] = required
	}
	answers := map[string]any{}
	for status, a := range m.Responses {
		var schema any
		must(t, json.Unmarshal(a.Schema, &schema))
		answers[status] = map[string]any{"description": "as described", "content": map[string]any{"application/json": map[string]any{"schema": alternatives(schema)}}}
	}
	return map[string]any{"operationId": name, "responses": answers,
		"requestBody": map[string]any{"content": map[string]any{"application/x-www-form-urlencoded": map[string]any{"schema": form}}}}
}

// alternatives says in OpenAPI 3 what the description says in its own way: a list as "items" means that one of the list holds, and the type
// "null" that there may be nothing.
func alternatives(schema any) any {
	switch s := schema.(type) {
	case []any:
		for i := range s {
			s[i] = alternatives(s[i])
		}
	case map[string]any:
		for name := range s {
			s[name] = alternatives(s[name])
		}
		several, are := s["items"].([]any)
		if !are {
			return s
		}
		var one []any
		for _, schema := range several {
			if m, is := schema.(map[string]any); is && m["type"] == "null" {
				s["nullable"] = true
				continue
			}
			one = append(one, schema)
		}
		if s["type"] == "array" {
			s["items"] = map[string]any{"anyOf": one}
		} else {
			delete(s, "items")
			delete(s, "type")
			s["anyOf"] = one
		}
	}
	return schema
}

// slackDeviations are where Slack's client or ours, the sandbox and the description, which is of 2021, are known to differ.
var slackDeviations = slices.Concat(
	newer("chat.postMessage", "request", "/metadata", "/client_msg_id"),
	newer("conversations.history", "request", "/include_all_metadata"),
	newer("conversations.replies", "request", "/include_all_metadata"),
	newer("chat.postMessage", "answer", "/message", "/message/metadata"),
	newer("conversations.history", "answer", "/messages/*", "/messages/*/metadata"),
	newer("conversations.replies", "answer", "/messages/*", "/messages/*/metadata", "/messages/*/bot_id", "/messages/*/blocks", "/messages/*/edited"),
	[]deviation{{"chat.postMessage", "answer", "/error", "the description lists rate_limited; Slack's documentation of limits and its clients have ratelimited"},
		{"chat.update", "answer", "/message/blocks", "the description says object for what is a list everywhere else"}},
	partial("/message/type", "/message/user", "/message/team", "/message/ts", "/message/bot_id", "/message/metadata", "/message/edited"))

// newer are fields that came after the description: messages' metadata, client_msg_id, and what replies have in common with messages.
func newer(operation, direction string, pointers ...string) (all []deviation) {
	for _, pointer := range pointers {
		all = append(all, deviation{operation, direction, pointer, "came after the description"})
	}
	return all
}

// partial are fields of the message that chat.update answers with: the description lists three of them, and is open to others.
func partial(pointers ...string) (all []deviation) {
	for _, pointer := range pointers {
		all = append(all, deviation{"chat.update", "answer", pointer, "the description lists the text alone, and does not exclude the rest of a message"})
	}
	return all
}

// workspace is a Slack workspace, its client through the check, and what faults are ordered with.
type workspace struct {
	*slack.Client
	t      *testing.T
	check  *checker
	world  *world.World
	server *httptest.Server
}

func newWorkspace(t *testing.T) *workspace {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 0.001})
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	handler = openSlack(t, w, server.URL)
	s := &workspace{t: t, check: newCheckerOf(t, slackDescription(t, slackOperations), slackDeviations), world: w, server: server}
	s.check.next, s.check.headers = mark{http.DefaultTransport}, []string{"X-Slack-Req-Id"}
	s.Client = slack.New("xoxb-1", slack.OptionAPIURL(server.URL+"/api/"), slack.OptionHTTPClient(&http.Client{Transport: s.transport()}))
	return s
}

// transport goes through the check, which sees the form's fields too.
func (s *workspace) transport() http.RoundTripper { return formChecked{s, unmark{s.check}} }

type formChecked struct {
	s    *workspace
	next http.RoundTripper
}

// RoundTrip reports fields of a form that the description does not have.
func (f formChecked) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	body, err := drain(&r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if route, _, err := f.s.check.router.FindRoute(r); err == nil {
		described := route.Operation.RequestBody.Value.Content["application/x-www-form-urlencoded"].Schema.Value
		for name := range form {
			if described.Properties[name] == nil {
				f.s.check.judgeOne(route.Operation.OperationID, "request", "/"+name, "the description has no such field")
			}
		}
	}
	return f.next.RoundTrip(r)
}

func (s *workspace) fails(what string, err error) {
	s.t.Helper()
	if err == nil {
		s.t.Errorf("%s is taken", what)
	}
}

// TestSlack checks what the client and our adapter send, and what the sandbox answers, against Slack's description.
func TestSlack(t *testing.T) {
	s := newWorkspace(t)
	_, err := s.AuthTest()
	must(t, err)
	ana, err := s.GetUserByEmail("ana@example.com")
	must(t, err)
	_, err = s.GetUserInfo(ana.ID)
	must(t, err)
	_, err = s.GetUserInfo("UNOBODY")
	s.fails("a member that is not there", err)
	_, err = s.GetUserByEmail("nobody@example.com")
	s.fails("an address of nobody's", err)
	for _, returnIM := range []bool{false, true} {
		_, _, _, err = s.OpenConversation(&slack.OpenConversationParameters{Users: []string{ana.ID}, ReturnIM: returnIM})
		must(t, err)
	}
	_, err = s.PostEphemeral("C00000OPS0", ana.ID, slack.MsgOptionText("for you alone", true))
	must(t, err)
	_, _, err = s.PostMessage("C00NOBODY0", slack.MsgOptionText("x", true))
	s.fails("a channel that is not there", err)
	for _, fault := range []string{world.Throttle, world.Denied} {
		must(t, s.world.Update(t.Context(), func(tx *world.Tx) error {
			_, err := tx.AddFault(world.Fault{Provider: "slack", Operation: "chat.postMessage", Fault: fault})
			return err
		}))
		_, _, err = s.PostMessage("#ops", slack.MsgOptionText("x", true))
		s.fails(fault, err)
	}
	s.adapter(ana.ID)
	s.check.finish(slackOperations)
}

// adapter has our own adapter page ana, look for the page as after a crash, and tell how it ended.
func (s *workspace) adapter(member string) {
	s.t.Helper()
	adapter := newSlackAdapter(s.t, s.server.URL+"/api/", s.transport())
	page := alert.Page{Key: "platform/7/trigger/1/ana", Project: "platform", Alert: 7, Kind: alert.PageTrigger, Contact: alert.Contact{ID: "c1", Channel: alert.Slack, Address: member},
		Content: alert.Content{Title: "disk full", Severity: alert.Critical, Lines: []string{"lon1"}}}
	first, err := adapter.Send(s.t.Context(), page)
	must(s.t, err)
	page.Again = true
	again, err := adapter.Send(s.t.Context(), page)
	must(s.t, err)
	if first.ID == "" || again.ID != first.ID {
		s.t.Errorf("sent as %q, and again as %q", first.ID, again.ID)
	}
	page.Key, page.Kind, page.Previous, page.Again = "platform/7/resolved/1/ana", alert.PageResolved, &first, false
	_, err = adapter.Send(s.t.Context(), page)
	must(s.t, err)
	page.Again = true
	_, err = adapter.Send(s.t.Context(), page)
	must(s.t, err)
}
