// Package gatecall asks regions' gateways over their control routes, in the platform's own name. It knows how to ask and how to say that
// nothing came of it; what the routes answer is for whoever asks. It is not how users call services, nor how the command line reads logs:
// that is internal/client. Activities and internal/watch import it.
package gatecall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Permits signs what a gateway asks to see.
type Permits interface {
	// Permit returns a short-lived ticket for one scope in one region.
	Permit(in region.Key, scope string) (string, error)
}

// Caller asks gateways.
type Caller struct {
	HTTP    *http.Client
	Permits Permits
}

// Question is what a region's gateway is asked.
type Question struct {
	Region region.Key
	API    string        // base of its gateway, ending in a slash
	Route  string        // with the query, "-/readyz"
	Scope  string        // of the ticket; empty for a route that needs none
	Within time.Duration // until the answer is whole
	Most   int64         // bytes of it
}

// Ask returns the body of the answer. An answer other than 200 is Unavailable, as none is: gateways come and go.
func (c *Caller) Ask(ctx context.Context, q Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, q.Within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.API+q.Route, nil)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "its gateway has no address: %q", q.API)
	}
	if q.Scope != "" {
		permit, err := c.Permits.Permit(q.Region, q.Scope)
		if err != nil {
			return nil, fmt.Errorf("permit a look at %s: %w", q.Region, err)
		}
		req.Header.Set("Authorization", "Bearer "+permit)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "its gateway does not answer: %s", q.reason(ctx, err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, q.Most))
	switch {
	case err != nil:
		return nil, fault.Wrap(fault.Unavailable, err, "its gateway broke off its answer")
	case resp.StatusCode != http.StatusOK:
		return nil, fault.New(fault.Unavailable, "its gateway answers %s%s", resp.Status, detail(body))
	}
	return body, nil
}

// Read asks, and reads the answer as JSON.
func (c *Caller) Read(ctx context.Context, q Question, answer any) error {
	body, err := c.Ask(ctx, q)
	if err == nil && json.Unmarshal(body, answer) != nil {
		err = fault.New(fault.Unavailable, "what answers at its address is no gateway")
	}
	return err
}

// detail is what a problem document says.
func detail(body []byte) string {
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
		return ""
	}
	return ": " + problem.Detail
}

// reason is why a request came to nothing, without the address, which the region's row has.
func (q Question) reason(ctx context.Context, err error) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "no answer within " + q.Within.String()
	}
	text := err.Error()
	for _, known := range []string{"connection refused", "no route to host", "network is unreachable", "no such host", "connection reset by peer", "EOF"} {
		if strings.HasSuffix(text, known) {
			return known
		}
	}
	return text
}
