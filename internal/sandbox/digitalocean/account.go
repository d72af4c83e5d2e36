package digitalocean

import (
	"net/http"

	"github.com/google/uuid"
)

// accountEmail is who owns the account. example.com is nobody's.
const accountEmail = "sandbox@example.com"

func getAccount(c *exchange) (reply, error) {
	team := uuid.NewSHA1(uuid.NameSpaceURL, []byte("team:"+c.cloud.Token))
	return reply{status: http.StatusOK, body: map[string]any{"account": map[string]any{
		"droplet_limit":     c.cloud.DropletLimit,
		"floating_ip_limit": 3,
		"email":             accountEmail,
		"name":              "Sandbox",
		"uuid":              uuid.NewSHA1(uuid.NameSpaceURL, []byte("account:"+c.cloud.Token)).String(),
		"email_verified":    true,
		"status":            "active",
		"status_message":    "",
		"team":              map[string]any{"uuid": team.String(), "name": "Sandbox"},
	}}}, nil
}

type wireRegion struct {
	Name      string   `json:"name"`
	Slug      string   `json:"slug"`
	Features  []string `json:"features"`
	Available bool     `json:"available"`
	Sizes     []string `json:"sizes"`
}

type wireSize struct {
	Slug        string   `json:"slug"`
	Memory      int      `json:"memory"`
	CPUs        int      `json:"vcpus"`
	Disk        int      `json:"disk"`
	Transfer    float64  `json:"transfer"`
	Monthly     float64  `json:"price_monthly"`
	Hourly      float64  `json:"price_hourly"`
	Regions     []string `json:"regions"`
	Available   bool     `json:"available"`
	Description string   `json:"description"`
}

func listRegions(c *exchange) (reply, error) {
	all := make([]wireRegion, 0, len(regions))
	for _, r := range regions {
		all = append(all, r.wire())
	}
	return reply{status: http.StatusOK, body: listed(pageOf(c.Request), "regions", all)}, nil
}

func (r region) wire() wireRegion {
	return wireRegion{Name: r.Name, Slug: r.Slug, Features: regionFeatures, Available: r.Available, Sizes: sizesIn(r)}
}

func sizesIn(r region) []string {
	slugs := []string{}
	for _, s := range sizes {
		if r.Available {
			slugs = append(slugs, s.Slug)
		}
	}
	return slugs
}

// wire is the size as the API shows it: every one is to be had wherever anything is.
func (s size) wire() wireSize {
	everywhere := []string{}
	for _, r := range regions {
		if r.Available {
			everywhere = append(everywhere, r.Slug)
		}
	}
	return wireSize{Slug: s.Slug, Memory: s.MemoryMiB, CPUs: s.CPUs, Disk: s.DiskGiB, Transfer: s.TransferTB,
		Monthly: s.Monthly, Hourly: s.Hourly, Regions: everywhere, Available: true, Description: s.Description}
}

func listSizes(c *exchange) (reply, error) {
	all := make([]wireSize, 0, len(sizes))
	for _, s := range sizes {
		all = append(all, s.wire())
	}
	return reply{status: http.StatusOK, body: listed(pageOf(c.Request), "sizes", all)}, nil
}

type wireVersion struct {
	Slug     string   `json:"slug"`
	Version  string   `json:"kubernetes_version"`
	Features []string `json:"supported_features"`
}

type named struct {
	Name string `json:"name"`
	Slug string `json:"slug"`
}

func wireVersionOf(minor string) wireVersion {
	return wireVersion{Slug: versionSlug(minor), Version: minor + ".1",
		Features: []string{"cluster-autoscaler", "docr-integration", "ha-control-plane", "token-authentication"}}
}

func listOptions(c *exchange) (reply, error) {
	places, kinds, versions := []named{}, []named{}, []wireVersion{}
	for _, r := range regions {
		if r.Kubernetes {
			places = append(places, named{Name: r.Name, Slug: r.Slug})
		}
	}
	for _, s := range sizes {
		if s.Kubernetes {
			kinds = append(kinds, named{Name: s.Slug, Slug: s.Slug})
		}
	}
	for _, minor := range c.cloud.Versions {
		versions = append(versions, wireVersionOf(minor))
	}
	return reply{status: http.StatusOK, body: map[string]any{"options": map[string]any{
		"regions": places, "versions": versions, "sizes": kinds}}}, nil
}
