// Package sandboxed is what the accounts of a running sandbox's clouds have in common as harnesses of the conformance suite: faults, the
// ledger, and a wire that cuts connections. It knows the sandbox by its control routes alone, as anybody outside does.
//
// It knows no cloud: operations, kinds and the words of a refusal are each provider's own. Only tests import it.
package sandboxed

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/m3o/platform/internal/cloud/cloudtest"
)

const (
	limit    = 10 * time.Second // of a request to a control route
	maxBytes = 32 << 20         // of an answer
)

// Control is where a sandbox takes orders about one of its clouds.
type Control struct {
	URL      string // base URL of the control routes
	Provider string // the cloud's name there
}

// ways are the sandbox's words for how a call goes wrong.
var ways = map[cloudtest.Way]string{
	cloudtest.Throttled: "throttle", cloudtest.Failing: "5xx", cloudtest.LostBefore: "lost-before",
	cloudtest.Denied: "denied", cloudtest.Quota: "quota", cloudtest.Slow: "slow", cloudtest.Stuck: "stuck", cloudtest.Late: "late",
}

// Break has a call go wrong once. operations are the cloud's official names of the suite's calls.
func (c Control) Break(t *testing.T, operations map[cloudtest.Call]string, b cloudtest.Breakage) {
	t.Helper()
	c.Fault(t, operations[b.Call], ways[b.Way], 0)
}

// Fault has the operation misbehave once, after so many calls of it. fault is the sandbox's word.
func (c Control) Fault(t *testing.T, operation, fault string, after int) {
	t.Helper()
	c.Ask(t, http.MethodPost, "/_sandbox/faults", map[string]any{"provider": c.Provider, "operation": operation, "fault": fault, "times": 1, "after": after})
}

// Line is a line of the ledger. Kind is "created", "updated" or "deleted", Resource the sandbox's word for what it happened to.
type Line struct{ Kind, Resource, ID, Name string }

// Effects is the cloud's ledger in the suite's words. kind says what a line counts as; without one it does not count.
func (c Control) Effects(t *testing.T, kind func(Line) (cloudtest.Kind, bool)) []cloudtest.Effect {
	t.Helper()
	var effects []cloudtest.Effect
	lines := json.NewDecoder(bytes.NewReader(c.Ask(t, http.MethodGet, "/_sandbox/effects?provider="+c.Provider, nil)))
	for lines.More() {
		var line Line
		if err := lines.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if kind, counts := kind(line); counts {
			effects = append(effects, cloudtest.Effect{Change: line.Kind, Kind: kind, Name: line.Name})
		}
	}
	return effects
}

// Ask sends a request to a control route, and returns the answer's body.
func (c Control) Ask(t *testing.T, method, path string, body any) []byte {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Timeout: limit}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxBytes))
	if err != nil || answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %v: %s", method, path, answer.Status, err, text)
	}
	return text
}

// Wire has requests pass, or not, as the suite judges.
type Wire struct {
	Judge cloudtest.Wire
	Next  http.RoundTripper
	Call  func(*http.Request) string // names what a request asks for; equal calls share a name
	// Refuse answers as the cloud does to what is cloudtest.Refused or cloudtest.Expired.
	Refuse func(*http.Request, cloudtest.Passage) *http.Response
}

var errCut = errors.New("the connection was cut")

// RoundTrip implements http.RoundTripper.
func (w Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	switch passage := w.Judge(w.Call(r)); passage {
	case cloudtest.CutBefore:
		return nil, errCut
	case cloudtest.CutAfter:
		answer, err := w.Next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, maxBytes)) // it was done when the answer is whole
		return nil, errors.Join(errCut, err, answer.Body.Close())
	case cloudtest.Refused, cloudtest.Expired:
		return w.Refuse(r, passage), nil
	}
	return w.Next.RoundTrip(r)
}
