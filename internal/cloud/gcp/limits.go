package gcp

import (
	"net/http"
	"strings"
	"time"

	"github.com/m3o/platform/internal/rate"
)

// Requests a minute that a project has by default, of all its callers together. Compute Engine counts reads, lists and changes
// apart, with at least this many of each (cloud.google.com/compute/api-quota, November 2026); of GKE, IAM and the Resource Manager the
// smaller quota, that of changes, is taken for all.
const (
	computeRequests   = 1500
	containerRequests = 600
	iamRequests       = 600
	projectRequests   = 600
	serviceRequests   = 120
)

// Limits are what the APIs allow a project, whose minutes are sixtieths of the given hour: time.Hour, but for a sandbox's. They are
// told apart by path, since a sandbox serves all of them at one address.
func Limits(hour time.Duration) []rate.Limit {
	limit := func(name string, requests int, of service) rate.Limit {
		return rate.Limit{Name: name + " requests a minute", Requests: requests, Per: hour / 60,
			Counts: func(r *http.Request) bool { return serviceOf(r) == of }}
	}
	return []rate.Limit{
		limit("Compute Engine", computeRequests, computeService),
		limit("GKE", containerRequests, containerService),
		limit("IAM", iamRequests, iamService),
		limit("Resource Manager", projectRequests, projectService),
		limit("Service Usage", serviceRequests, usageService),
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
