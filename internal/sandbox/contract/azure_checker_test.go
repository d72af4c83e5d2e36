//go:build contract

package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/azure"
)

// azureChecker is a transport that has what passes through it read and written by the models of Azure's SDK: nothing may be lost.
type azureChecker struct {
	t       *testing.T
	report  func(string)
	next    http.RoundTripper
	allowed []deviation

	mu   sync.Mutex
	used map[int]bool
	seen map[string]int
	// codes are the statuses of an operation's answers, how says by what they were checked.
	codes map[string][]int
	how   map[string]string
}

func newAzureChecker(t *testing.T, allowed []deviation) *azureChecker {
	return &azureChecker{t: t, report: func(problem string) { t.Error(problem) }, allowed: allowed, used: map[int]bool{}, seen: map[string]int{},
		codes: map[string][]int{}, how: map[string]string{}}
}

// over has the check sit on a transport.
func (c *azureChecker) over(next http.RoundTripper) http.RoundTripper {
	return azureWire{c, next}
}

type azureWire struct {
	check *azureChecker
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w azureWire) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	body, err := drain(&r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	operation := azure.Operation(r.Method, r.URL.Path)
	w.check.judgeRequest(operation, r, body)
	answer, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	data, err := drain(&answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(data))
	w.check.judgeAnswer(operation, answer, data)
	return answer, nil
}

func (c *azureChecker) judgeRequest(operation string, r *http.Request, body []byte) {
	models, known := azureModels[operation]
	if !known {
		c.report(fmt.Sprintf("%s %s (%s) is none of the operations that are checked", r.Method, r.URL.Path, operation))
		return
	}
	if len(body) > 0 && models.request != nil {
		c.roundTrip(operation, "request", models.request(), body)
	}
	if models.version != "" && r.URL.Query().Get("api-version") != models.version {
		c.judge(operation, "request", "api-version", fmt.Sprintf("it is %q, and the models are of %s", r.URL.Query().Get("api-version"), models.version))
	}
}

func (c *azureChecker) judgeAnswer(operation string, answer *http.Response, body []byte) {
	models := azureModels[operation]
	c.mu.Lock()
	c.seen[operation]++
	c.how[operation] = models.how()
	if !slices.Contains(c.codes[operation], answer.StatusCode) {
		c.codes[operation] = append(c.codes[operation], answer.StatusCode)
	}
	c.mu.Unlock()
	for _, header := range []string{"X-Ms-Request-Id", "X-Ms-Correlation-Request-Id", "Cache-Control"} {
		if answer.Header.Get(header) == "" {
			c.judge(operation, "answer", header, "the answer has no such header")
		}
	}
	if !slices.Contains(models.statuses, answer.StatusCode) && answer.StatusCode < 400 {
		c.judge(operation, "answer", fmt.Sprint(answer.StatusCode), "the SDK takes that status for a failure")
	}
	if answer.StatusCode == http.StatusAccepted && answer.Header.Get("Azure-AsyncOperation") == "" && answer.Header.Get("Location") == "" {
		c.judge(operation, "answer", "Location", "nothing says where to ask how it goes")
	}
	switch {
	case answer.StatusCode >= 400 && models.open:
		c.strict(operation, &struct {
			Error         string `json:"error"`
			Description   string `json:"error_description"`
			Codes         []int  `json:"error_codes"`
			Timestamp     string `json:"timestamp"`
			TraceID       string `json:"trace_id"`
			CorrelationID string `json:"correlation_id"`
			URI           string `json:"error_uri"`
		}{}, body)
	case answer.StatusCode >= 400:
		c.judgeError(operation, body)
	case len(body) > 0 && models.answer != nil:
		c.roundTrip(operation, "answer", models.answer(), body)
	}
}

// judgeError checks the envelope that all providers' errors have.
func (c *azureChecker) judgeError(operation string, body []byte) {
	var envelope struct {
		Error struct {
			Code    string            `json:"code"`
			Message string            `json:"message"`
			Details []json.RawMessage `json:"details"`
		} `json:"error"`
	}
	c.strict(operation, &envelope, body)
	if envelope.Error.Code == "" || envelope.Error.Message == "" {
		c.judge(operation, "answer", "/error", "an error has a code and a message")
	}
}

func (c *azureChecker) strict(operation string, into any, body []byte) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		c.judge(operation, "answer", "", err.Error())
	}
}

// roundTrip has a model read what was sent and write it again: what is not there any more, the model does not know.
func (c *azureChecker) roundTrip(operation, direction string, model any, body []byte) {
	if err := json.Unmarshal(body, model); err != nil {
		c.judge(operation, direction, "", err.Error())
		return
	}
	again, err := json.Marshal(model)
	if err != nil {
		c.judge(operation, direction, "", err.Error())
		return
	}
	var before, after any
	if json.Unmarshal(body, &before) != nil || json.Unmarshal(again, &after) != nil {
		c.judge(operation, direction, "", "it is not JSON")
		return
	}
	for _, pointer := range lostKeys(before, after, "") {
		c.judge(operation, direction, pointer, "the SDK's model loses it")
	}
}

// lostKeys lists where the second value lacks what the first has, or has something else. Entries of lists and of maps of ids go by "*".
func lostKeys(before, after any, at string) []string {
	switch b := before.(type) {
	case nil:
		return nil
	case map[string]any:
		a, is := after.(map[string]any)
		if !is {
			return []string{at}
		}
		var lost []string
		for key, value := range b {
			name := key
			if strings.HasPrefix(key, "/subscriptions/") {
				name = "*"
			}
			lost = append(lost, lostKeys(value, a[key], at+"/"+name)...)
		}
		return lost
	case []any:
		a, is := after.([]any)
		if !is || len(a) != len(b) {
			if len(b) == 0 {
				return nil
			}
			return []string{at}
		}
		var lost []string
		for i := range b {
			lost = append(lost, lostKeys(b[i], a[i], at+"/*")...)
		}
		slices.Sort(lost)
		return slices.Compact(lost)
	}
	if reflect.DeepEqual(before, after) || sameTime(before, after) {
		return nil
	}
	return []string{at}
}

func sameTime(before, after any) bool {
	a, isA := before.(string)
	b, isB := after.(string)
	first, errA := time.Parse(time.RFC3339Nano, a)
	second, errB := time.Parse(time.RFC3339Nano, b)
	return isA && isB && errA == nil && errB == nil && first.Equal(second)
}

func (c *azureChecker) judge(operation, direction, pointer, problem string) {
	i := slices.IndexFunc(c.allowed, func(d deviation) bool {
		return d.operation == operation && d.direction == direction && d.pointer == pointer
	})
	if i < 0 {
		c.report(fmt.Sprintf("%s: the %s differs at %q: %s", operation, direction, pointer, problem))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[i] = true
}

// finish fails for operations that were not seen and deviations that did not happen, and prints what was checked how.
func (c *azureChecker) finish(operations []string) {
	c.t.Helper()
	for _, operation := range operations {
		if c.seen[operation] == 0 {
			c.report(fmt.Sprintf("operation %s was not checked", operation))
		}
	}
	for i, d := range c.allowed {
		if !c.used[i] {
			c.report(fmt.Sprintf("the deviation of %s at %q (%s) does not happen any more: remove it", d.operation, d.pointer, d.reason))
		}
	}
	var names []string
	for name := range c.seen {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		slices.Sort(c.codes[name])
		c.t.Logf("%-50s %5d calls, answers %v, by %s", name, c.seen[name], c.codes[name], c.how[name])
	}
}
