package rest

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m3o/platform/internal/account"
)

// The OpenAPI document is made from the routes as they are registered. What follows from a route's permission, path, parameters and
// body is derived in complete; what does not is said where the route is registered. Tests hold every answer they get to the document.

// Names of the ways to say who calls.
const (
	tokenScheme   = "token"
	sessionScheme = "session"
)

// mayRefuse is what commands to workflows are refused with beyond what a route's permission, path and body imply.
var mayRefuse = []int{http.StatusConflict, http.StatusTooManyRequests}

// Document is the OpenAPI document; Handler must have been called.
func (a *API) Document() *huma.OpenAPI { return a.huma.OpenAPI() }

// configuration is what the document says beside the operations.
func (a *API) configuration() huma.Config {
	config := huma.DefaultConfig("M3O Platform", a.Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // served in plain.go, behind the guard
	config.CreateHooks = nil                                             // no $schema links in answers
	config.Transformers = append(config.Transformers, discreet)
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Components.Responses = refusals()
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		tokenScheme:   {Type: "http", Scheme: "bearer", Description: "A token of a user or a service account."},
		sessionScheme: {Type: "apiKey", In: "cookie", Name: SessionCookie, Description: "A browser's session, begun at /login."},
	}
	config.Info.Description = "Micro as a service on every cloud. Every request but health, the status and login needs a bearer token. " +
		"What is refused is answered with a problem document (RFC 9457); operators find it in the log by the answer's X-Request-Id."
	config.Info.License = &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"}
	config.Servers = []*huma.Server{{URL: cmp.Or(strings.TrimRight(a.PublicURL, "/"), "/"), Description: "The API that this document was read from."}}
	for _, t := range topics {
		config.Tags = append(config.Tags, &huma.Tag{Name: t.name, Description: t.about})
	}
	config.OnAddOperation = []huma.AddOpFunc{a.complete}
	return config
}

// topics group the operations by the beginnings of their paths. The first that fits counts.
var topics = []struct {
	name, about string
	paths       []string
}{
	{"platforms", "What a platform file asks for: plans, and carrying them out.", []string{"/v1/plans"}},
	{"regions", "Regions of a platform, and access to their clusters.", []string{"/v1/regions"}},
	{"services", "Services, their releases, sources, builders and build logs.", []string{"/v1/services", "/v1/sources", "/v1/builders"}},
	{"alerts", "What is wrong now and was: who was paged, acknowledging, resolving, drills.", []string{"/v1/alerts"}},
	{"alerting", "How alerts reach people: policies, schedules, routes and limits; silences and maintenance windows; who would be paged when.", []string{"/v1/alerting", "/v1/silences", "/v1/signals", "/v1/heartbeats"}},
	{"hooks", "What providers call back, and links in mails.", []string{"/v1/hooks", "/v1/links"}},
	{"projects", "Projects, who has a role in them, and their service accounts.", []string{"/v1/projects"}},
	{"users", "People, their invitations, their tokens and their roles on the platform.", []string{"/v1/users"}},
	{"caller", "Who calls: logging in and out, and the caller's own tokens.", []string{"/v1/whoami", "/v1/login", "/v1/logout", "/v1/tokens"}},
	{"on-call", "Who is on call when: schedules, their shifts and overrides, and gaps ahead.", []string{"/v1/oncall", "/v1/schedules", "/v1/overrides"}},
	{"contacts", "How the caller is reached: contacts, which a code verifies, and in which order they are used.", []string{"/v1/contacts"}},
	{"history", "What happened, and who changed what.", []string{"/v1/events", "/v1/audit"}},
	{"browser", "What browsers call: the login page and the Temporal UI's codec.", []string{"/login", "/v1/codec"}},
	{"process", "Health, the public status, metrics and the description of this API.", []string{"/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/v1/status"}},
}

func topicOf(path string) string {
	for _, t := range topics {
		if slices.ContainsFunc(t.paths, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }) {
			return t.name
		}
	}
	panic("rest: no topic of the document fits " + path + ": see topics")
}

// complete says of an operation what follows from its route: its topic, who may call it, and what it is refused with.
func (a *API) complete(_ *huma.OpenAPI, o *huma.Operation) {
	i := slices.IndexFunc(a.routes, func(r Route) bool { return r.Action == o.OperationID && r.Path == o.Path })
	r := a.routes[i]
	o.Tags = []string{topicOf(o.Path)}
	o.Extensions = map[string]any{"x-permission": string(r.Permission)}
	o.Security = []map[string][]string{} // anyone may
	if r.Permission != account.Anyone {
		o.Security = append(o.Security, map[string][]string{tokenScheme: {}})
	}
	if r.cookies {
		o.Security = append(o.Security, map[string][]string{sessionScheme: {}})
	}
	delete(o.Responses, "default")
	for _, status := range slices.Concat(r.refusals(o), r.refuses) {
		if key := strconv.Itoa(status); o.Responses[key] == nil {
			o.Responses[key] = refusalRef(status)
		}
	}
}

// refusals are the statuses of problem documents that follow from a route and its description.
func (r Route) refusals(o *huma.Operation) []int {
	var all []int
	add := func(when bool, statuses ...int) {
		if when {
			all = append(all, statuses...)
		}
	}
	typedBody := r.typed && o.RequestBody != nil
	add(r.Permission != account.Anyone, http.StatusUnauthorized, http.StatusInternalServerError, http.StatusServiceUnavailable)
	add(r.Permission != account.Anyone && r.Permission != account.Known, http.StatusForbidden)
	add(r.About == AboutProject || strings.Contains(o.Path, "{"), http.StatusNotFound)
	add(r.About == AboutProject && r.closed(), http.StatusConflict)
	add(r.About == AboutProject || len(o.Parameters) > 0 || typedBody, http.StatusUnprocessableEntity)
	add(o.RequestBody != nil, http.StatusRequestTimeout)
	add(typedBody, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	if len(all) == 0 && len(r.refuses) == 0 {
		return []int{http.StatusRequestHeaderFieldsTooLarge} // by the server, before the handler, which refuses nothing
	}
	return all
}

// refusalsAbout says when the API answers so, by status.
var refusalsAbout = map[int]string{
	http.StatusBadRequest:            "The body is missing or is not JSON.",
	http.StatusUnauthorized:          "The request carries no token, session or code that is good.",
	http.StatusForbidden:             "The caller does not hold the permission there, or the project is suspended.",
	http.StatusNotFound:              "There is no such thing in the project or on the platform.",
	http.StatusRequestTimeout:        "The body did not come in time.",
	http.StatusConflict:              "What there is forbids it: a name is taken, a quota is used up, something failed, or another operation is in the way.",
	http.StatusRequestEntityTooLarge: "The body is larger than 2 MB.",
	http.StatusUnsupportedMediaType:  "The body's Content-Type is not application/json.",
	http.StatusUnprocessableEntity:   "Parameters, fields of the body or the project break rules: errors lists each field with its rule.",
	http.StatusTooManyRequests:       "Too many requests of this kind: Retry-After says when to come back.",
	http.StatusInternalServerError:   "Something went wrong on our side. The log says what, by the id in instance.",
	http.StatusServiceUnavailable:    "The database or the workflow engine does not answer. The same request may be sent again.",
	http.StatusInsufficientStorage:   "The store of sources and logs is full: an operator must make room.",
}

// refusals are the answers that operations share: all problem documents but the one that the server itself gives.
func refusals() map[string]*huma.Response {
	all := map[string]*huma.Response{}
	for status, about := range refusalsAbout {
		answer := &huma.Response{Description: about, Headers: map[string]*huma.Param{"X-Request-Id": stringHeader("Id of the request, as the log has it.")}}
		answer.Content = map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"},
			Example: huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: strings.TrimRight(about, ".")}}}
		switch status {
		case http.StatusUnauthorized:
			answer.Headers["WWW-Authenticate"] = stringHeader("How to say who calls, where a token was expected.")
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			answer.Headers["Retry-After"] = stringHeader("Seconds to wait, where they are known.")
		}
		all[responseName(status)] = answer
	}
	all[responseName(http.StatusRequestHeaderFieldsTooLarge)] = &huma.Response{Description: "The headers are larger than 64 KB.",
		Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	return all
}

func responseName(status int) string { return strings.ReplaceAll(http.StatusText(status), " ", "") }

func refusalRef(status int) *huma.Response {
	return &huma.Response{Ref: "#/components/responses/" + responseName(status)}
}

func stringHeader(about string) *huma.Param {
	return &huma.Param{Description: about, Schema: &huma.Schema{Type: huma.TypeString}}
}

// shape is what a plain route takes and gives. The zero value gives a text.
type shape struct {
	takes   map[string]*huma.Schema   // body by content type
	params  []*huma.Param             // beside those in the path
	status  int                       // 200 when left out
	about   string                    // what the answer is
	gives   map[string]*huma.Schema   // answer by content type; no body when left out
	example any                       // of the answer
	refuses []int                     // beside what follows from the route
	others  map[string]*huma.Response // further answers by status
}

func inQuery(name, about string, s *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: about, Schema: s}
}

func text(about string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: about} }

// textOf is an answer of one content type that is no JSON.
func textOf(contentType, about string) map[string]*huma.Schema {
	return map[string]*huma.Schema{contentType: text(about)}
}

// object is a JSON object whose fields are all there; fields are names and what they mean, in turns.
func object(fields ...string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}}
	for pair := range slices.Chunk(fields, 2) {
		s.Properties[pair[0]], s.Required = text(pair[1]), append(s.Required, pair[0])
	}
	return s
}

func contents(of map[string]*huma.Schema, example any) map[string]*huma.MediaType {
	all := map[string]*huma.MediaType{}
	for contentType, s := range of {
		all[contentType] = &huma.MediaType{Schema: s, Example: example}
	}
	return all
}

var placeholder = regexp.MustCompile(`\{([a-z]+)\}`)

// describe is what the document says of a plain route.
func describe(r Route, summary string, s shape) *huma.Operation {
	status := strconv.Itoa(cmp.Or(s.status, http.StatusOK))
	o := &huma.Operation{OperationID: r.Action, Method: r.Method, Path: r.Path, Summary: summary, Responses: map[string]*huma.Response{
		status: {Description: cmp.Or(s.about, "Done"), Content: contents(s.gives, s.example)}}}
	for key, response := range s.others {
		o.Responses[key] = response
	}
	if s.takes != nil {
		o.RequestBody = &huma.RequestBody{Required: true, Content: contents(s.takes, nil)}
	}
	for _, name := range placeholder.FindAllStringSubmatch(r.Path, -1) {
		o.Parameters = append(o.Parameters, &huma.Param{Name: name[1], In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	if r.About == AboutProject || r.About == AboutMany {
		o.Parameters = append(o.Parameters, inQuery("project", "Project; the token's own, or default, when left out.", &huma.Schema{Type: huma.TypeString}))
	}
	o.Parameters = append(o.Parameters, s.params...)
	return o
}
