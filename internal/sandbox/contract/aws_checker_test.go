//go:build contract

package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// awsChecker is a transport that checks what passes through it against the models of the services.
type awsChecker struct {
	t       *testing.T
	report  func(string)
	next    http.RoundTripper
	models  map[string]*awsModel
	allowed []deviation

	mu    sync.Mutex
	used  map[int]bool
	seen  map[string]int
	codes map[string]map[int]int
	how   map[string]string
}

func newAWSChecker(t *testing.T, allowed []deviation) *awsChecker {
	t.Helper()
	return &awsChecker{t: t, report: func(problem string) { t.Error(problem) }, next: http.DefaultTransport, models: awsModels(t), allowed: allowed,
		used: map[int]bool{}, seen: map[string]int{}, codes: map[string]map[int]int{}, how: map[string]string{}}
}

// commonErrors are errors that every operation of a protocol can answer: each service's API reference, "Common errors", and EC2's
// "Error codes".
var commonErrors = map[string][]string{
	"query": {"Throttling", "AccessDenied", "ValidationError", "InvalidClientTokenId", "SignatureDoesNotMatch", "InternalFailure", "ServiceUnavailable", "InvalidAction",
		"MissingAction", "MissingAuthenticationToken", "IncompleteSignature"},
	"rest-json": {"ThrottlingException", "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ServiceUnavailableException", "UnknownOperationException",
		"MissingAuthenticationTokenException"},
	"json": {"TooManyRequestsException", "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "UnknownOperationException"},
}

// RoundTrip implements http.RoundTripper.
func (c *awsChecker) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	body, err := drain(&r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	scope := scopeOf(r)
	model := c.models[scope]
	if model == nil {
		return nil, fmt.Errorf("%s %s is signed for %q, which no model is of", r.Method, r.URL.Path, scope)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		form = nil
	}
	tree := nested(form)
	name, described := model.find(r, tree)
	if described == nil {
		c.judge(scope+":"+name, "request", "", "the model has no such operation")
	} else {
		c.checkRequest(model, scope+":"+name, described, r, tree, body)
	}
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	told, err := drain(&answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(told))
	if described != nil {
		c.checkAnswer(model, scope+":"+name, described, answer, told)
	}
	if answer.Header.Get("X-Amzn-Requestid") == "" {
		c.judge(scope+":"+name, "answer", "", "it has no request id")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[scope+":"+name]++
	if c.codes[scope+":"+name] == nil {
		c.codes[scope+":"+name] = map[int]int{}
	}
	c.codes[scope+":"+name][answer.StatusCode]++
	c.how[scope+":"+name] = "model of " + model.Metadata.APIVersion
	if described == nil {
		c.how[scope+":"+name] = "SDK only"
	}
	return answer, nil
}

// scopeOf is the service that a request is signed for.
func scopeOf(r *http.Request) string {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	parts := strings.Split(credential, "/")
	if len(parts) < 5 {
		return ""
	}
	return parts[3]
}

func (c *awsChecker) checkRequest(model *awsModel, name string, o *awsOperation, r *http.Request, form map[string]any, body []byte) {
	j := &awsJudge{model: model}
	switch model.Metadata.Protocol {
	case "ec2", "query":
		if form["Version"] != model.Metadata.APIVersion {
			j.say("/Version", "%v, not %s", form["Version"], model.Metadata.APIVersion)
		}
		delete(form, "Action")
		delete(form, "Version")
		if o.Input != nil {
			j.formParts(model.Shapes[o.Input.Shape], form, "")
		} else if len(form) > 0 {
			j.say("", "it takes no parameters")
		}
	default:
		if model.Metadata.Protocol == "rest-json" {
			j.query(o, r.URL.Query())
		}
		if len(body) > 0 {
			j.body(o.Input, body)
		}
	}
	c.judgeAll(name, "request", j)
}

// query judges the parameters after the question mark.
func (j *awsJudge) query(o *awsOperation, query url.Values) {
	known := map[string]*awsRef{}
	if o.Input != nil {
		for name, ref := range j.model.Shapes[o.Input.Shape].Members {
			if ref.Location == "querystring" {
				known[ref.called(name)] = ref
			}
		}
	}
	for name, values := range query {
		ref := known[name]
		if ref == nil {
			j.say("?"+name, "the model has no such parameter")
			continue
		}
		shape := j.model.Shapes[ref.Shape]
		if shape.Type == "list" {
			shape = j.model.Shapes[shape.Member.Shape]
		}
		for _, value := range values {
			j.text(shape, value, "?"+name)
		}
	}
}

// body judges a body that is JSON.
func (j *awsJudge) body(ref *awsRef, body []byte) {
	var value map[string]any
	if err := json.Unmarshal(body, &value); err != nil || ref == nil {
		j.say("", "it is no JSON, or there should be none: %v", err)
		return
	}
	j.jsonParts(j.model.Shapes[ref.Shape], value, "")
}

func (c *awsChecker) checkAnswer(model *awsModel, name string, o *awsOperation, answer *http.Response, body []byte) {
	j := &awsJudge{model: model}
	kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	protocol := model.Metadata.Protocol
	if want := map[string]string{"ec2": "text/xml", "query": "text/xml", "rest-json": "application/json", "json": "application/x-amz-json-1.1"}[protocol]; kind != want {
		j.say("", "its type is %s, not %s", kind, want)
	}
	switch {
	case answer.StatusCode != http.StatusOK && (protocol == "ec2" || protocol == "query"):
		j.xmlError(o, answer.StatusCode, body)
	case answer.StatusCode != http.StatusOK:
		j.jsonError(o, answer, body)
	case protocol == "ec2" || protocol == "query":
		j.xmlAnswer(o, body)
	case o.Output != nil:
		j.body(o.Output, body)
	}
	c.judgeAll(name, "answer", j)
}

func (j *awsJudge) xmlAnswer(o *awsOperation, body []byte) {
	root, err := parseXML(body)
	if err != nil {
		j.say("", "it is no document: %v", err)
		return
	}
	if root.name != o.Name+"Response" || root.space == "" {
		j.say("", "the root is %q of %q", root.name, root.space)
	}
	if j.model.Metadata.Protocol == "ec2" {
		if id := root.child("requestId"); id == nil {
			j.say("/requestId", "it is required")
		}
		root.children = slices.DeleteFunc(root.children, func(n *node) bool { return n.name == "requestId" })
		if o.Output != nil {
			j.xmlParts(j.model.Shapes[o.Output.Shape], root, "")
			return
		}
		// Of operations without an answer EC2 says that they are done.
		if len(root.children) != 1 || root.child("return") == nil {
			j.say("", "it is not <return>")
		}
		return
	}
	if data := root.child("ResponseMetadata"); data == nil || data.child("RequestId") == nil {
		j.say("/ResponseMetadata/RequestId", "it is required")
	}
	if o.Output == nil {
		if len(root.children) != 1 {
			j.say("", "it has more than ResponseMetadata")
		}
		return
	}
	result := root.child(o.Output.ResultWrapper)
	if result == nil {
		j.say("/"+o.Output.ResultWrapper, "it is required")
		return
	}
	j.xmlParts(j.model.Shapes[o.Output.Shape], result, "")
}

func (j *awsJudge) xmlError(o *awsOperation, status int, body []byte) {
	root, err := parseXML(body)
	if err != nil {
		j.say("", "it is no document: %v", err)
		return
	}
	if j.model.Metadata.Protocol == "ec2" {
		at := root.child("Errors")
		if root.name != "Response" || at == nil || at.child("Error") == nil || at.child("Error").child("Code") == nil || at.child("Error").child("Message") == nil || root.child("RequestID") == nil {
			j.say("", "an error is Response/Errors/Error with Code and Message, and RequestID: %s", body)
		}
		return
	}
	at := root.child("Error")
	if root.name != "ErrorResponse" || root.space == "" || at == nil || at.child("Type") == nil || at.child("Code") == nil || at.child("Message") == nil || root.child("RequestId") == nil {
		j.say("", "an error is ErrorResponse/Error with Type, Code and Message, and RequestId: %s", body)
		return
	}
	j.errorCode(o, at.child("Code").text, status)
}

// errorCode judges whether an operation can answer with that error. It returns the error's shape, nil for a common one.
func (j *awsJudge) errorCode(o *awsOperation, code string, status int) *awsShape {
	for _, ref := range o.Errors {
		shape := j.model.Shapes[ref.Shape]
		if code != shape.Error.Code && code != ref.Shape {
			continue
		}
		if shape.Error.Status != 0 && shape.Error.Status != status {
			j.say("!"+code, "its status is %d, not %d", shape.Error.Status, status)
		}
		return shape
	}
	if !slices.Contains(commonErrors[j.model.Metadata.Protocol], code) {
		j.say("!"+code, "the model lets the operation answer no such error")
	}
	return nil
}

func (j *awsJudge) jsonError(o *awsOperation, answer *http.Response, body []byte) {
	code := answer.Header.Get("X-Amzn-Errortype")
	var value map[string]any
	if err := json.Unmarshal(body, &value); err != nil || code == "" {
		j.say("", "an error is JSON with the header X-Amzn-Errortype: %s", body)
		return
	}
	if j.model.Metadata.Protocol == "json" && value["__type"] != code {
		j.say("/__type", "%v is not %s", value["__type"], code)
	}
	delete(value, "__type")
	shape := j.errorCode(o, code, answer.StatusCode)
	for name := range value {
		if shape == nil && name != "message" || shape != nil && !slices.ContainsFunc(slices.Collect(maps.Keys(shape.Members)), func(m string) bool { return strings.EqualFold(m, name) }) {
			j.say("!"+code+"/"+name, "the model has no such member")
		}
	}
}

func (c *awsChecker) judgeAll(name, direction string, j *awsJudge) {
	for _, p := range j.problems {
		c.judge(name, direction, p.pointer, p.words)
	}
}

// judge reports what the model does not allow and we do not either.
func (c *awsChecker) judge(name, direction, pointer, words string) {
	i := slices.IndexFunc(c.allowed, func(d deviation) bool {
		about, err := path.Match(d.operation, name)
		return err == nil && about && d.direction == direction && d.pointer == pointer
	})
	if i < 0 {
		c.report(fmt.Sprintf("%s: the %s differs from the model at %q: %s", name, direction, pointer, words))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[i] = true
}

// finish prints what was checked how, and fails for operations that were not seen and deviations that did not happen.
func (c *awsChecker) finish(operations []string) {
	c.t.Helper()
	for _, operation := range operations {
		if c.seen[operation] == 0 {
			c.report(fmt.Sprintf("operation %s was not checked", operation))
		}
	}
	for i, d := range c.allowed {
		if !c.used[i] {
			c.report(fmt.Sprintf("the deviation of %s (%s, %q) did not happen: remove it", d.operation, d.direction, d.pointer))
		}
	}
	var matrix strings.Builder
	for _, operation := range slices.Sorted(maps.Keys(c.seen)) {
		fmt.Fprintf(&matrix, "%-52s %6d  %-22v %s\n", operation, c.seen[operation], c.codes[operation], c.how[operation])
	}
	c.t.Logf("operations, how often and with what statuses, and by what they were checked:\n%s", matrix.String())
}
