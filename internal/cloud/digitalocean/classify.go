package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/rate"
)

// DigitalOcean says most things with 422 and 403, and what it means in words alone.
var (
	quotaWords   = regexp.MustCompile(`(?i)\b(exceed|reach|over|hit|maximum|more than)\w*\b.*\b(limit|quota)|\b(limit|quota)s?\b.*\b(exceed|reach|hit)|\bquota\b`)
	takenWords   = regexp.MustCompile(`(?i)\balready (exists|in use|taken|been taken|used)\b|\bmust be unique\b|\bduplicate\b|\bis not unique\b`)
	busyWords    = regexp.MustCompile(`(?i)\b(in progress|pending|being (created|deleted|updated|provisioned)|is (provisioning|not running|busy|locked)|has pending|try again)\b`)
	memberWords  = regexp.MustCompile(`(?i)\bwith members\b|\bhas members\b|\bin use\b|\bnot empty\b|\battached\b`)
	defaultWords = regexp.MustCompile(`(?i)\bdefault VPCs?\b`)
	rightWords   = regexp.MustCompile(`(?i)\b(un)?(authori[sz]|permission|permitted|allowed|scope|role|access)`)
)

// explain gives a failed call its kind, with DigitalOcean's own words and the id by which its support finds the request.
func explain(err error, what string) error {
	var known *fault.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	}
	var answer *godo.ErrorResponse
	if !errors.As(err, &answer) || answer.Response == nil {
		return fault.Wrap(fault.Unavailable, err, "DigitalOcean did not answer when asked to %s", what)
	}
	f := fault.Wrap(kindOf(answer), err, "DigitalOcean refused to %s: %s", what, words(answer))
	if f.Kind == fault.Throttled {
		f.RetryAfter = rate.RetryAfter(answer.Response, time.Now())
	}
	return f
}

func kindOf(answer *godo.ErrorResponse) fault.Kind {
	text := answer.Message
	switch status := answer.Response.StatusCode; {
	case status == http.StatusTooManyRequests:
		return fault.Throttled
	case status == http.StatusRequestTimeout || status >= 500:
		return fault.Unavailable
	case status == http.StatusUnauthorized:
		return fault.Denied
	case status == http.StatusNotFound:
		return fault.NotFound
	case status >= 400 && quotaWords.MatchString(text):
		return fault.Quota
	case status == http.StatusForbidden || status == http.StatusPaymentRequired:
		return fault.Denied
	case status >= 400 && takenWords.MatchString(text):
		return fault.Exists
	case status == http.StatusConflict || status == http.StatusPreconditionFailed || status == http.StatusLocked || busyWords.MatchString(text):
		return fault.Conflict
	case status >= 400:
		return fault.Invalid
	}
	return fault.Unknown
}

// undeletableYet says that a VPC cannot be deleted for what lives in it, for which 403 is what the API's description says
// besides 409, or because it has become a default since we looked. Only the API's own words are looked at, not ours with the
// VPC's name in them.
func undeletableYet(err error) bool {
	var answer *godo.ErrorResponse
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.StatusCode != http.StatusForbidden {
		return false
	}
	return (memberWords.MatchString(answer.Message) || defaultWords.MatchString(answer.Message)) && !rightWords.MatchString(answer.Message)
}

func words(answer *godo.ErrorResponse) string {
	text := answer.Message
	if text == "" && answer.NestedError != nil {
		text = answer.NestedError.Message
	}
	if text == "" {
		text = answer.Response.Status
	}
	if len(text) > 1000 {
		text = text[:1000] + "…"
	}
	if answer.RequestID != "" {
		text += " (request " + answer.RequestID + ")"
	}
	return text
}
