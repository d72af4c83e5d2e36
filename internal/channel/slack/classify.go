package slack

import (
	"errors"
	"time"

	"github.com/slack-go/slack"

	"github.com/m3o/platform/internal/fault"
)

// classify says in fault's kinds what Slack answered about a message to somebody, in words to act on.
func classify(err error, to string) error {
	var limited *slack.RateLimitedError
	if errors.As(err, &limited) {
		return throttled(limited.RetryAfter)
	}
	var status slack.StatusCodeError
	if errors.As(err, &status) && status.Code < 500 {
		return fault.Wrap(fault.Failed, err, "Slack refused the call with status %d: check M3O_SLACK_URL", status.Code)
	}
	var told slack.SlackErrorResponse
	errors.As(err, &told)
	switch told.Err {
	case "":
		return fault.Wrap(fault.Unavailable, err, "Slack does not answer")
	case "ratelimited", "rate_limited", "message_limit_exceeded":
		return throttled(0)
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "accesslimited":
		return fault.Wrap(fault.Unavailable, err, "Slack is in trouble (%s)", told.Err)
	case "channel_not_found", "user_not_found", "users_not_found", "is_archived", "user_disabled", "cannot_dm_bot":
		return fault.Wrap(fault.NotFound, err, "there is no %s in Slack that takes messages (%s): correct the contact, or invite the app there", to, told.Err)
	case "not_in_channel":
		return fault.Wrap(fault.Denied, err, "the app is not in %s: invite it there", to)
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired":
		return fault.Wrap(fault.Denied, err, "Slack does not take the app's token (%s): check M3O_SLACK_TOKEN_FILE", told.Err)
	case "missing_scope":
		return fault.Wrap(fault.Denied, err, "the app lacks a scope in Slack (%s): add it and install the app again", told.Needed)
	case "restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel", "ekm_access_denied", "no_permission":
		return fault.Wrap(fault.Denied, err, "the workspace does not let the app post to %s (%s)", to, told.Err)
	}
	return fault.Wrap(fault.Failed, err, "Slack refused the message to %s: %.80s", to, told.Err)
}

func throttled(after time.Duration) error {
	return &fault.Error{Kind: fault.Throttled, Message: "Slack takes no more messages for the moment (ratelimited)", RetryAfter: max(after, time.Second)}
}
