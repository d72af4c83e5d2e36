package client

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"

	"golang.org/x/crypto/nacl/box"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// RegionLine is a region as lists show it.
type RegionLine struct {
	Name      string           `json:"name"`
	Platform  string           `json:"platform"`
	Provider  region.Provider  `json:"provider"`
	Region    string           `json:"region"`
	Status    region.Status    `json:"status"`
	Message   string           `json:"message,omitempty"`
	Endpoints region.Endpoints `json:"endpoints"`
	Nodes     int              `json:"nodes"`
	Version   string           `json:"kubernetes_version,omitempty"`
	Unserved  *region.Unserved `json:"unserved,omitempty"`
	Unseen    *region.Unseen   `json:"unseen,omitempty"`
}

// RegionDetails is all that is known of a region. Unserved is set while no worker serves its cloud, Unseen while the platform cannot see
// its regions.
type RegionDetails struct {
	region.Region
	Unserved *region.Unserved `json:"unserved,omitempty"`
	Unseen   *region.Unseen   `json:"unseen,omitempty"`
}

// Key names the region.
func (r RegionLine) Key() region.Key { return region.Key{Platform: r.Platform, Name: r.Name} }

// Started is the answer to what takes time: the run's id, and where to follow it.
type Started struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// PlanRequest asks what would bring the world to the platform file.
type PlanRequest struct {
	File    string `json:"file"`
	Destroy bool   `json:"destroy,omitempty"`
	Keep    bool   `json:"keep,omitempty"`
}

// CreatePlan has a plan made and stored.
func (c *Client) CreatePlan(ctx context.Context, in PlanRequest) (region.Plan, error) {
	plan := region.Plan{}
	err := c.change(ctx, http.MethodPost, "/v1/plans", nil, in, &plan)
	if plan.Steps == nil {
		plan.Steps = []region.Step{}
	}
	return plan, err
}

// Plan finds a stored plan.
func (c *Client) Plan(ctx context.Context, id string) (region.Plan, error) {
	var plan region.Plan
	return plan, c.look(ctx, "/v1/plans/"+url.PathEscape(id), nil, &plan)
}

// ApplyPlan has every step of a plan ordered; the regions go on by themselves.
func (c *Client) ApplyPlan(ctx context.Context, id string) (Started, error) {
	var started Started
	return started, c.change(ctx, http.MethodPost, "/v1/plans/"+url.PathEscape(id)+"/apply", nil, nil, &started)
}

// Regions lists the regions of a platform, of all when it is empty.
func (c *Client) Regions(ctx context.Context, platform string) ([]RegionLine, error) {
	query := url.Values{}
	if platform != "" {
		query.Set("platform", platform)
	}
	var list struct {
		Items []RegionLine `json:"items"`
	}
	err := c.look(ctx, "/v1/regions", query, &list)
	if list.Items == nil {
		list.Items = []RegionLine{}
	}
	return list.Items, err
}

func regionPath(name string) string { return "/v1/regions/" + url.PathEscape(name) }

// Region shows one region. "platform/name" tells regions of the same name apart.
func (c *Client) Region(ctx context.Context, name string) (RegionDetails, error) {
	var r RegionDetails
	return r, c.look(ctx, regionPath(name), nil, &r)
}

// RegionProgress tells where a region's operation is.
func (c *Client) RegionProgress(ctx context.Context, name string) (region.Progress, error) {
	var p region.Progress
	return p, c.look(ctx, regionPath(name)+"/progress", nil, &p)
}

// RetryRegion goes on with a bootstrap that waits or failed.
func (c *Client) RetryRegion(ctx context.Context, name string) (Started, error) {
	var started Started
	return started, c.change(ctx, http.MethodPost, regionPath(name)+"/retry", nil, nil, &started)
}

// DeleteRegion orders the end of a region.
func (c *Client) DeleteRegion(ctx context.Context, name string) (Started, error) {
	var started Started
	return started, c.change(ctx, http.MethodDelete, regionPath(name), nil, nil, &started)
}

// KubeconfigOptions say how long a kubeconfig holds ("1h") and what it may do; what is left out the API decides.
type KubeconfigOptions struct {
	For  string      `json:"for,omitempty"`
	Role region.Role `json:"role,omitempty"`
}

// Kubeconfig returns a kubeconfig of the caller's own for a region. It travels sealed to a key that is made for this request alone.
func (c *Client) Kubeconfig(ctx context.Context, name string, o KubeconfigOptions) ([]byte, error) {
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var answer region.SealedKubeconfig
	request := struct {
		KubeconfigOptions
		PublicKey []byte `json:"public_key"`
	}{o, public[:]}
	if err := c.change(ctx, http.MethodPost, regionPath(name)+"/kubeconfig", nil, request, &answer); err != nil {
		return nil, err
	}
	opened, ok := box.OpenAnonymous(nil, answer.Sealed, public, private)
	if !ok {
		return nil, fault.New(fault.Failed, "the kubeconfig that came back is not sealed to the key that was sent")
	}
	return opened, nil
}
