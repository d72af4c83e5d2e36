package watch

import (
	"context"
	"net/url"
	"time"

	"github.com/m3o/platform/internal/gatecall"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// Gateways asks gateways over their control route.
type Gateways struct{ Caller *gatecall.Caller }

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
	after := ""
	for n := range maxPages {
		page, err := g.page(ctx, r, after)
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

func (g *Gateways) page(ctx context.Context, r region.Region, after string) (report release.Report, err error) {
	route := "-/instances"
	if after != "" {
		route += "?after=" + url.QueryEscape(after)
	}
	err = g.Caller.Read(ctx, gatecall.Question{Region: r.Spec.Key(), API: r.Endpoints.API, Route: route, Scope: ticket.ReadInstances,
		Within: askTimeout, Most: maxPage}, &report)
	return report, err
}
