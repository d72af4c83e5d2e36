package rest

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/ticket"
)

// InProject names the project of a request. The guard has resolved it, and asked whether the caller may act there.
type InProject struct {
	Project string `query:"project" maxLength:"63" doc:"Project; the token's own, or default, when left out."`
}

// Paging is where a list goes on.
type Paging struct {
	Cursor string `query:"cursor" maxLength:"1024" doc:"next of the page before."`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"Most items on a page; 50 when left out."`
}

func (p Paging) page() store.Page { return store.Page{Cursor: p.Cursor, Limit: p.Limit} }

// ServicePath names a service in a project.
type ServicePath struct {
	InProject
	Name string `path:"name" maxLength:"63" doc:"Name of the service."`
}

func (p ServicePath) key(ctx context.Context) release.Key {
	return release.Key{Project: project(ctx).Name, Name: p.Name}
}

func (a *API) registerServices() {
	typed(a, "list-services", http.MethodGet, "/v1/services", "List the services", account.ReadServices, 200, a.listServices)
	typed(a, "get-service", http.MethodGet, "/v1/services/{name}", "Show a service", account.ReadServices, 200, a.getService)
	typed(a, "get-service-progress", http.MethodGet, "/v1/services/{name}/progress", "Show where a service's deploy is",
		account.ReadServices, 200, a.getServiceProgress, http.StatusConflict)
	typed(a, "kill-service", http.MethodDelete, "/v1/services/{name}", "Remove a service everywhere", account.WriteServices, 202, a.killService, mayRefuse...)
	typed(a, "rollback-service", http.MethodPost, "/v1/services/{name}/rollback", "Bring out an earlier release again",
		account.WriteServices, 202, a.rollbackService, mayRefuse...)
	typed(a, "create-call-ticket", http.MethodPost, "/v1/services/{name}/call-tickets", "Permit calls to a service for a minute",
		account.CallServices, 201, a.permit(ticket.Call))
	typed(a, "create-log-ticket", http.MethodPost, "/v1/services/{name}/log-tickets", "Permit reading a service's logs for a minute",
		account.ReadServices, 201, a.permit(ticket.Logs))
}

func (a *API) listServices(ctx context.Context, in *struct {
	InProject
	Paging
}) (*Body[List[release.Service]], error) {
	items, next, err := a.Services.Services(ctx, project(ctx).Name, in.page())
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[List[release.Service]]{List[release.Service]{Items: items, Next: next}}, nil
}

func (a *API) getService(ctx context.Context, in *ServicePath) (*Body[release.Service], error) {
	s, err := a.find(ctx, *in)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[release.Service]{s}, nil
}

func (a *API) find(ctx context.Context, path ServicePath) (release.Service, error) {
	return a.Services.Service(ctx, path.key(ctx))
}

func (a *API) getServiceProgress(ctx context.Context, in *ServicePath) (*Body[release.Progress], error) {
	s, err := a.find(ctx, *in)
	if err != nil {
		return nil, problem(ctx, err)
	}
	p, err := a.ServiceCommands.ServiceProgress(ctx, s.Key)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[release.Progress]{p}, nil
}

// Ordered is the answer to a command about a service: the release it made, if any, and where to follow it.
type Ordered struct {
	Service string `json:"service"`
	Project string `json:"project"`
	Release int    `json:"release,omitempty"`
	ID      string `json:"id" doc:"Id of the run."`
	URL     string `json:"url" doc:"Where to follow it."`
}

func ordered(a release.Accepted) Ordered {
	o := Ordered{Service: a.Service.Name, Project: a.Service.Project, Release: a.Release, ID: a.Service.OperateID(),
		URL: "/v1/services/" + a.Service.Name + "?project=" + a.Service.Project}
	if a.Release > 0 {
		o.ID, o.URL = a.Service.DeployID(a.Release), releaseURL(a.Service, a.Release)
	}
	return o
}

func (a *API) killService(ctx context.Context, in *struct {
	ServicePath
	Keyed
}) (*Body[Ordered], error) {
	key := in.key(ctx)
	// The service is looked for within: a repetition must get the first answer though the service is gone by then.
	answer, err := once(ctx, a, "kill-service "+key.String(), in.IdempotencyKey, nil, func(id string) (release.Accepted, error) {
		if _, err := a.Services.Service(ctx, key); err != nil {
			return release.Accepted{}, err
		}
		return a.ServiceCommands.KillService(ctx, id, key, release.KillInput{By: caller(ctx).Subject})
	})
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[Ordered]{ordered(answer)}, nil
}

func (a *API) rollbackService(ctx context.Context, in *struct {
	ServicePath
	Keyed
	Body struct {
		To int `json:"to,omitempty" minimum:"0" doc:"Release to go back to; the one before the current when left out."`
	}
}) (*Body[Ordered], error) {
	s, err := a.find(ctx, in.ServicePath)
	if err != nil {
		return nil, problem(ctx, err)
	}
	answer, err := once(ctx, a, "rollback-service "+s.Key.String(), in.IdempotencyKey, in.Body, func(id string) (release.Accepted, error) {
		return a.ServiceCommands.RollbackService(ctx, id, s.Key, release.RollbackInput{To: in.Body.To, By: caller(ctx).Subject})
	})
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[Ordered]{ordered(answer)}, nil
}

// Permit is a ticket for one service, and the gateways that take it; where there is none, there is no ticket. Service URLs end
// in a slash.
type Permit struct {
	Ticket  string       `json:"ticket"`
	Regions []PermitSite `json:"regions"`
}

// PermitSite is one region's gateway.
type PermitSite struct {
	Region  string `json:"region" doc:"platform/name"`
	Gateway string `json:"gateway"`
	Service string `json:"service"`
}

// permit signs a ticket for a verb. Calls are permitted to a service that nobody brought out, too: it may have registered itself in a
// region, which the region's gateway knows.
func (a *API) permit(verb string) func(context.Context, *ServicePath) (*Body[Permit], error) {
	return func(ctx context.Context, in *ServicePath) (*Body[Permit], error) {
		s, unknown := a.find(ctx, *in)
		if unknown != nil && !(verb == ticket.Call && fault.Is(unknown, fault.NotFound) && region.IsLabel(in.Name)) {
			return nil, problem(ctx, unknown)
		}
		runs := s.In
		switch {
		case unknown != nil:
			s.Key, runs = in.key(ctx), region.Region.Takes
		case verb == ticket.Logs: // an instance that is not ready yet has most to say
			runs = func(region.Region) bool { return true }
		}
		sites, err := a.sites(ctx, s.Key, runs)
		if err != nil {
			return nil, problem(ctx, err)
		}
		if unknown != nil && len(sites) == 0 {
			return nil, problem(ctx, unknown)
		}
		if len(sites) == 0 {
			return &Body[Permit]{Permit{Regions: sites}}, nil
		}
		signed, err := a.Tickets.Sign(ticket.Grant{Subject: caller(ctx).Subject, Project: s.Key.Project, Regions: audience(sites),
			Scopes: []string{ticket.Scope(verb, s.Key.Project, s.Key.Name)}})
		if err != nil {
			return nil, problem(ctx, err)
		}
		return &Body[Permit]{Permit{Ticket: signed, Regions: sites}}, nil
	}
}

// sites are the gateways of those regions of the project's platform in which the service runs.
func (a *API) sites(ctx context.Context, key release.Key, runs func(region.Region) bool) ([]PermitSite, error) {
	sites, platform := []PermitSite{}, project(ctx).Platform
	if platform == "" {
		return sites, nil
	}
	all, err := a.Regions.Regions(ctx, platform, false)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if runs(r) && r.Endpoints.API != "" {
			sites = append(sites, PermitSite{Region: r.Spec.Key().String(), Gateway: r.Endpoints.API, Service: r.Endpoints.API + key.Segment() + "/"})
		}
	}
	return sites, nil
}

// audience are all regions of the platforms that the sites belong to: the service may come to others of them within the
// ticket's life.
func audience(sites []PermitSite) []string {
	var all []string
	for _, site := range sites {
		platform, _, _ := strings.Cut(site.Region, "/")
		if every := ticket.EveryRegionOf(platform); !slices.Contains(all, every) {
			all = append(all, every)
		}
	}
	return all
}
