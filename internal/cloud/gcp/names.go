package gcp

import (
	"maps"
	"path"
	"strings"

	"github.com/m3o/platform/internal/region"
)

// The limits of names: RFC 1035 for what Compute Engine has, less for clusters, and the part before the @ for service accounts.
const (
	computeNameLimit = 63
	clusterNameLimit = 40
	accountNameLimit = 30
)

// networkName names a region's network, subnetwork, address and router alike: each kind has its own names.
func networkName(name string) string { return region.CutName(computeNameLimit, name) }

func clusterName(name string) string { return region.CutName(clusterNameLimit, name) }

func accountName(name string) string { return region.CutName(accountNameLimit, name) }

// describe is a description that marks something as the region's.
func describe(owner region.Key) string {
	return owner.Owner() + " Made by m3o for the region " + owner.String() + "; do not edit the first word."
}

// describes reports whether a description marks something as the region's. People may add words of their own.
func describes(description string, owner region.Key) bool {
	of, marked := region.ParseOwner(description)
	return marked && of == owner
}

// labelled reports whether labels mark something as the region's.
func labelled(labels map[string]string, owner region.Key) bool {
	of, marked := region.Tags(labels).Owner()
	return marked && of == owner
}

// labels are the owner's tags as labels, a map of the caller's own. Their grammar is a label's: at most 63 lower-case letters,
// digits and hyphens.
func labels(tags region.Tags) map[string]string { return maps.Clone(map[string]string(tags)) }

// Paths of things in a project, as APIs take them.

func (p *Provider) networkPath(name string) string {
	return "projects/" + p.project + "/global/networks/" + networkName(name)
}

func (p *Provider) regionalPath(location, kind, name string) string {
	return "projects/" + p.project + "/regions/" + location + "/" + kind + "/" + networkName(name)
}

func (p *Provider) locationPath(location string) string {
	return "projects/" + p.project + "/locations/" + location
}

func (p *Provider) clusterPath(spec region.ClusterSpec) string {
	return p.locationPath(spec.Location) + "/clusters/" + clusterName(spec.Name)
}

func (p *Provider) accountEmail(name string) string {
	id, domain, scoped := strings.Cut(p.project, ":") // "example.com:acme-prod"
	if scoped {
		return accountName(name) + "@" + domain + "." + id + ".iam.gserviceaccount.com"
	}
	return accountName(name) + "@" + p.project + ".iam.gserviceaccount.com"
}

func (p *Provider) accountPath(name string) string {
	return "projects/" + p.project + "/serviceAccounts/" + p.accountEmail(name)
}

// last is the last part of a URL or path: the name of what it leads to.
func last(link string) string {
	if link == "" {
		return ""
	}
	return path.Base(link)
}

// kindAndName are the last two parts of a link: "networks/m3o-micro-ew1". Projects stand in links by id or by number.
func kindAndName(link string) string { return path.Base(path.Dir(link)) + "/" + path.Base(link) }
