package gcp

import (
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/budget"
	"github.com/m3o/platform/internal/sandbox/world"
)

// How many requests a project has in a minute, by service and group. Compute counts global and each region's methods apart. Sources:
// cloud.google.com/compute/api-quota, /kubernetes-engine/quotas, /iam/quotas, /resource-manager/quotas, /service-usage/quotas (August 2026).
var perMinute = map[string]int{
	"compute/queries": 1500, "compute/read_requests": 1500, "compute/list_requests": 1500, "compute/operation_read_requests": 1500,
	"container/default_requests": 3000, "iam/read_requests": 6000, "iam/write_requests": 600,
	"cloudresourcemanager/read_requests": 600, "cloudresourcemanager/write_requests": 600,
	"serviceusage/default_requests": 1200, "serviceusage/mutate_requests": 120,
}

// budgets are the project's.
type budgets struct{ windows map[string]*budget.Windows }

func newBudgets(clock world.Clock) *budgets {
	b := &budgets{windows: map[string]*budget.Windows{}}
	for group, n := range perMinute {
		b.windows[group] = budget.NewWindows(clock, budget.Window{Requests: n, Period: time.Minute})
	}
	return b
}

// take counts a request, unless there were too many.
func (b *budgets) take(r route, vars map[string]string) error {
	group, where := groupOf(r), "global"
	if r.service == serviceCompute {
		if zone := vars["zone"]; zone != "" {
			where = regionName(zone)
		} else if region := vars["region"]; region != "" {
			where = region
		}
		if _, known := findRegion(where); !known {
			where = "global" // as few keys as there are regions
		}
	}
	windows, limited := b.windows[r.service+"/"+group]
	if !limited {
		return nil
	}
	answer := windows.Take(where)
	if answer.Wait == 0 {
		return nil
	}
	return tooMany(r.service, group, where)
}

// groupOf is the group of methods that a method is counted in.
func groupOf(r route) string {
	read := r.method == "GET" || strings.HasSuffix(r.operation, ".getIamPolicy") || strings.HasSuffix(r.operation, ".testIamPermissions")
	switch r.service {
	case serviceCompute:
		switch {
		case strings.Contains(r.operation, "Operations."):
			return "operation_read_requests"
		case strings.HasSuffix(r.operation, "ist"):
			return "list_requests"
		case read:
			return "read_requests"
		}
		return "queries"
	case serviceIAM, serviceProjects:
		if read {
			return "read_requests"
		}
		return "write_requests"
	case serviceUsage:
		if read {
			return "default_requests"
		}
		return "mutate_requests"
	}
	return "default_requests"
}
