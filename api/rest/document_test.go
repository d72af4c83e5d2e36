package rest_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/m3o/platform/api/rest"
)

var document = flag.String("document", "", "file that TestTheDocumentIsValidAndComplete writes the OpenAPI document to")

func TestTheDocumentIsValidAndComplete(t *testing.T) {
	s := newSite(t)
	r := s.do("GET", "/v1/openapi.json", nil, as("admin"))
	r.ok(t, 200, nil)
	if *document != "" {
		must(t, os.WriteFile(*document, []byte(r.body), 0o644))
	}
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData([]byte(r.body))
	must(t, err)
	if err := doc.Validate(loader.Context, openapi3.AllowExtraSiblingFields("description"), openapi3.DisableExamplesValidation()); err != nil {
		t.Errorf("the document is not valid: %v", err)
	}
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "/" || !strings.Contains(r.body, `"identifier":"Apache-2.0"`) {
		t.Errorf("the document does not say where the API is, or under which license: %+v", doc.Servers)
	}
	described := 0
	for _, route := range s.api.Routes() {
		if route.Method == http.MethodOptions {
			continue
		}
		item := doc.Paths.Find(route.Path)
		if item == nil || item.GetOperation(route.Method) == nil {
			t.Errorf("%s %s is not in the document", route.Method, route.Path)
			continue
		}
		described++
		for _, wrong := range whatIsWrong(doc, route, item.GetOperation(route.Method)) {
			t.Errorf("%s %s %s", route.Method, route.Path, wrong)
		}
	}
	if described < 55 {
		t.Errorf("only %d operations are described", described)
	}
}

// whatIsWrong is what the description of a route lacks.
func whatIsWrong(doc *openapi3.T, route rest.Route, o *openapi3.Operation) (wrong []string) {
	if o.OperationID != route.Action || o.Summary == "" || o.Extensions["x-permission"] != string(route.Permission) {
		wrong = append(wrong, fmt.Sprintf("is described as %q %q, permission %v", o.OperationID, o.Summary, o.Extensions["x-permission"]))
	}
	if o.Security == nil || rest.OpenRoutes[route.Action] != (len(*o.Security) == 0) {
		wrong = append(wrong, "is not marked as open, or wrongly so")
	}
	if len(o.Tags) != 1 || doc.Tags.Get(o.Tags[0]) == nil || doc.Tags.Get(o.Tags[0]).Description == "" {
		wrong = append(wrong, fmt.Sprintf("has the tags %v: not one that is described", o.Tags))
	}
	refusals, successes := 0, 0
	for status, response := range o.Responses.Map() {
		problem := response.Value.Content["application/problem+json"]
		switch {
		case status < "4":
			successes++
		case problem != nil && problem.Schema.Ref != "#/components/schemas/Problem":
			wrong = append(wrong, "answers "+status+" with another problem document than ours")
		case problem == nil && !slices.Contains([]string{"login", "decode-payloads", "show-link", "use-link"}, route.Action) && status != "431":
			wrong = append(wrong, "answers "+status+" without a problem document")
		}
		if status[0] == '4' {
			refusals++
		}
		if response.Value.Description == nil || *response.Value.Description == "" {
			wrong = append(wrong, "does not describe its answer "+status)
		}
	}
	if refusals == 0 || successes == 0 || o.Responses.Default() != nil {
		wrong = append(wrong, fmt.Sprintf("describes %d refusals and %d other answers", refusals, successes))
	}
	return wrong
}

// TestWhatIsAnsweredIsDescribed shows each operation with all that it takes and gives. Whether it gives nothing else, described
// looks at in every test. An operation that is new is missing; look at what it comes to, and write it with
// `go test ./api/rest -run TestWhatIsAnsweredIsDescribed -update`.
func TestWhatIsAnsweredIsDescribed(t *testing.T) {
	s := newSite(t)
	var table strings.Builder
	for _, r := range s.api.Routes() {
		o := operation(s.api.Document(), r)
		if o == nil {
			continue
		}
		takes := []string{"-"}
		if o.RequestBody != nil {
			takes = slices.Sorted(maps.Keys(o.RequestBody.Content))
		}
		by := []string{"anyone"}
		if len(o.Security) > 0 {
			by = nil
			for _, way := range o.Security {
				by = slices.AppendSeq(by, maps.Keys(way))
			}
		}
		fmt.Fprintf(&table, "%-68s %-10s %-14s %-34s", r.Method+" "+r.Path, o.Tags[0], strings.Join(by, ","), strings.Join(takes, ","))
		for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
			fmt.Fprintf(&table, " %s", status)
			if gives := slices.Sorted(maps.Keys(resolved(s.api.Document(), o.Responses[status]).Content)); status < "4" && len(gives) > 0 {
				fmt.Fprintf(&table, " (%s)", strings.Join(gives, ","))
			}
		}
		table.WriteString("\n")
	}
	compare(t, "testdata/operations.golden", table.String())
}

// TestLoggingInWithoutATemporalUI has nowhere to lead to.
func TestLoggingInWithoutATemporalUI(t *testing.T) {
	s := newSite(t, func(a *rest.API) { a.TemporalUI = "" })
	r := s.do("POST", "/login", url.Values{"token": {secretOf("admin")}}.Encode(), header{"Content-Type", "application/x-www-form-urlencoded"})
	if r.status != http.StatusOK || !strings.Contains(r.body, "You are logged in") || r.header.Get("Set-Cookie") == "" {
		t.Errorf("answered %d %s", r.status, r.body)
	}
}

// TestHeadersThatAreTooLarge are refused before any handler, by operations that refuse nothing themselves.
func TestHeadersThatAreTooLarge(t *testing.T) {
	s := newSite(t)
	r := s.do("GET", "/healthz", nil, header{"X-Large", strings.Repeat("x", 2<<20)})
	if r.status != http.StatusRequestHeaderFieldsTooLarge || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		t.Errorf("answered %d with %s", r.status, r.header.Get("Content-Type"))
	}
	if o := operation(s.api.Document(), rest.Route{Method: "GET", Path: "/healthz"}); o.Responses["431"] == nil {
		t.Errorf("that is not described: %v", o.Responses)
	}
}

// TestTheDocumentSaysWhereTheAPIIs as people reach it.
func TestTheDocumentSaysWhereTheAPIIs(t *testing.T) {
	s := newSite(t, func(a *rest.API) { a.PublicURL = "https://api.micro.mu/" })
	var doc struct{ Servers []struct{ URL string } }
	s.do("GET", "/v1/openapi.json", nil, as("admin")).ok(t, 200, &doc)
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "https://api.micro.mu" {
		t.Errorf("the servers are %+v", doc.Servers)
	}
}

// TestProblemsAreAsDescribed: a problem document has no field that the schema does not have, nor of another type.
func TestProblemsAreAsDescribed(t *testing.T) {
	s := newSite(t)
	schemas := s.api.Document().Components.Schemas
	for _, r := range []reply{s.do("GET", "/v1/services/nothing", nil, as("admin")), s.do("GET", "/v1/services", nil), s.do("POST", "/v1/plans", `{"flie": 1}`, as("admin"))} {
		var problem any
		must(t, json.Unmarshal([]byte(r.body), &problem))
		var result huma.ValidateResult
		huma.Validate(schemas, schemas.Map()["Problem"], huma.NewPathBuffer([]byte{}, 0), huma.ModeReadFromServer, problem, &result)
		if len(result.Errors) > 0 {
			t.Errorf("%s is not as described: %v", r.body, result.Errors)
		}
	}
}

// described fails the test when an answer has a status or a content type that the document does not list.
func (s *site) described(next http.Handler) http.Handler {
	operations := http.NewServeMux()
	for _, r := range s.api.Routes() {
		if o := operation(s.api.Document(), r); o != nil {
			operations.Handle(r.Method+" "+r.Path, about{o})
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &witness{ResponseWriter: w}
		next.ServeHTTP(seen, r)
		found, _ := operations.Handler(r)
		o, known := found.(about)
		if !known || seen.status == 0 {
			return
		}
		response := o.Responses[strconv.Itoa(seen.status)]
		contentType, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
		if response == nil {
			s.t.Errorf("%s is answered with %d %s, which the document does not list", o.OperationID, seen.status, contentType)
		} else if content := resolved(s.api.Document(), response).Content; contentType != "" && seen.status != http.StatusSeeOther && content[contentType] == nil {
			s.t.Errorf("%s is answered with %d and %s: the document lists %v", o.OperationID, seen.status, contentType, slices.Collect(maps.Keys(content)))
		}
	})
}

// about is an operation where a mux wants a handler.
type about struct{ *huma.Operation }

func (about) ServeHTTP(http.ResponseWriter, *http.Request) {}

// witness remembers the status of an answer.
type witness struct {
	http.ResponseWriter
	status int
}

func (w *witness) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *witness) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *witness) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func operation(doc *huma.OpenAPI, r rest.Route) *huma.Operation {
	item := doc.Paths[r.Path]
	if item == nil {
		return nil
	}
	return map[string]*huma.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "DELETE": item.Delete, "PATCH": item.Patch}[r.Method]
}

// resolved follows a reference to a response that operations share.
func resolved(doc *huma.OpenAPI, r *huma.Response) *huma.Response {
	if name, shared := strings.CutPrefix(r.Ref, "#/components/responses/"); shared {
		return doc.Components.Responses[name]
	}
	return r
}
