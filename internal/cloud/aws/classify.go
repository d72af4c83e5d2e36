package aws

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/transport/http"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/rate"
)

// codes are what AWS calls its errors, by what they mean. What is not listed goes by its ending, then by its status.
var codes = map[fault.Kind][]string{
	fault.Throttled: {"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "EC2ThrottledException", "SlowDown", "PriorRequestNotComplete", "BandwidthLimitExceeded"},
	fault.Denied: {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "ExpiredToken", "ExpiredTokenException", "RequestExpired",
		"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired", "PendingVerification", "Blocked", "NotAuthorized"},
	fault.Quota: {"LimitExceeded", "ResourceLimitExceededException", "LimitExceededException", "InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet",
		"InsufficientAddressCapacity", "ServiceQuotaExceededException"},
	fault.Exists: {"EntityAlreadyExists", "EntityAlreadyExistsException", "InvalidSubnet.Conflict", "RouteAlreadyExists", "Resource.AlreadyAssociated"},
	fault.NotFound: {"ResourceNotFoundException", "NoSuchEntity", "NoSuchEntityException", "NatGatewayNotFound", "NoSuchResourceException", "Gateway.NotAttached",
		"LoadBalancerNotFound", "TargetGroupNotFound"},
	fault.Conflict: {"ResourceInUseException", "ResourceInUse", "DependencyViolation", "DeleteConflict", "DeleteConflictException", "IncorrectState", "InvalidState",
		"VolumeInUse", "ConcurrentModification", "ConcurrentModificationException", "EntityTemporarilyUnmodifiable", "EntityTemporarilyUnmodifiableException",
		"ResourcePropagationDelayException", "InvalidRequestException", "OperationInProgress"},
	fault.Unavailable: {"InternalError", "InternalFailure", "ServiceFailure", "ServiceFailureException", "ServiceUnavailable", "ServiceUnavailableException",
		"ServerException", "Unavailable", "RequestTimeout", "RequestTimeoutException"},
	fault.Invalid: {"UnsupportedAvailabilityZoneException"},
}

// endings are tried in order.
var endings = []struct {
	ending string
	kind   fault.Kind
}{
	{".NotFound", fault.NotFound}, {"NotFoundException", fault.NotFound}, {"NotFound", fault.NotFound}, {".Duplicate", fault.Exists}, {"AlreadyExistsException", fault.Exists}, {"AlreadyExists", fault.Exists},
	{".InUse", fault.Conflict}, {"LimitExceeded", fault.Quota}, {"LimitExceededException", fault.Quota}, {"QuotaExceeded", fault.Quota},
}

// unready says that IAM's answer about a role that was just made has not come to EKS yet.
var unready = regexp.MustCompile(`(?i)\brole\b.*\b(could not be assumed|cannot be assumed|can't be assumed|(does not|doesn't) exist|was not found|is not authorized to (be assumed|assume))`)

// unpermitted says that EKS asked another service in the caller's name, and was refused.
var unpermitted = regexp.MustCompile(`(?i)\bmissing permissions?\b|\bnot authorized to\b`)

// quotas are the names by which the operator asks for more.
var quotaNames = map[string]string{
	"VpcLimitExceeded": vpcQuota.String(), "AddressLimitExceeded": addressQuota.String(), "NatGatewayLimitExceeded": natQuota.String(),
	"VcpuLimitExceeded": cpuQuota.String(), "InstanceLimitExceeded": cpuQuota.String(),
}

const (
	pauseAfterThrottling = 2 * time.Second // AWS does not say how long; its buckets refill within seconds
	maxWords             = 1000
)

// explain gives a failed call its kind, with AWS's own words, the id by which its support finds the request, and what the operator
// can do about it.
func (at *place) explain(err error, what string) error {
	var known *fault.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	}
	var refusal smithy.APIError
	var incomplete *smithy.InvalidParamsError
	switch {
	case errors.As(err, &incomplete):
		return fault.Wrap(fault.Invalid, err, "AWS cannot be asked to %s in %s", what, at.location)
	case !errors.As(err, &refusal):
		return fault.Wrap(fault.Unavailable, err, "AWS did not answer in %s when asked to %s", at.location, what)
	}
	kind := kindOf(err, refusal)
	f := fault.Wrap(kind, err, "AWS refused to %s in %s: %s%s", what, at.location, words(err, refusal), at.advice(kind, refusal))
	if kind == fault.Throttled {
		f.RetryAfter = max(pauseAfterThrottling, asked(err))
	}
	return f
}

func kindOf(err error, refusal smithy.APIError) fault.Kind {
	code := refusal.ErrorCode()
	if code == "InvalidRequestException" && unpermitted.MatchString(refusal.ErrorMessage()) {
		return fault.Denied
	}
	for kind, listed := range codes {
		if slices.Contains(listed, code) {
			return kind
		}
	}
	for _, e := range endings {
		if strings.HasSuffix(code, e.ending) {
			return e.kind
		}
	}
	if strings.HasPrefix(code, "InvalidParameter") && unready.MatchString(refusal.ErrorMessage()) {
		return fault.Conflict
	}
	switch status := statusOf(err); {
	case status == 429:
		return fault.Throttled
	case status == 401 || status == 403:
		return fault.Denied
	case status >= 500 || status == 408:
		return fault.Unavailable
	case status >= 400:
		return fault.Invalid
	}
	return fault.Unknown
}

// unlisted makes what is not found while something is being made a Conflict: AWS's reads are eventually consistent, and it was there
// a moment ago.
func unlisted(err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.Conflict, err, "%s", fault.Message(err))
	}
	return err
}

func statusOf(err error) int {
	var answer *http.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// asked is how long AWS wants no more requests; 0 when it does not say.
func asked(err error) time.Duration {
	var answer *http.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		return rate.RetryAfter(answer.Response.Response, time.Now())
	}
	return 0
}

// words are AWS's own, without the blob by which its console explains a missing permission.
func words(err error, refusal smithy.APIError) string {
	text, _, _ := strings.Cut(refusal.ErrorMessage(), "Encoded authorization failure message:")
	text = strings.TrimSpace(text)
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	text = strings.TrimSpace(refusal.ErrorCode() + ": " + text)
	var answer interface{ ServiceRequestID() string }
	if errors.As(err, &answer) && answer.ServiceRequestID() != "" {
		text += " (request " + answer.ServiceRequestID() + ")"
	}
	return text
}

// advice is what the operator can do about it.
func (at *place) advice(kind fault.Kind, refusal smithy.APIError) string {
	code := refusal.ErrorCode()
	switch {
	case kind == fault.Quota && strings.HasPrefix(code, "Insufficient"):
		return "; AWS has no more of it now: wait, or choose another size or location"
	case kind == fault.Quota && quotaNames[code] != "":
		return "; ask for quota " + quotaNames[code] + " in " + at.location
	case kind == fault.Quota:
		return "; ask for a higher quota in " + at.location
	case kind == fault.Denied && (strings.HasPrefix(code, "AccessDenied") || code == "UnauthorizedOperation" || code == "InvalidRequestException"):
		return "; give the worker the permission, as deploy/workers/aws/policy.json has it"
	case kind == fault.Denied:
		return "; renew the worker's credentials"
	}
	return ""
}
