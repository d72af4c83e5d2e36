package azure

import (
	"net/http"
	"strings"
	"time"

	"github.com/m3o/platform/internal/rate"
)

// Limits are what the Resource Manager allows one principal in a subscription and location, by kind of request: a bucket of 250 reads
// that fills with 25 a second, and of 200 writes and 200 deletions that fill with 10 (Microsoft's "Understand how Azure Resource Manager throttles requests"). AKS has buckets of its own for each
// cluster, which a step every few seconds keeps to, and one of 60 that fills with one a second for what is of no cluster and for
// credentials ("Quotas, SKUs and region availability in AKS"). An hour is shorter in a sandbox whose time is.
func Limits(hour time.Duration) []rate.Limit {
	return []rate.Limit{
		{Name: "250 reads in 10s", Requests: 250, Per: hour / 360, Counts: asking(http.MethodGet, http.MethodHead)},
		{Name: "200 writes in 20s", Requests: 200, Per: hour / 180, Counts: asking(http.MethodPut, http.MethodPatch, http.MethodPost)},
		{Name: "200 deletions in 20s", Requests: 200, Per: hour / 180, Counts: asking(http.MethodDelete)},
		{Name: "60 requests to AKS in a minute", Requests: 60, Per: hour / 60, Counts: otherOfAKS},
	}
}

func asking(methods ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		for _, method := range methods {
			if r.Method == method {
				return strings.HasPrefix(r.URL.Path, "/subscriptions/")
			}
		}
		return false
	}
}

func otherOfAKS(r *http.Request) bool {
	o := OperationOf(r.Method, r.URL.Path)
	return o != nil && (o.Name == "ManagedClusters_ListKubernetesVersions" || o.Name == "ManagedClusters_ListClusterUserCredentials")
}
