package azure

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/budget"
)

// The Resource Manager's token buckets of a subscription and principal, in one region of its own, and those of the AKS provider:
// https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling and
// https://learn.microsoft.com/azure/aks/quotas-skus-regions#throttling-limits-on-aks-resource-provider-apis. Those of a
// subscription as a whole are fifteen times as large.
var (
	readBucket   = budget.Bucket{PerSecond: 25, Burst: 250}
	writeBucket  = budget.Bucket{PerSecond: 10, Burst: 200}
	deleteBucket = budget.Bucket{PerSecond: 10, Burst: 200}

	putClusterBucket = budget.Bucket{PerSecond: 1.0 / 60, Burst: 20}
	putPoolBucket    = budget.Bucket{PerSecond: 1.0 / 60, Burst: 20}
	getAKSBucket     = budget.Bucket{PerSecond: 1, Burst: 60}
	listGroupBucket  = budget.Bucket{PerSecond: 1, Burst: 60}
	listAllBucket    = budget.Bucket{PerSecond: 1, Burst: 500}
)

// aksScopes is how many clusters and groups have budgets of their own.
const aksScopes = 4096

// globalFactor is how many times a principal's budget a whole subscription has.
const globalFactor = 15

// aksBuckets are the AKS provider's own, by operation. Each cluster has its own for those that name one.
var aksBuckets = map[string]budget.Bucket{
	"ManagedClusters_CreateOrUpdate":      putClusterBucket,
	"AgentPools_CreateOrUpdate":           putPoolBucket,
	"ManagedClusters_Get":                 getAKSBucket,
	"AgentPools_Get":                      getAKSBucket,
	"ManagedClusters_ListByResourceGroup": listGroupBucket,
	"ManagedClusters_List":                listAllBucket,
}

// spend takes the request out of its budgets, and tells what is left.
func (r *request) spend() error {
	word, bucket := "Reads", readBucket
	switch r.http.Method {
	case http.MethodPut, http.MethodPost, http.MethodPatch:
		word, bucket = "Writes", writeBucket
	case http.MethodDelete:
		word, bucket = "Deletes", deleteBucket
	}
	left := r.cloud.budgets.Take("arm/"+word, bucket)
	scope := "Subscription"
	if r.params["subscriptionid"] == "" {
		scope = "Tenant"
	}
	r.header.Set("x-ms-ratelimit-remaining-"+scope+"-"+word, strconv.Itoa(max(0, left.Remaining)))
	if scope == "Subscription" {
		global := bucket.Burst*globalFactor - (bucket.Burst - left.Remaining)
		r.header.Set("x-ms-ratelimit-remaining-Subscription-Global-"+word, strconv.Itoa(max(0, global)))
	}
	if left.Wait > 0 {
		return tooMany(false, left.Wait)
	}
	own, limited := aksBuckets[r.Operation]
	if !limited {
		return nil
	}
	// Hashed, so that names that somebody makes up do not fill the memory.
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.ToLower(r.scope())))
	key := fmt.Sprintf("aks/%s/%d", r.Operation, h.Sum32()%aksScopes)
	if left := r.cloud.budgets.Take(key, own); left.Wait > 0 {
		return tooMany(true, left.Wait)
	}
	return nil
}

// tooMany is how the Resource Manager throttles, and how the AKS provider does.
func tooMany(aks bool, wait time.Duration) *refusal {
	r := arm(http.StatusTooManyRequests, "SubscriptionRequestsThrottled",
		"Number of requests for subscription and principal exceeded the limit. Please try again after '%s' seconds.", seconds(wait))
	if aks {
		r = refuse(http.StatusTooManyRequests, "TooManyRequests", "The request is throttled. Please try again after '%s' seconds.", seconds(wait))
	}
	r.retryAfter = wait
	return r
}
