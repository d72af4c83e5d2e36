package azure

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Versions of the APIs that are asked without their SDK.
const (
	locationsVersion   = "api-version=2022-12-01"
	permissionsVersion = "api-version=2022-04-01"
	skusVersion        = "api-version=2021-07-01"
	coresVersion       = "api-version=2024-07-01"
)

// place is a location as Azure compares it: "West Europe" is westeurope.
func place(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "")) }

// location is a place that the subscription may use.
type location struct {
	Name     string `json:"name"`
	Metadata struct {
		Type string `json:"regionType"`
	} `json:"metadata"`
	Zones []struct {
		Logical string `json:"logicalZone"`
	} `json:"availabilityZoneMappings"`
}

func (p *Provider) locations(ctx context.Context) ([]location, error) {
	var found struct {
		Value []location `json:"value"`
	}
	err := explain(p.get(ctx, p.below("/locations", locationsVersion), &found), "list the locations")
	return slices.DeleteFunc(found.Value, func(l location) bool { return l.Metadata.Type != "" && l.Metadata.Type != "Physical" }), err
}

// zones are the zones of a location, none where it has none.
func (p *Provider) zones(ctx context.Context, at string) ([]string, error) {
	all, err := p.locations(ctx)
	if err != nil {
		return nil, err
	}
	var zones []string
	for _, l := range all {
		for _, zone := range l.Zones {
			if l.Name == place(at) {
				zones = append(zones, zone.Logical)
			}
		}
	}
	slices.Sort(zones)
	return zones, nil
}

// size is a machine size, as the subscription may use it in a location.
type size struct {
	Type         string `json:"resourceType"`
	Name         string `json:"name"`
	Family       string `json:"family"`
	Capabilities []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"capabilities"`
	Locations []struct {
		Zones []string `json:"zones"`
	} `json:"locationInfo"`
	Restrictions []struct {
		Type string `json:"type"` // Location, Zone
		Info struct {
			Zones []string `json:"zones"`
		} `json:"restrictionInfo"`
		Reason string `json:"reasonCode"`
	} `json:"restrictions"`
}

func (s size) capability(name string) float64 {
	for _, c := range s.Capabilities {
		if c.Name == name {
			value, _ := strconv.ParseFloat(c.Value, 64) // 0 of what is no number
			return value
		}
	}
	return 0
}

func (s size) cpus() int { return int(s.capability("vCPUs")) }

// refused is why the subscription cannot have the size in the location at all, "" when it can.
func (s size) refused() string {
	for _, r := range s.Restrictions {
		if r.Type == "Location" {
			return cmp.Or(r.Reason, "restricted")
		}
	}
	return ""
}

// zones are those in which the subscription can have the size.
func (s size) zones() []string {
	var zones []string
	for _, l := range s.Locations {
		zones = append(zones, l.Zones...)
	}
	for _, r := range s.Restrictions {
		if r.Type == "Zone" {
			zones = slices.DeleteFunc(zones, func(zone string) bool { return slices.Contains(r.Info.Zones, zone) })
		}
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

// sizes lists the machines of a location.
func (p *Provider) sizes(ctx context.Context, at string) ([]size, error) {
	var all []size
	next := p.below("/providers/Microsoft.Compute/skus", skusVersion+"&$filter="+url.QueryEscape("location eq '"+place(at)+"'"))
	for n := 0; next != ""; n++ {
		var page struct {
			Value []size `json:"value"`
			Next  string `json:"nextLink"`
		}
		if n == maxPages || !p.isOurs(next) {
			return nil, fault.New(fault.Failed, "Azure's list of machine sizes does not end")
		}
		if err := p.get(ctx, next, &page); err != nil {
			return nil, explain(err, "list the machine sizes of "+at)
		}
		all, next = append(all, page.Value...), page.Next
	}
	return slices.DeleteFunc(all, func(s size) bool { return s.Type != "virtualMachines" }), nil
}

// zonesOf are the zones of a network in which a size can be had. A size that is in none of them, though offered, is had without zones.
func (p *Provider) zonesOf(ctx context.Context, at, name string, zones []string) ([]string, error) {
	if len(zones) == 0 {
		return nil, nil
	}
	all, err := p.sizes(ctx, at)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if strings.EqualFold(s.Name, name) {
			has := s.zones()
			return slices.DeleteFunc(slices.Clone(zones), func(zone string) bool { return !slices.Contains(has, zone) }), nil
		}
	}
	return zones, nil // Azure refuses the size by its own words
}

// usage is what is used of a limit.
type usage struct{ used, limit int }

func (u usage) left() int { return max(0, u.limit-u.used) }

// cores are the limits of virtual machines in a location, by family and in total ("cores").
func (p *Provider) cores(ctx context.Context, at string) (map[string]usage, error) {
	var found struct {
		Value []struct {
			Name struct {
				Value string `json:"value"`
			} `json:"name"`
			Used  int `json:"currentValue"`
			Limit int `json:"limit"`
		} `json:"value"`
	}
	err := p.get(ctx, p.below("/providers/Microsoft.Compute/locations/"+url.PathEscape(place(at))+"/usages", coresVersion), &found)
	all := map[string]usage{}
	for _, u := range found.Value {
		all[strings.ToLower(u.Name.Value)] = usage{u.Used, u.Limit}
	}
	return all, explain(err, "list the limits of virtual machines in "+at)
}

// networkLimits are the limits of what networks are made of.
func (p *Provider) networkLimits(ctx context.Context, at string) (map[string]usage, error) {
	all, err := every(ctx, p.usages.NewListPager(place(at), nil), func(page armnetwork.UsagesClientListResponse) []*armnetwork.Usage { return page.Value })
	found := map[string]usage{}
	for _, u := range all {
		if u.Name != nil {
			found[strings.ToLower(of(u.Name.Value))] = usage{int(of(u.CurrentValue)), int(of(u.Limit))}
		}
	}
	return found, explain(err, "list the limits of networks in "+at)
}

// offer are the versions of Kubernetes in a location: patches by their minor version.
type offer struct {
	patches   map[string][]string
	preferred string // what Azure takes if nobody says
}

func (p *Provider) offered(ctx context.Context, at string) (offer, error) {
	found, err := p.clusters.ListKubernetesVersions(ctx, place(at), nil)
	if err != nil {
		return offer{}, explain(err, "list the Kubernetes versions of "+at)
	}
	o := offer{patches: map[string][]string{}}
	for _, v := range found.Values {
		if of(v.IsPreview) || v.Capabilities != nil && !officially(v.Capabilities.SupportPlan) {
			continue
		}
		for patch := range v.PatchVersions {
			o.patches[of(v.Version)] = append(o.patches[of(v.Version)], patch)
		}
		if of(v.IsDefault) {
			o.preferred = of(v.Version)
		}
	}
	return o, nil
}

// officially reports whether a version is supported without the premium tier.
func officially(plans []*armcontainerservice.KubernetesSupportPlan) bool {
	return len(plans) == 0 || slices.ContainsFunc(plans, func(plan *armcontainerservice.KubernetesSupportPlan) bool {
		return of(plan) == armcontainerservice.KubernetesSupportPlanKubernetesOfficial
	})
}

// minors are the minor versions, the newest first.
func (o offer) minors() []string {
	var all []string
	for minor, patches := range o.patches {
		if len(patches) > 0 {
			all = append(all, minor)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return slices.Compare(numbers(b), numbers(a)) })
	return all
}

// newest is the newest patch of a minor version; one that is not offered is Invalid, with what is.
func (o offer) newest(minor, at string) (string, error) {
	patches := o.patches[minor]
	if len(patches) == 0 {
		return "", fault.New(fault.Invalid, "AKS does not offer Kubernetes %s in %s; it offers %s", minor, at, strings.Join(o.minors(), ", "))
	}
	return slices.MaxFunc(patches, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }), nil
}

// byDefault is the version of a region that names none.
func (o offer) byDefault() string {
	if all := o.minors(); o.preferred == "" && len(all) > 0 {
		return all[0]
	}
	return o.preferred
}

func (p *Provider) version(ctx context.Context, at, minor string) (string, error) {
	o, err := p.offered(ctx, at)
	if err != nil {
		return "", err
	}
	return o.newest(minor, at)
}

// numbers are the numbers in a version, in order.
func numbers(version string) []int {
	var list []int
	for _, digits := range strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(digits); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// kubernetes is what a cluster has of what a platform file says of one; nothing of none.
func kubernetes(c *cluster) region.Kubernetes {
	if c == nil {
		return region.Kubernetes{}
	}
	found := region.Kubernetes{Version: region.Minor(of(c.Properties.CurrentKubernetesVersion))}
	if pool := poolOf(c); pool != nil {
		found.Nodes = region.Nodes{Count: int(of(pool.Count)), Size: of(pool.VMSize)}
	}
	return found
}

// permission is what a role of the caller's allows.
type permission struct {
	Actions    []string `json:"actions"`
	NotActions []string `json:"notActions"`
}

// permissions are what the credential may do in the subscription.
func (p *Provider) permissions(ctx context.Context) ([]permission, error) {
	var all []permission
	next := p.below("/providers/Microsoft.Authorization/permissions", permissionsVersion)
	for n := 0; next != ""; n++ {
		var page struct {
			Value []permission `json:"value"`
			Next  string       `json:"nextLink"`
		}
		if n == maxPages || !p.isOurs(next) {
			return nil, fault.New(fault.Failed, "Azure's list of permissions does not end")
		}
		if err := p.get(ctx, next, &page); err != nil {
			return nil, explain(err, "list the worker's permissions")
		}
		all, next = append(all, page.Value...), page.Next
	}
	return all, nil
}

// allows reports whether one of the roles allows the action. What one excludes another may allow.
func allows(roles []permission, action string) bool {
	return slices.ContainsFunc(roles, func(r permission) bool {
		matches := func(pattern string) bool { return matchesAction(pattern, action) }
		return slices.ContainsFunc(r.Actions, matches) && !slices.ContainsFunc(r.NotActions, matches)
	})
}

// matchesAction compares as Azure does: a star is any text, a star between slashes also none ("userAssignedIdentities/*/assign/action" is how
// built-in roles allow "userAssignedIdentities/assign/action"), and capitals do not matter.
func matchesAction(pattern, action string) bool {
	return matchesText(pattern, action) || strings.Contains(pattern, "/*/") && matchesText(strings.ReplaceAll(pattern, "/*/", "/"), action)
}

func matchesText(pattern, action string) bool {
	parts := strings.Split(strings.ToLower(pattern), "*")
	rest, found := strings.CutPrefix(strings.ToLower(action), parts[0])
	if !found || len(parts) == 1 {
		return found && rest == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, there := strings.Cut(rest, part)
		if !there {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// unregistered are the resource providers that the subscription does not use yet.
func (p *Provider) unregistered(ctx context.Context) ([]string, error) {
	var missing []string
	for _, namespace := range []string{"Microsoft.ContainerService", "Microsoft.Network", "Microsoft.ManagedIdentity", "Microsoft.Compute", "Microsoft.Storage"} {
		found, err := p.services.Get(ctx, namespace, nil)
		if err != nil {
			return nil, explain(err, "look whether the subscription uses "+namespace)
		}
		if of(found.RegistrationState) != "Registered" {
			missing = append(missing, namespace)
		}
	}
	return missing, nil
}
