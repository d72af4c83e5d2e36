package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// Permits signs what a gateway asks to see.
type Permits interface {
	Permit(in region.Key, scope string) (string, error)
}

// Gateways asks gateways over their control route.
type Gateways struct {
	HTTP    *http.Client
	Permits Permits
}

// Bounds of what a gateway is asked.
const (
	askTimeout = 4 * time.Second // for a page
	maxPage    = 4 << 20         // bytes
	maxPages   = 100
)

// View is what a region's gateway tells of its services. Partial: it broke off, and what is missing is not known.
type View struct {
	At        time.Time
	Services  map[release.Key][]release.Instance
	Suspended map[string]bool // projects
	Partial   bool
}

// Ask returns what the region's gateway tells. It fails only if the gateway does not answer at all.
func (g *Gateways) Ask(ctx context.Context, r region.Region) (View, error) {
	v := View{Services: map[release.Key][]release.Instance{}, Suspended: map[string]bool{}}
	permit, err := g.Permits.Permit(r.Spec.Key(), ticket.ReadInstances)
	if err != nil {
		return v, fmt.Errorf("permit a look at %s: %w", r.Spec.Key(), err)
	}
	after := ""
	for n := range maxPages {
		page, err := g.page(ctx, r.Endpoints.API, permit, after)
		if err != nil && n == 0 {
			return v, err
		}
		if err != nil {
			v.Partial = true
			return v, nil
		}
		v.At = page.At
		for _, s := range page.Services {
			v.Services[s.Service] = s.Instances
		}
		for _, project := range page.Suspended {
			v.Suspended[project] = true
		}
		if after = page.Next; after == "" {
			return v, nil
		}
	}
	v.Partial = true
	return v, nil
}

func (g *Gateways) page(ctx context.Context, api, permit, after string) (report release.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	address := api + "-/instances"
	if after != "" {
		address += "?after=" + url.QueryEscape(after)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return report, fault.Wrap(fault.Invalid, err, "its gateway has no address: %q", api)
	}
	req.Header.Set("Authorization", "Bearer "+permit)
	resp, err := g.HTTP.Do(req)
	if err != nil {
		return report, fault.Wrap(fault.Unavailable, err, "its gateway does not answer: %s", reason(ctx, err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	switch {
	case err != nil:
		return report, fault.Wrap(fault.Unavailable, err, "its gateway broke off its answer")
	case resp.StatusCode != http.StatusOK:
		return report, fault.New(fault.Unavailable, "its gateway answers %s%s", resp.Status, detail(body))
	case json.Unmarshal(body, &report) != nil:
		return report, fault.New(fault.Unavailable, "what answers at its address is no gateway")
	}
	return report, nil
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
func reason(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "no answer within " + askTimeout.String()
	}
	text := err.Error()
	for _, known := range []string{"connection refused", "no route to host", "network is unreachable", "no such host", "connection reset by peer", "EOF"} {
		if strings.HasSuffix(text, known) {
			return known
		}
	}
	return text
}
