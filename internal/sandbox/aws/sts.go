package aws

import (
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
)

// stsService is STS, of which the sandbox has the question who the caller is.
func stsService() *service {
	return &service{scope: "sts", prefix: "sts", words: queryWords,
		protocol: query{forms{"2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/"}},
		operations: []operation{{name: "GetCallerIdentity", handle: func(x *exchange) (any, error) {
			return wire.Fields{"Account": x.cloud.Account, "Arn": x.cloud.user(), "UserId": uniqueID("AIDA", userName, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}, nil
		}}}}
}
