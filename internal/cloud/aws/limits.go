package aws

import (
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"

	"github.com/m3o/platform/internal/rate"
)

// Limits are what AWS allows an account in a location, as token buckets: EC2's are documented (a bucket of 100 that refills by 20 a
// second for what reads, of 50 by 5 for what changes: docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html, 2026-11),
// the others' are not, and taken small. A bucket is written as the requests of the period in which what may be sent in one go
// and what refills stand as they do there. hour is an hour, or what a sandbox makes of it. A worker's locations share them here.
func Limits(hour time.Duration) []rate.Limit {
	period := func(seconds int) time.Duration { return hour * time.Duration(seconds) / 3600 }
	return []rate.Limit{
		{Name: "EC2 reads", Requests: 500, Per: period(25), Counts: of("EC2", true)},
		{Name: "EC2 changes", Requests: 250, Per: period(50), Counts: of("EC2", false)},
		{Name: "EKS requests", Requests: 200, Per: period(20), Counts: service("EKS")},
		{Name: "IAM and STS requests", Requests: 200, Per: period(20), Counts: service("IAM", "STS")},
		{Name: "ELB requests", Requests: 200, Per: period(20), Counts: service("Elastic Load Balancing v2")},
		{Name: "Service Quotas requests", Requests: 100, Per: period(20), Counts: service("Service Quotas")},
	}
}

// service counts what is asked of some services. The SDK says with every request which one it is.
func service(names ...string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		asked := middleware.GetServiceID(r.Context())
		for _, name := range names {
			if asked == name {
				return true
			}
		}
		return false
	}
}

func of(name string, reads bool) func(*http.Request) bool {
	one := service(name)
	return func(r *http.Request) bool {
		return one(r) && strings.HasPrefix(middleware.GetOperationName(r.Context()), "Describe") == reads
	}
}
