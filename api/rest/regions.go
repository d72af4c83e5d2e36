package rest

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// RegionLine is a region as lists show it.
type RegionLine struct {
	Name      string           `json:"name"`
	Platform  string           `json:"platform"`
	Provider  region.Provider  `json:"provider"`
	Region    string           `json:"region" doc:"The provider's own name for the place."`
	Status    region.Status    `json:"status"`
	Message   string           `json:"message,omitempty"`
	Endpoints region.Endpoints `json:"endpoints"`
	Nodes     int              `json:"nodes"`
	Version   string           `json:"kubernetes_version,omitempty"`
	Unserved  *region.Unserved `json:"unserved,omitempty" doc:"Set while no worker serves the region's cloud."`
	Unseen    *region.Unseen   `json:"unseen,omitempty" doc:"Set while the platform cannot see its regions: what it says of them is from before."`
}

// RegionDetails is all that is known of a region.
type RegionDetails struct {
	region.Region
	Unserved *region.Unserved `json:"unserved,omitempty" doc:"Set while no worker serves the region's cloud: what is to be done there waits."`
	Unseen   *region.Unseen   `json:"unseen,omitempty" doc:"Set while the platform cannot see its regions: what it says of them is from before."`
}

// unserved says that nobody works on the region's cloud.
func (a *API) unserved(r region.Region) *region.Unserved {
	if a.Attendance == nil {
		return nil
	}
	return a.Attendance.Unserved(r.Spec.Provider)
}

func (a *API) regionLine(r region.Region, o region.Outlook) RegionLine {
	r = o.Overlay(r)
	return RegionLine{Name: r.Spec.Name, Platform: r.Spec.Platform, Provider: r.Spec.Provider, Region: r.Spec.Location, Status: r.Status,
		Message: r.Message, Endpoints: r.Endpoints, Nodes: r.Cluster.Nodes, Version: r.Cluster.Version, Unserved: a.unserved(r), Unseen: o.Unseen}
}

// RegionPath names a region.
type RegionPath struct {
	Name string `path:"name" maxLength:"81" doc:"Name of the region, or platform/name."`
}

// Body is an answer with a JSON body.
type Body[T any] struct{ Body T }

// List is a page of a list. Next is the cursor of the next page, empty at the end.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Started is the answer to what takes time: where to look at it.
type Started struct {
	ID  string `json:"id" doc:"Id of the run."`
	URL string `json:"url" doc:"Where to follow it."`
}

func (a *API) registerRegions() {
	typed(a, "list-regions", http.MethodGet, "/v1/regions", "List the regions", account.ReadRegions, 200, a.listRegions)
	typed(a, "get-region", http.MethodGet, "/v1/regions/{name}", "Show a region", account.ReadRegions, 200, a.getRegion, http.StatusConflict)
	typed(a, "get-region-progress", http.MethodGet, "/v1/regions/{name}/progress", "Show where a region's operation is",
		account.ReadRegions, 200, a.getRegionProgress, http.StatusConflict)
	typed(a, "retry-region", http.MethodPost, "/v1/regions/{name}/retry", "Go on with a bootstrap that waits or failed",
		account.WriteRegions, 202, a.retryRegion, mayRefuse...)
	typed(a, "delete-region", http.MethodDelete, "/v1/regions/{name}", "Take a region down", account.WriteRegions, 202, a.deleteRegion, mayRefuse...)
	typed(a, "get-region-kubeconfig", http.MethodPost, "/v1/regions/{name}/kubeconfig",
		"Make a kubeconfig of the caller's own, sealed to his one-time key", account.InspectRegions, 200, a.getKubeconfig, mayRefuse...)
}

func (a *API) listRegions(ctx context.Context, in *struct {
	Platform string `query:"platform" maxLength:"63"`
}) (*Body[List[RegionLine]], error) {
	all, err := a.Regions.Regions(ctx, in.Platform, false)
	if err != nil {
		return nil, problem(ctx, err)
	}
	outlook, err := a.Regions.Outlook(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	lines := make([]RegionLine, len(all))
	for i, r := range all {
		lines[i] = a.regionLine(r, outlook)
	}
	return &Body[List[RegionLine]]{List[RegionLine]{Items: lines}}, nil
}

func (a *API) getRegion(ctx context.Context, in *RegionPath) (*Body[RegionDetails], error) {
	r, err := a.Regions.RegionNamed(ctx, in.Name)
	if err != nil {
		return nil, problem(ctx, err)
	}
	outlook, err := a.Regions.Outlook(ctx)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[RegionDetails]{RegionDetails{Region: outlook.Overlay(r), Unserved: a.unserved(r), Unseen: outlook.Unseen}}, nil
}

func (a *API) getRegionProgress(ctx context.Context, in *RegionPath) (*Body[region.Progress], error) {
	r, err := a.Regions.RegionNamed(ctx, in.Name)
	if err != nil {
		return nil, problem(ctx, err)
	}
	p, err := a.RegionCommands.RegionProgress(ctx, r.Spec.Key())
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[region.Progress]{p}, nil
}

// RegionCommand is a command to a region.
type RegionCommand struct {
	RegionPath
	Keyed
}

// command does something to a region once, and answers where to follow it.
func (a *API) command(ctx context.Context, in *RegionCommand, route string, do func(id string, key region.Key, by string) error) (*Body[Started], error) {
	// The region is looked for within: a repetition must get the first answer though the region is gone by then.
	started, err := once(ctx, a, route+" "+in.Name, in.IdempotencyKey, nil, func(id string) (Started, error) {
		r, err := a.Regions.RegionNamed(ctx, in.Name)
		if err != nil {
			return Started{}, err
		}
		return Started{ID: r.Spec.Key().OperateID(), URL: "/v1/regions/" + in.Name}, do(id, r.Spec.Key(), caller(ctx).Subject)
	})
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[Started]{started}, nil
}

func (a *API) retryRegion(ctx context.Context, in *RegionCommand) (*Body[Started], error) {
	return a.command(ctx, in, "retry-region", func(id string, key region.Key, by string) error {
		_, err := a.RegionCommands.RetryRegion(ctx, id, key, region.RetryInput{By: by})
		return err
	})
}

func (a *API) deleteRegion(ctx context.Context, in *RegionCommand) (*Body[Started], error) {
	return a.command(ctx, in, "delete-region", func(id string, key region.Key, by string) error {
		_, err := a.RegionCommands.RemoveRegion(ctx, id, key, region.RemoveInput{By: by})
		return err
	})
}

// KubeconfigRequest asks for a kubeconfig.
type KubeconfigRequest struct {
	RegionPath
	Body struct {
		PublicKey []byte      `json:"public_key" doc:"X25519 public key of 32 bytes, base64, made for this request alone."`
		For       string      `json:"for,omitempty" doc:"How long it holds: 10m to 24h; 1h when left out."`
		Role      region.Role `json:"role,omitempty" enum:"view,admin" doc:"What it may do; when left out, as much as the caller may have. admin needs the permission regions:access."`
	}
}

// input is the request of the caller in full.
func (in *KubeconfigRequest) input(by account.Principal) (region.KubeconfigInput, error) {
	full := region.KubeconfigInput{PublicKey: in.Body.PublicKey, Access: region.Access{By: by.Subject, Role: in.Body.Role, For: region.DefaultAccess}}
	if in.Body.For != "" {
		d, err := time.ParseDuration(in.Body.For)
		if err != nil {
			return full, fault.Problems([]fault.Problem{{Field: "for", Message: fmt.Sprintf("%q is not a duration like 1h or 30m", in.Body.For)}})
		}
		full.For = d
	}
	switch may := by.May(account.AccessRegions, ""); {
	case full.Role == "" && may:
		full.Role = region.RoleAdmin
	case full.Role == "":
		full.Role = region.RoleView
	case full.Role == region.RoleAdmin && !may:
		return full, fault.New(fault.Denied, "role: %q needs the permission %s, which %s does not have; ask for %q", full.Role, account.AccessRegions, by.Subject, region.RoleView)
	}
	return full, full.Validate()
}

func (a *API) getKubeconfig(ctx context.Context, in *KubeconfigRequest) (*Body[region.SealedKubeconfig], error) {
	wanted, err := in.input(caller(ctx))
	if err != nil {
		return nil, problem(ctx, err)
	}
	r, err := a.Regions.RegionNamed(ctx, in.Name)
	if err != nil {
		return nil, problem(ctx, err)
	}
	sealed, err := once(ctx, a, "get-region-kubeconfig", "", nil, func(id string) (region.SealedKubeconfig, error) {
		return a.RegionCommands.Kubeconfig(ctx, id, r.Spec.Key(), wanted)
	})
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[region.SealedKubeconfig]{sealed}, nil
}
