package azure

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/rate"
)

// What one principal may read in a subscription and location, unless Microsoft agreed to more.
const (
	Requests = 90_000
	Period   = time.Hour
)

// Limits are what the Resource Manager and AKS allow, from how many reads they allow in a period; the others are in proportion. The
// Resource Manager has a bucket for each kind of request: 250 reads, filled with 25 a second, and 200 writes and 200 deletions, filled
// with 10 ("Understand how Azure Resource Manager throttles requests"). AKS has one of 60, filled with one a second, for what is of no
// cluster and for credentials; those of each cluster are wider than a step every few seconds ("Quotas, SKUs, and region availability in AKS").
func Limits(requests int, period time.Duration) []rate.Limit {
	limit := func(what string, share, part int, counts func(*http.Request) bool) rate.Limit {
		of := rate.Limit{Requests: max(1, requests*share/(100*part)), Per: period / time.Duration(part), Counts: counts}
		of.Name = fmt.Sprintf("%d %s in %s", of.Requests, what, of.Per)
		return of
	}
	return []rate.Limit{
		limit("reads", 100, 360, asking(http.MethodGet, http.MethodHead)),
		limit("writes", 40, 180, asking(http.MethodPut, http.MethodPatch, http.MethodPost)),
		limit("deletions", 40, 180, asking(http.MethodDelete)),
		limit("other requests to AKS", 4, 60, otherOfAKS),
	}
}

// asking counts requests to the Resource Manager: those for tokens go elsewhere.
func asking(methods ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return slices.Contains(methods, r.Method) && strings.HasPrefix(r.URL.Path, "/subscriptions/")
	}
}

func otherOfAKS(r *http.Request) bool {
	o := OperationOf(r.Method, r.URL.Path)
	return o != nil && (o.Name == "ManagedClusters_ListKubernetesVersions" || o.Name == "ManagedClusters_ListClusterUserCredentials")
}
