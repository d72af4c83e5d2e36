package azure_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/m3o/platform/internal/cloud/azure"
	"github.com/m3o/platform/internal/fault"
)

func answered(status int, body string, header http.Header) *http.Response {
	request, _ := http.NewRequest(http.MethodPut, "https://management.azure.com/subscriptions/s/resourceGroups/g?secret=no", nil)
	return &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Header: header, Request: request, Body: io.NopCloser(strings.NewReader(body))}
}

// The bodies are as Azure's documentation and recordings have them.
func TestWhatAzureRefusesHasAKindAndANextStep(t *testing.T) {
	for what, c := range map[string]struct {
		status     int
		code, text string
		details    string
		kind       fault.Kind
		says       string
	}{
		"throttled":                       {429, "SubscriptionRequestsThrottled", "Number of requests for subscription 's' exceeded the limit of '200'.", "", fault.Throttled, "exceeded the limit"},
		"another operation on a network":  {429, "RetryableErrorDueToAnotherOperation", "Operation on subnet can be retried.", "", fault.Conflict, "retried"},
		"another operation on a cluster":  {409, "OperationNotAllowed", "Operation is not allowed: Another update operation is in progress", "", fault.Conflict, "in progress"},
		"cores":                           {409, "OperationNotAllowed", "Operation could not be completed as it results in exceeding approved standardDSv5Family Cores quota.", "", fault.Quota, "ask for a higher limit"},
		"cores, as AKS says it":           {400, "ErrCode_InsufficientVCPUQuota", "Insufficient regional vcpu quota left for location westeurope. left regional vcpu quota 2, requested quota 6.", "", fault.Quota, "az quota update"},
		"addresses":                       {400, "PublicIPCountLimitReached", "Cannot create more than 10 public IP addresses for this subscription in this region.", "", fault.Quota, "higher limit"},
		"no machines":                     {409, "SkuNotAvailable", "The requested size is currently not available in location 'eastus'.", "", fault.Quota, "another size or location"},
		"no machines in a detail":         {409, "Conflict", "Provisioning failed", `[{"code":"ZonalAllocationFailed","message":"We do not have sufficient capacity"}]`, fault.Quota, "sufficient capacity"},
		"not signed in":                   {401, "InvalidAuthenticationToken", "The access token is invalid.", "", fault.Denied, "access token"},
		"no permission":                   {403, "AuthorizationFailed", "The client 'x' does not have authorization to perform action 'Microsoft.Network/virtualNetworks/write'.", "", fault.Denied, "deploy/workers/azure"},
		"no permission for what it joins": {403, "LinkedAuthorizationFailed", "The client has permission to perform action but not on the linked scope", "", fault.Denied, "deploy/workers/azure"},
		"a subscription that is not seen, which is not 'gone'": {404, "SubscriptionNotFound", "The subscription 's' could not be found.", "", fault.Denied, "M3O_AZURE_SUBSCRIPTION"},
		"not registered":                     {409, "MissingSubscriptionRegistration", "The subscription is not registered to use namespace 'Microsoft.ContainerService'.", "", fault.Denied, "az provider register"},
		"gone":                               {404, "ResourceNotFound", "The Resource was not found.", "", fault.NotFound, "was not found"},
		"gone with its group":                {404, "ResourceGroupNotFound", "Resource group 'g' could not be found.", "", fault.NotFound, "could not be found"},
		"going":                              {409, "ResourceGroupBeingDeleted", "The resource group 'g' is in deprovisioning state.", "", fault.Conflict, "deprovisioning"},
		"locked":                             {409, "ScopeLocked", "The scope cannot perform delete operation because following scope(s) are locked.", "", fault.Conflict, "az lock list"},
		"in use":                             {400, "InUseSubnetCannotBeDeleted", "Subnet nodes is in use by nic and cannot be deleted.", "", fault.Conflict, "in use"},
		"a principal that is not known yet":  {400, "PrincipalNotFound", "Principal x does not exist in the directory y.", "", fault.Conflict, "does not exist in the directory"},
		"an assignment that is not seen yet": {400, "CustomKubeletIdentityMissingPermissionError", "The cluster user assigned identity must be given permission to assign kubelet identity.", "", fault.Conflict, "must be given permission"},
		"there":                              {409, "RoleAssignmentExists", "The role assignment already exists.", "", fault.Exists, "already exists"},
		"changed meanwhile":                  {412, "PreconditionFailed", "The If-None-Match condition failed", "", fault.Conflict, "If-None-Match"},
		"wrong":                              {400, "InvalidParameter", "The value of parameter agentPoolProfile.vmSize is invalid.", "", fault.Invalid, "vmSize"},
		"down":                               {503, "ServerTimeout", "The request timed out.", "", fault.Unavailable, "timed out"},
	} {
		body := fmt.Sprintf(`{"error":{"code":%q,"message":%q`, c.code, c.text)
		if c.details != "" {
			body += `,"details":` + c.details
		}
		err := azure.Explain(runtime.NewResponseError(answered(c.status, body+"}}", http.Header{"Retry-After": {"7"}})), "make something")
		if !fault.Is(err, c.kind) || !strings.Contains(fault.Message(err), c.says) || !strings.Contains(fault.Message(err), "make something") {
			t.Errorf("%s: got %v (kind %s), want kind %s and %q", what, fault.Message(err), fault.Of(err), c.kind, c.says)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the query is in the error: %v", what, err)
		}
		var f *fault.Error
		if errors.As(err, &f); c.kind == fault.Throttled && f.RetryAfter != 7*time.Second {
			t.Errorf("come back after %s", f.RetryAfter)
		}
	}
}

func TestAnErrorWithoutEnvelopeIsRead(t *testing.T) { // as AKS writes some
	err := azure.Explain(runtime.NewResponseError(answered(400, `{"code":"BadRequest","details":null,"message":"version 1.2 is not supported"}`, nil)), "make it")
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Message(err), "version 1.2 is not supported (BadRequest)") {
		t.Errorf("got %v", err)
	}
	err = azure.Explain(runtime.NewResponseError(answered(502, `<html>bad gateway</html>`, nil)), "make it")
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Message(err), "502") {
		t.Errorf("got %v", err)
	}
}

func TestWhatEntraRefuses(t *testing.T) {
	for want, answer := range map[fault.Kind]*http.Response{
		fault.Denied:      answered(401, `{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired.\r\nTrace ID: 1"}`, nil),
		fault.Throttled:   answered(429, `{"error":"temporarily_unavailable"}`, http.Header{"Retry-After": {"3"}}),
		fault.Unavailable: answered(503, ``, nil),
	} {
		err := azure.Explain(&azidentity.AuthenticationFailedError{RawResponse: answer}, "ask for a token")
		if !fault.Is(err, want) {
			t.Errorf("got %v, want kind %s", err, want)
		}
		if want == fault.Denied && (!strings.Contains(fault.Message(err), "client secret keys are expired") || strings.Contains(fault.Message(err), "Trace ID")) {
			t.Errorf("the message is %q", fault.Message(err))
		}
	}
}

func TestTheEndOfAContextIsNoFault(t *testing.T) {
	err := azure.Explain(fmt.Errorf("Get: %w", context.DeadlineExceeded), "look")
	var f *fault.Error
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &f) {
		t.Errorf("got %v", err)
	}
	if err := azure.Explain(errors.New("connection reset"), "look"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if azure.Explain(nil, "look") != nil {
		t.Error("no error is one")
	}
}
