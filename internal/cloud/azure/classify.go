package azure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/rate"
)

// scarce are the codes for machines that Azure has none of now.
const scarce = `^(Overconstrained|Zonal)?Allocation(Request|Failed)|^SkuNotAvailable$`

// Azure says what it means with a code in the body; resource providers use the same status for very different things.
var (
	quotaCodes  = regexp.MustCompile(`(?i)quota|LimitReached|LimitExceeded|CountLimit|InsufficientVCPU|SubnetIsFull|InsufficientSubnetSize|` + scarce)
	quotaWords  = regexp.MustCompile(`(?i)\bquota\b`)
	scarceCodes = regexp.MustCompile(`(?i)` + scarce)
	busyCodes   = regexp.MustCompile(`(?i)^(PrincipalNotFound|AnotherOperationInProgress|RetryableError.*|OperationPreempted|ReferencedResourceNotProvisioned)$|` +
		`MissingPermissionError$|InUse|CannotBeDeleted|BeingDeleted`)
	deniedCodes = regexp.MustCompile(`^(SubscriptionNotFound|InvalidSubscriptionId|DisabledSubscription|ReadOnlyDisabledSubscription|` +
		`MissingSubscriptionRegistration|InvalidAuthenticationTokenTenant)$`)
	// transportWords are in what the identity library says when it got no answer: it keeps no cause.
	transportWords = regexp.MustCompile(`(?i)\b(dial|connection|timeout|deadline|EOF|no such host|x509|tls|reset|refused|cut)\b`)
)

// explain gives a failed call its kind, with Azure's own words and what the operator can do.
func explain(err error, what string) error {
	var known *fault.Error
	var answer *azcore.ResponseError
	var unauthenticated *azidentity.AuthenticationFailedError
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	case errors.As(err, &unauthenticated):
		return explainToken(unauthenticated, what)
	case errors.As(err, &answer):
		said := wordsOf(answer)
		f := fault.Wrap(kindOf(answer.StatusCode, said), err, "Azure refused to %s: %s", what, said)
		if f.Kind == fault.Throttled {
			f.RetryAfter = retryAfter(answer.RawResponse)
		}
		return f
	case strings.Contains(err.Error(), "failed to acquire a token"): // the default chain found no identity
		return fault.Wrap(fault.Denied, err, "the process has no Azure identity with which to %s: run it with a managed identity, or name a file in M3O_AZURE_CREDENTIALS_FILE",
			what)
	}
	return fault.Wrap(fault.Unavailable, err, "Azure did not answer when asked to %s", what)
}

// explainToken: the identity library tells apart what was refused and what was not answered only by whether it has an answer.
func explainToken(err *azidentity.AuthenticationFailedError, what string) error {
	switch r := err.RawResponse; {
	case r == nil && transportWords.MatchString(err.Error()), r != nil && r.StatusCode >= 500:
		return fault.Wrap(fault.Unavailable, err, "Microsoft Entra ID did not answer when asked for a token to %s", what)
	case r != nil && r.StatusCode == http.StatusTooManyRequests:
		f := fault.Wrap(fault.Throttled, err, "Microsoft Entra ID gives no more tokens for now, to %s", what)
		f.RetryAfter = retryAfter(r)
		return f
	}
	return fault.Wrap(fault.Denied, err, "Microsoft Entra ID gave no token to %s: %s; look whether the worker's identity or client secret is there still, and has not expired",
		what, tokenWords(err))
}

// tokenWords is Entra's own description, of which the rest are ids.
func tokenWords(err *azidentity.AuthenticationFailedError) string {
	var said struct {
		Code  string `json:"error"`
		Words string `json:"error_description"`
	}
	if err.RawResponse != nil {
		if data, failed := runtime.Payload(err.RawResponse); failed == nil {
			_ = json.Unmarshal(data, &said) // another answer has no description
		}
	}
	words, _, _ := strings.Cut(cmp.Or(said.Words, said.Code, "it did not say why"), "\n")
	return short(strings.TrimSpace(words))
}

// said is an error as Azure's services write it.
type said struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []said `json:"details"`
}

func (s said) String() string {
	text := s.Message
	for _, d := range s.Details {
		if d.Message != "" && !strings.Contains(text, d.Message) {
			text = strings.TrimSpace(text + " " + d.Message)
		}
	}
	if text == "" {
		return cmp.Or(s.Code, "it did not say why")
	}
	if s.Code != "" {
		text += " (" + s.Code + ")"
	}
	if advice := s.advice(); advice != "" {
		text = short(text) + "; " + advice
		return text
	}
	return short(text)
}

// any reports whether the code of the error or of one of its details matches.
func (s said) any(codes *regexp.Regexp) bool {
	return codes.MatchString(s.Code) || slices.ContainsFunc(s.Details, func(d said) bool { return d.any(codes) })
}

// advice is what the operator can do about it, where Azure's own words do not say it.
func (s said) advice() string {
	switch {
	case s.Code == "MissingSubscriptionRegistration":
		return "register it: az provider register --namespace Microsoft.ContainerService (or the one that is named)"
	case s.Code == "SubscriptionNotFound", s.Code == "InvalidSubscriptionId":
		return "look whether M3O_AZURE_SUBSCRIPTION is the right one, and whether the worker's identity has a role in it"
	case s.Code == "AuthorizationFailed", s.Code == "LinkedAuthorizationFailed":
		return "give the worker's identity the role in deploy/workers/azure; a role that was just given takes some minutes"
	case s.Code == "ScopeLocked":
		return "remove the lock: az lock list"
	case s.any(scarceCodes):
		return "Azure has no such machines there now: try again later, or choose another size or location"
	case s.any(quotaCodes), s.isQuota():
		return "ask for a higher limit in the portal's Quotas page, or by `az quota update`"
	}
	return ""
}

func (s said) isQuota() bool {
	return s.Code == "OperationNotAllowed" && quotaWords.MatchString(s.Message)
}

// wordsOf is what the body of an answer says. Some services write the error without an envelope.
func wordsOf(answer *azcore.ResponseError) said {
	found := said{Code: answer.ErrorCode}
	if answer.RawResponse == nil {
		return found
	}
	var body struct {
		Error *said `json:"error"`
		said
	}
	if data, err := runtime.Payload(answer.RawResponse); err == nil && json.Unmarshal(data, &body) == nil {
		if body.Error != nil {
			found = *body.Error
		} else {
			found = body.said
		}
	}
	found.Code = cmp.Or(found.Code, answer.ErrorCode)
	if found.Message == "" && found.Code == "" {
		found.Message = answer.RawResponse.Status
	}
	return found
}

func kindOf(status int, s said) fault.Kind {
	switch {
	case deniedCodes.MatchString(s.Code): // some of them are a 404, which would read as "gone"
		return fault.Denied
	case s.any(busyCodes):
		return fault.Conflict
	case s.any(quotaCodes) || s.isQuota():
		return fault.Quota
	case status == http.StatusTooManyRequests:
		return fault.Throttled
	case status == http.StatusRequestTimeout || status >= 500:
		return fault.Unavailable
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.Denied
	case status == http.StatusNotFound:
		return fault.NotFound
	case s.Code == "RoleAssignmentExists":
		return fault.Exists
	case status == http.StatusConflict || status == http.StatusPreconditionFailed:
		return fault.Conflict
	case status >= 400:
		return fault.Invalid
	}
	return fault.Unknown
}

// leastPause is when to come back if nobody said.
const leastPause = 5 * time.Second

func retryAfter(answer *http.Response) time.Duration {
	if answer == nil {
		return leastPause
	}
	return max(rate.RetryAfter(answer, time.Now()), time.Second)
}

// short bounds words that end up in records and on screens.
func short(text string) string {
	if len(text) > 1000 {
		return strings.ToValidUTF8(text[:1000], "") + "…"
	}
	return text
}
