package gcp

import (
	"net/http"
	"strings"
	"time"

	"github.com/m3o/platform/internal/rate"
)

// What a project may ask of Compute Engine unless Google agreed to more: 1,500 requests a minute of each kind, reads, lists and changes
// (cloud.google.com/compute/api-quota, November 2026).
const (
	Requests = 60 * 1500
	Period   = time.Hour
)

// What it may ask of the other APIs, as a part of that (the quotas pages of each). Of IAM, the Resource Manager and Service Usage the
// smaller quota, that of changes, is taken for all.
const (
	containerPart = 3000. / 1500
	iamPart       = 600. / 1500
	projectPart   = 600. / 1500
	servicePart   = 120. / 1500
)

// fewest are the requests that workers can share: fewer than that in a sixtieth of a period are counted in the whole period.
const fewest = 10

// Limits are what the APIs allow a project that may ask Compute Engine so many requests in a period, Requests in Period by default: a
// sixtieth of them in a sixtieth of it. The others follow in proportion. They are told apart by path, since a sandbox serves all of
// them at one address.
func Limits(requests int, period time.Duration) []rate.Limit {
	limit := func(name string, part float64, of service) rate.Limit {
		l := rate.Limit{Name: name + " requests", Requests: int(part * float64(requests) / 60), Per: period / 60,
			Counts: func(r *http.Request) bool { return serviceOf(r) == of }}
		if l.Requests < fewest {
			l.Requests, l.Per = max(1, int(part*float64(requests))), period
		}
		return l
	}
	return []rate.Limit{
		limit("Compute Engine", 1, computeService),
		limit("GKE", containerPart, containerService),
		limit("IAM", iamPart, iamService),
		limit("Resource Manager", projectPart, projectService),
		limit("Service Usage", servicePart, usageService),
	}
}

// service is an API of GCP, by the name under which a project enables it.
type service string

const (
	computeService   service = "compute.googleapis.com"
	containerService service = "container.googleapis.com"
	iamService       service = "iam.googleapis.com"
	projectService   service = "cloudresourcemanager.googleapis.com"
	usageService     service = "serviceusage.googleapis.com"
)

// services are those that a region needs.
var services = []service{computeService, containerService, iamService, projectService}

// serviceOf is the API that a request is for.
func serviceOf(r *http.Request) service {
	path := r.URL.Path
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/") // v1, projects, acme-prod, locations, …
	switch {
	case strings.HasPrefix(path, "/compute/"):
		return computeService
	case len(parts) < 4:
		return projectService
	case parts[3] == "serviceAccounts":
		return iamService
	case strings.HasPrefix(parts[3], "services"):
		return usageService
	}
	return containerService
}
