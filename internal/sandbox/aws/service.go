package aws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
)

// operation is one operation of a service.
type operation struct {
	name string
	// route is method and path, for services that have any.
	route string
	// takes are the parameters that it knows; the rest is refused. Services whose requests are JSON check that as they decode.
	takes string
	// handle answers it.
	handle func(*exchange) (any, error)
}

// changes says that the operation changes something, by its name, as AWS does for its budgets.
func (o operation) changes() bool {
	for _, reads := range []string{"Describe", "List", "Get", "Simulate"} {
		if strings.HasPrefix(o.name, reads) {
			return false
		}
	}
	return true
}

// service is one of AWS' services.
type service struct {
	// scope is what signatures call it, prefix what permissions do.
	scope, prefix string
	operations    []operation
	words         words
	// protocol is how it is spoken to.
	protocol protocol
	routes   *http.ServeMux
}

// protocol is how requests and answers of a service are written.
type protocol interface {
	// find finds the operation of a request, and reads its parameters.
	find(x *exchange) (operation, error)
	// answer writes what a handler returned, refusal an error. They return the answer's body and set its headers.
	answer(x *exchange, header http.Header, out any) ([]byte, error)
	refusal(x *exchange, header http.Header, r *refusal) []byte
}

// byName is an operation of the service.
func (s *service) byName(name string) (operation, bool) {
	i := slices.IndexFunc(s.operations, func(o operation) bool { return o.name == name })
	if i < 0 {
		return operation{}, false
	}
	return s.operations[i], true
}

// forms is the protocol of services whose requests are forms with an Action, and whose answers are XML.
type forms struct {
	version, namespace string
}

func (f forms) find(x *exchange) (operation, error) {
	text := string(x.body)
	if x.Request.Method == http.MethodGet {
		text = x.Request.URL.RawQuery
	}
	var err error
	if x.in, err = wire.ParseQuery(text); err != nil {
		return operation{}, refuse("MalformedQueryString", "%v", err)
	}
	name := x.in.Text("Action")
	if name == "" {
		return operation{}, refuse("MissingAction", "The request is missing an action.")
	}
	if got := x.in.Text("Version"); got != f.version {
		return operation{}, refuse("InvalidAction", "The action %.60s is not valid for this web service: its version is %s, not %.40q.", name, f.version, got)
	}
	o, known := x.service.byName(name)
	if !known {
		return o, refuse("InvalidAction", "The action %.60s is not valid for this web service. (The sandbox does not have it.)", name)
	}
	return o, nil
}

// checkTaken refuses parameters that an operation does not take.
func (x *exchange) checkTaken() error {
	if x.in == nil {
		return nil
	}
	known := append(strings.Fields(x.operation.takes), "Action", "Version", "DryRun")
	for _, name := range x.in.Names() {
		if !slices.Contains(known, name) {
			return refuse(x.service.words.unsupported, "The parameter %.60s is not recognized. (The sandbox does not have it.)", name)
		}
	}
	return nil
}

// query is the form protocol as all services but EC2 have it.
type query struct{ forms }

func (q query) answer(x *exchange, header http.Header, out any) ([]byte, error) {
	header.Set("Content-Type", "text/xml")
	fields, _ := out.(wire.Fields)
	body, err := fields.Elements()
	if err != nil {
		return nil, err
	}
	name := x.operation.name
	result := ""
	if out != nil {
		result = "<" + name + "Result>" + string(body) + "</" + name + "Result>"
	}
	return fmt.Appendf(nil, `<%sResponse xmlns="%s">%s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%[1]sResponse>`,
		name, q.namespace, result, x.ID), nil
}

func (q query) refusal(x *exchange, header http.Header, r *refusal) []byte {
	header.Set("Content-Type", "text/xml")
	who := "Sender"
	if r.status >= http.StatusInternalServerError {
		who = "Receiver"
	}
	body, err := wire.Fields{"Error": wire.Fields{"Type": who, "Code": r.code, "Message": r.message}, "RequestId": x.ID}.Elements()
	if err != nil {
		panic(fmt.Sprintf("an error of ours cannot be written: %v", err)) // texts: cannot be
	}
	return fmt.Appendf(nil, `<ErrorResponse xmlns="%s">%s</ErrorResponse>`, q.namespace, body)
}

// ec2Query is the form protocol as EC2 has it.
type ec2Query struct{ forms }

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func (q ec2Query) answer(x *exchange, header http.Header, out any) ([]byte, error) {
	header.Set("Content-Type", "text/xml;charset=UTF-8")
	fields, _ := out.(wire.Fields)
	body, err := fields.Elements()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `%s<%sResponse xmlns="%s"><requestId>%s</requestId>%s</%[2]sResponse>`,
		xmlHeader, x.operation.name, q.namespace, x.ID, body), nil
}

func (q ec2Query) refusal(x *exchange, header http.Header, r *refusal) []byte {
	header.Set("Content-Type", "text/xml;charset=UTF-8")
	body, err := wire.Fields{"Errors>Error": []wire.Fields{{"Code": r.code, "Message": r.message}}, "RequestID": x.ID}.Elements()
	if err != nil {
		panic(fmt.Sprintf("an error of ours cannot be written: %v", err)) // texts: cannot be
	}
	return fmt.Appendf(nil, `%s<Response>%s</Response>`, xmlHeader, body)
}

// restJSON is the protocol of services with methods and paths, whose bodies are JSON.
type restJSON struct{}

// find looks the route up as an http.ServeMux does, which also keeps what the path's parameters are.
func (restJSON) find(x *exchange) (operation, error) {
	if _, pattern := x.service.routes.Handler(x.Request); pattern == "" {
		return operation{}, refuseAs(http.StatusNotFound, "UnknownOperationException", "Unable to find the operation %s %.200s. (The sandbox does not have it.)",
			x.Request.Method, x.Request.URL.Path)
	}
	found := &found{}
	x.service.routes.ServeHTTP(found, x.Request)
	return found.operation, nil
}

func (restJSON) answer(_ *exchange, header http.Header, out any) ([]byte, error) {
	header.Set("Content-Type", "application/json")
	if out == nil {
		out = struct{}{}
	}
	return json.Marshal(out)
}

func (restJSON) refusal(_ *exchange, header http.Header, r *refusal) []byte {
	header.Set("Content-Type", "application/json")
	header.Set("X-Amzn-Errortype", r.code)
	return errorJSON(map[string]any{"message": r.message}, r)
}

func errorJSON(body map[string]any, r *refusal) []byte {
	for member, value := range r.more {
		body[member] = value
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("an error of ours is not JSON: %v", err)) // texts and lists: cannot be
	}
	return data
}

// found is where a route's handler leaves which operation it is.
type found struct {
	http.ResponseWriter
	operation operation
}

// route makes the routes of a service whose operations have any.
func (s *service) route() *service {
	s.routes = http.NewServeMux()
	for _, o := range s.operations {
		s.routes.HandleFunc(o.route, func(w http.ResponseWriter, _ *http.Request) {
			if f, is := w.(*found); is {
				f.operation = o
			}
		})
	}
	return s
}

// targetJSON is the protocol of services whose operation is in the header X-Amz-Target.
type targetJSON struct{ prefix string }

func (p targetJSON) find(x *exchange) (operation, error) {
	target := x.Request.Header.Get("X-Amz-Target")
	name, _ := strings.CutPrefix(target, p.prefix+".")
	o, known := x.service.byName(name)
	if !known {
		return o, refuse("UnknownOperationException", "The operation %.100s is not known. (The sandbox does not have it.)", target)
	}
	return o, nil
}

func (targetJSON) answer(_ *exchange, header http.Header, out any) ([]byte, error) {
	header.Set("Content-Type", "application/x-amz-json-1.1")
	return json.Marshal(out)
}

func (targetJSON) refusal(_ *exchange, header http.Header, r *refusal) []byte {
	header.Set("Content-Type", "application/x-amz-json-1.1")
	header.Set("X-Amzn-Errortype", r.code)
	return errorJSON(map[string]any{"__type": r.code, "message": r.message}, r)
}
