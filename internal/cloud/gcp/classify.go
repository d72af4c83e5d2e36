package gcp

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

	"golang.org/x/oauth2"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/status"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/rate"
)

// explain gives a failed call its kind, with GCP's own words and what the operator can do.
//
// The kind comes from the HTTP status and the body, never from the SDK's gRPC code: over REST the SDK calls every 409 Aborted.
func explain(err error, what string) error {
	var known *fault.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	}
	var token *oauth2.RetrieveError
	if errors.As(err, &token) {
		return explainToken(token, what)
	}
	var answer *googleapi.Error
	if !errors.As(err, &answer) {
		return fault.Wrap(fault.Unavailable, err, "GCP did not answer when asked to %s", what)
	}
	r := refusalOf(answer)
	f := fault.Wrap(r.kind(), err, "GCP refused to %s: %s%s", what, r.words(), r.next())
	if f.Kind == fault.Throttled {
		f.RetryAfter = max(rate.RetryAfter(&http.Response{Header: answer.Header}, time.Now()), r.retry)
		if f.RetryAfter <= 0 {
			f.RetryAfter = refill
		}
	}
	return f
}

// refill is when to come back where GCP does not say: its quotas are filled up once a minute, and several regions wait for it.
const refill = 15 * time.Second

// explainToken: the token endpoint says invalid_grant for a key that was deleted and an account that was disabled.
func explainToken(err *oauth2.RetrieveError, what string) error {
	kind := fault.Denied
	if err.Response != nil && (err.Response.StatusCode >= 500 || err.Response.StatusCode == http.StatusTooManyRequests) {
		kind = fault.Unavailable
	}
	words := strings.TrimSpace(err.ErrorCode + " " + err.ErrorDescription)
	if words == "" && err.Response != nil {
		words = err.Response.Status
	}
	return fault.Wrap(kind, errors.New(words), "GCP gave no access token to %s: %s; check the worker's service account and its key", what, words)
}

// refusal is what an error answer says.
type refusal struct {
	code    int
	message string
	status  string   // "ALREADY_EXISTS"; Compute Engine gives none
	reasons []string // "alreadyExists", "SERVICE_DISABLED"
	service string   // that is not enabled
	retry   time.Duration
}

// refusalOf reads an error answer. What is no JSON of the usual form has its text alone.
func refusalOf(answer *googleapi.Error) refusal {
	r := refusal{code: answer.Code, message: answer.Message}
	for _, item := range answer.Errors {
		r.reasons = append(r.reasons, item.Reason)
	}
	var body struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
			Details []struct {
				Type       string            `json:"@type"`
				Reason     string            `json:"reason"`
				RetryDelay string            `json:"retryDelay"`
				Metadata   map[string]string `json:"metadata"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(answer.Body), &body) != nil {
		return r
	}
	r.status = body.Error.Status
	if r.message == "" {
		r.message = body.Error.Message
	}
	for _, item := range body.Error.Errors {
		r.reasons = append(r.reasons, item.Reason)
	}
	for _, d := range body.Error.Details {
		if d.Reason != "" {
			r.reasons = append(r.reasons, d.Reason)
		}
		if wait, err := time.ParseDuration(d.RetryDelay); err == nil {
			r.retry = min(max(wait, 0), time.Hour)
		}
		if d.Reason == "SERVICE_DISABLED" {
			r.service = d.Metadata["service"]
		}
	}
	return r
}

var (
	quotaWords = regexp.MustCompile(`(?i)\bquota\b.*\b(exceed|reach|insufficient)|\b(insufficient|exceed)\w*\b.*\bquota\b|\bdoes not have enough resources\b|\bmaximum number of\b.*\breached\b`)
	rateWords  = regexp.MustCompile(`(?i)\bper (minute|second|user|100 seconds)\b|\brate limit\b|\btoo many\b`)
	busyWords  = regexp.MustCompile(`(?i)\b(please wait and try again|incompatible operation|is (currently|being) \w+ing|not ready)\b`)
	newWords   = regexp.MustCompile(`(?i)service account\b.*\b(does not exist|not found|could not be found)`)
	rightWords = regexp.MustCompile(`(?i)required ['"](\S+?)['"] permission|permission ['"](\S+?)['"] denied`)
)

func (r refusal) says(reasons ...string) bool {
	return slices.Contains(reasons, r.status) || slices.ContainsFunc(reasons, func(reason string) bool { return slices.Contains(r.reasons, reason) })
}

func (r refusal) kind() fault.Kind {
	switch {
	case r.code == http.StatusRequestTimeout || r.code >= 500:
		return fault.Unavailable
	case r.code == http.StatusUnauthorized:
		return fault.Denied
	case r.says("rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED"):
		return fault.Throttled
	case r.says("quotaExceeded", "QUOTA_EXCEEDED", "limitExceeded"), r.code < 500 && quotaWords.MatchString(r.message) && !rateWords.MatchString(r.message):
		return fault.Quota
	case r.code == http.StatusTooManyRequests:
		return fault.Throttled
	case r.code == http.StatusForbidden || r.code == http.StatusPaymentRequired:
		return fault.Denied
	case r.code == http.StatusNotFound || r.code == http.StatusGone:
		return fault.NotFound
	case r.says("alreadyExists", "ALREADY_EXISTS", "duplicate"):
		return fault.Exists
	case r.code == http.StatusConflict || r.code == http.StatusPreconditionFailed:
		return fault.Conflict
	case r.says("resourceNotReady", "resourceInUseByAnotherResource", "FAILED_PRECONDITION", "failedPrecondition", "conditionNotMet"):
		return fault.Conflict
	case r.code >= 400 && busyWords.MatchString(r.message):
		return fault.Conflict
	case r.code >= 400:
		return fault.Invalid
	}
	return fault.Unknown
}

func (r refusal) words() string {
	text := r.message
	if text == "" {
		text = fmt.Sprintf("%d %s", r.code, http.StatusText(r.code))
	}
	if len(text) > 1000 {
		text = text[:1000] + "…"
	}
	return text
}

// next is what the operator can do.
func (r refusal) next() string {
	switch {
	case r.service != "":
		return "; run `gcloud services enable " + r.service + "`"
	case r.kind() == fault.Quota:
		return cmp.Or(nextFor(r.message), moreQuota)
	case r.code == http.StatusForbidden && rightWords.MatchString(r.message):
		found := rightWords.FindStringSubmatch(r.message)
		return "; grant the worker's service account a role with " + found[1] + found[2] + " (deploy/workers/gcp)"
	}
	return ""
}

var stockWords = regexp.MustCompile(`(?i)\bdoes not have enough resources\b|STOCKOUT|RESOURCE_POOL_EXHAUSTED`)

// nextFor is what the operator can do about something that failed in these words.
func nextFor(words string) string {
	switch {
	case stockWords.MatchString(words):
		return "; GCP has no such machines left there: try another size, or another region"
	case quotaWords.MatchString(words):
		return moreQuota
	}
	return ""
}

const moreQuota = "; ask for a higher quota under IAM & Admin, Quotas in the console"

// Operations that fail say so in two ways: Compute Engine by codes of its own, GKE by a google.rpc.Status.

func explainOperation(op *compute.Operation, what string) error {
	if op.Error == nil || len(op.Error.Errors) == 0 {
		if op.HttpErrorStatusCode >= 400 {
			return fault.New(fault.Failed, "GCP could not %s: %s (operation %s)", what, op.HttpErrorMessage, op.Name)
		}
		return nil
	}
	first := op.Error.Errors[0]
	kind := kindOfCode(first.Code)
	words := first.Message
	if words == "" {
		words = first.Code
	}
	if kind == fault.Quota {
		words += cmp.Or(nextFor(first.Code), moreQuota)
	}
	return fault.New(kind, "GCP could not %s: %s (operation %s)", what, words, op.Name)
}

func kindOfCode(code string) fault.Kind {
	switch {
	case strings.Contains(code, "QUOTA"), strings.HasPrefix(code, "ZONE_RESOURCE_POOL_EXHAUSTED"), code == "LIMIT_EXCEEDED":
		return fault.Quota
	case code == "RESOURCE_ALREADY_EXISTS":
		return fault.Exists
	case code == "RESOURCE_NOT_FOUND":
		return fault.NotFound
	case code == "RESOURCE_NOT_READY", code == "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE":
		return fault.Conflict
	case code == "PERMISSIONS_ERROR", code == "FORBIDDEN":
		return fault.Denied
	case code == "INTERNAL_ERROR", code == "BACKEND_ERROR":
		return fault.Unavailable
	case strings.HasPrefix(code, "INVALID_"):
		return fault.Invalid
	}
	return fault.Failed
}

func explainStatus(s *status.Status, what string) error {
	if s.GetCode() == int32(code.Code_OK) {
		return nil
	}
	words := s.GetMessage()
	kind := fault.Failed
	switch c := code.Code(s.GetCode()); {
	case c == code.Code_RESOURCE_EXHAUSTED, quotaWords.MatchString(words):
		kind, words = fault.Quota, words+cmp.Or(nextFor(words), moreQuota)
	case c == code.Code_PERMISSION_DENIED, c == code.Code_UNAUTHENTICATED:
		kind = fault.Denied
	case c == code.Code_INVALID_ARGUMENT:
		kind = fault.Invalid
	case c == code.Code_UNAVAILABLE, c == code.Code_INTERNAL:
		kind = fault.Unavailable
	}
	return fault.New(kind, "GCP could not %s: %s", what, words)
}
