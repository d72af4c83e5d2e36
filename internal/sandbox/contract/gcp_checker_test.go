//go:build contract

package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"cloud.google.com/go/container/apiv1/containerpb"
)

// gcpChecker is a transport that checks what passes through it against the discovery documents, and by strict protojson as well what has
// messages: container's with no unknown fields and enums by name or number, Compute's with nothing lost on the way through computepb.
type gcpChecker struct {
	t       *testing.T
	report  func(string)
	next    http.RoundTripper
	methods []discoveryMethod
	allowed []deviation

	mu    sync.Mutex
	used  map[int]bool
	seen  map[string]int
	codes map[string]map[int]int
	how   map[string]map[string]bool
}

func newGCPChecker(t *testing.T, allowed []deviation) *gcpChecker {
	t.Helper()
	c := &gcpChecker{t: t, report: func(problem string) { t.Error(problem) }, next: http.DefaultTransport, allowed: allowed,
		used: map[int]bool{}, seen: map[string]int{}, codes: map[string]map[int]int{}, how: map[string]map[string]bool{}}
	for _, d := range discoveries(t) {
		c.methods = append(c.methods, d.methods()...)
	}
	// Two services have operations at one path; at one port only one of them can be asked.
	c.methods = slices.DeleteFunc(c.methods, func(m discoveryMethod) bool { return m.ID == "cloudresourcemanager.operations.get" })
	return c
}

// containerMessages are the messages of container's methods: of requests, whose path is in the message too, and answers.
var containerMessages = map[string]struct{ request, answer proto.Message }{
	"container.projects.locations.getServerConfig":            {nil, &containerpb.ServerConfig{}},
	"container.projects.locations.clusters.list":              {nil, &containerpb.ListClustersResponse{}},
	"container.projects.locations.clusters.create":            {&containerpb.CreateClusterRequest{}, &containerpb.Operation{}},
	"container.projects.locations.clusters.get":               {nil, &containerpb.Cluster{}},
	"container.projects.locations.clusters.update":            {&containerpb.UpdateClusterRequest{}, &containerpb.Operation{}},
	"container.projects.locations.clusters.delete":            {nil, &containerpb.Operation{}},
	"container.projects.locations.clusters.setResourceLabels": {&containerpb.SetLabelsRequest{}, &containerpb.Operation{}},
	"container.projects.locations.clusters.updateMaster":      {&containerpb.UpdateMasterRequest{}, &containerpb.Operation{}},
	"container.projects.locations.clusters.nodePools.list":    {nil, &containerpb.ListNodePoolsResponse{}},
	"container.projects.locations.clusters.nodePools.create":  {&containerpb.CreateNodePoolRequest{}, &containerpb.Operation{}},
	"container.projects.locations.clusters.nodePools.get":     {nil, &containerpb.NodePool{}},
	"container.projects.locations.clusters.nodePools.delete":  {nil, &containerpb.Operation{}},
	"container.projects.locations.clusters.nodePools.setSize": {&containerpb.SetNodePoolSizeRequest{}, &containerpb.Operation{}},
	"container.projects.locations.operations.list":            {nil, &containerpb.ListOperationsResponse{}},
	"container.projects.locations.operations.get":             {nil, &containerpb.Operation{}},
	"container.projects.locations.operations.cancel":          {&containerpb.CancelOperationRequest{}, &emptypb.Empty{}},
}

// RoundTrip implements http.RoundTripper.
func (c *gcpChecker) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	body, err := drain(&r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	i := slices.IndexFunc(c.methods, func(m discoveryMethod) bool { return m.fits(r) })
	if i < 0 {
		return nil, fmt.Errorf("%s %s is not in the discovery documents", r.Method, r.URL.Path)
	}
	m := c.methods[i]
	c.checkQuery(m, r)
	if m.Request != nil || len(body) > 0 {
		c.checkBody(m, "request", m.Request, containerMessages[m.ID].request, body)
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
	if answer.StatusCode == http.StatusOK {
		c.checkBody(m, "answer", m.Response, containerMessages[m.ID].answer, told)
	} else {
		c.checkError(m, answer.StatusCode, told)
	}
	if kind := answer.Header.Get("Content-Type"); kind != "application/json; charset=UTF-8" {
		c.judge(m.ID, "answer", "", "its type is "+kind)
	}
	c.count(m, answer.StatusCode)
	return answer, nil
}

func (c *gcpChecker) count(m discoveryMethod, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[m.ID]++
	if c.codes[m.ID] == nil {
		c.codes[m.ID] = map[int]int{}
	}
	c.codes[m.ID][status]++
}

// checkQuery looks at the parameters that are not in the path.
func (c *gcpChecker) checkQuery(m discoveryMethod, r *http.Request) {
	for name, values := range r.URL.Query() {
		parameter, described := m.Parameters[name]
		if !described {
			parameter, described = m.of.Parameters[name]
		}
		if !described {
			c.judge(m.ID, "request", "?"+name, "there is no such parameter")
			continue
		}
		for _, value := range values {
			if len(parameter.Enum) > 0 && !slices.Contains(parameter.Enum, value) {
				c.judge(m.ID, "request", "?"+name, fmt.Sprintf("%q is none of %v", value, parameter.Enum))
			}
			if words := parameter.format(value); words != "" {
				c.judge(m.ID, "request", "?"+name, words)
			}
		}
	}
}

// checkBody looks at a body by its schema, and by its message where the service has messages.
func (c *gcpChecker) checkBody(m discoveryMethod, direction string, schema *discoverySchema, message proto.Message, body []byte) {
	by := []string{"discovery"}
	if message != nil && len(body) > 0 {
		by = append(by, "containerpb")
		fresh := message.ProtoReflect().New().Interface()
		if err := protojson.Unmarshal(body, fresh); err != nil {
			c.judge(m.ID, direction, "", err.Error())
			return
		}
		// Written again with names, so that the description, which knows no numbers, can judge it.
		var err error
		if body, err = protojson.Marshal(fresh); err != nil {
			c.judge(m.ID, direction, "", err.Error())
			return
		}
	}
	var value any
	switch err := json.Unmarshal(body, &value); {
	case len(body) == 0:
		if direction == "answer" {
			c.judge(m.ID, direction, "", "it has no body")
		}
		return
	case err != nil:
		c.judge(m.ID, direction, "", "it is not JSON: "+err.Error())
		return
	case schema == nil:
		c.judge(m.ID, direction, "", "the description has no body for it")
		return
	}
	if m.of.Name == "compute" && c.checkCompute(m, direction, *schema, body) {
		by = append(by, "computepb")
	}
	for pointer, words := range m.of.deviants(*schema, value, "") {
		c.judge(m.ID, direction, pointer, words)
	}
	c.checked(m, direction, by...)
}

// checked notes for the matrix how a body was checked.
func (c *gcpChecker) checked(m discoveryMethod, what string, by ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.how[m.ID] == nil {
		c.how[m.ID] = map[string]bool{}
	}
	for _, one := range by {
		c.how[m.ID][what+" by "+one] = true
	}
}

// checkError looks at the form that errors of all services have.
func (c *gcpChecker) checkError(m discoveryMethod, status int, body []byte) {
	c.checked(m, "error", "hand")
	var told struct {
		Error *struct {
			Code    int               `json:"code"`
			Message string            `json:"message"`
			Status  string            `json:"status"`
			Errors  []json.RawMessage `json:"errors"`
			Details []struct {
				Type string `json:"@type"`
			} `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &told); err != nil || told.Error == nil {
		c.judge(m.ID, "answer", "/error", fmt.Sprintf("%d with %s", status, body))
		return
	}
	e := told.Error
	if e.Code != status || e.Message == "" || len(e.Errors) == 0 || canonical[e.Status] == nil || !slices.Contains(canonical[e.Status], status) {
		c.judge(m.ID, "answer", "/error", fmt.Sprintf("%d with %s", status, body))
	}
	for _, d := range e.Details {
		if !strings.HasPrefix(d.Type, "type.googleapis.com/google.rpc.") {
			c.judge(m.ID, "answer", "/error/details/*/@type", d.Type)
		}
	}
}

// canonical are the codes of google.rpc.Code, and the HTTP statuses that they are sent with; source: google/rpc/code.proto. Compute sends
// some with others, as it is older.
var canonical = map[string][]int{
	"INVALID_ARGUMENT": {400}, "FAILED_PRECONDITION": {400, 412}, "UNAUTHENTICATED": {401}, "PERMISSION_DENIED": {403}, "NOT_FOUND": {404},
	"ALREADY_EXISTS": {409}, "ABORTED": {409}, "RESOURCE_EXHAUSTED": {429}, "INTERNAL": {500}, "UNAVAILABLE": {503}, "DEADLINE_EXCEEDED": {504},
}

func (c *gcpChecker) judge(operation, direction, pointer, words string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.allowed, func(d deviation) bool {
		return (d.operation == operation || strings.HasSuffix(d.operation, "*") && strings.HasPrefix(operation, strings.TrimSuffix(d.operation, "*"))) &&
			d.direction == direction && d.pointer == pointer
	})
	if i < 0 {
		c.report(fmt.Sprintf("%s: the %s differs from the description at %q: %s", operation, direction, pointer, words))
		return
	}
	c.used[i] = true
}

// finish fails for operations that were not seen and deviations that did not happen, and prints the matrix.
func (c *gcpChecker) finish(operations []string) {
	c.t.Helper()
	for i, d := range c.allowed {
		if !c.used[i] {
			c.report(fmt.Sprintf("the allowed deviation of %s (%s) at %s does not happen any more: remove it", d.operation, d.direction, d.pointer))
		}
	}
	total := 0
	for _, operation := range slices.Sorted(slices.Values(operations)) {
		if c.seen[operation] == 0 {
			c.report(fmt.Sprintf("operation %s was not checked", operation))
			continue
		}
		total += c.seen[operation]
		c.t.Logf("%-62s %6d exchanges  %v  %v", operation, c.seen[operation], slices.Sorted(maps.Keys(c.codes[operation])), slices.Sorted(maps.Keys(c.how[operation])))
	}
	c.t.Logf("%d operations, %d exchanges agree with the descriptions", len(operations), total)
}
