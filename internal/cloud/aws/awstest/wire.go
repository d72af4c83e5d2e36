package awstest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/cloudtest"
	"github.com/m3o/platform/internal/cloud/cloudtest/sandboxed"
)

func (a Account) wired(t *testing.T, w cloudtest.Wire) cloud.Provider {
	t.Helper()
	if a.Transport == nil {
		a.Transport = http.DefaultTransport
	}
	a.Transport = sandboxed.Wire{Judge: w, Next: a.Transport, Call: Operation, Refuse: refuse}
	return a.Provider(t)
}

// Operation is what a request of the SDK's asks for: "ec2:CreateVpc".
func Operation(r *http.Request) string {
	service := middleware.GetServiceID(r.Context())
	prefix := map[string]string{"Elastic Load Balancing v2": "elasticloadbalancing", "Service Quotas": "servicequotas"}[service]
	if prefix == "" {
		prefix = strings.ToLower(service)
	}
	return prefix + ":" + middleware.GetOperationName(r.Context())
}

func refuse(r *http.Request, passage cloudtest.Passage) *http.Response {
	if passage == cloudtest.Expired {
		return refused(r, Operation(r), refusals{ec2: "RequestExpired", query: "ExpiredToken", rest: "ExpiredTokenException", status: http.StatusForbidden})
	}
	return refused(r, Operation(r), refusals{ec2: "RequestLimitExceeded", query: "Throttling", rest: "ThrottlingException", status: http.StatusTooManyRequests})
}

// refusals are the codes of one refusal: AWS's protocols have words of their own.
type refusals struct {
	ec2, query, rest string
	status           int // of REST
}

// refused is a refusal in the words and form of the service.
func refused(r *http.Request, operation string, words refusals) *http.Response {
	service, _, _ := strings.Cut(operation, ":")
	header, status, body := http.Header{"Content-Type": {"text/xml"}}, http.StatusBadRequest, ""
	switch service {
	case "ec2":
		status = map[string]int{"RequestLimitExceeded": http.StatusServiceUnavailable}[words.ec2]
		if status == 0 {
			status = http.StatusBadRequest
		}
		body = fmt.Sprintf("<Response><Errors><Error><Code>%s</Code><Message>refused on the way</Message></Error></Errors><RequestID>wire</RequestID></Response>", words.ec2)
	case "iam", "sts", "elasticloadbalancing":
		body = fmt.Sprintf("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>refused on the way</Message></Error><RequestId>wire</RequestId></ErrorResponse>", words.query)
	default:
		status = words.status
		header = http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {words.rest}, "X-Amzn-Requestid": {"wire"}}
		body = fmt.Sprintf(`{"__type":%q,"message":"refused on the way"}`, words.rest)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r, ProtoMajor: 1, ProtoMinor: 1}
}
