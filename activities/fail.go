package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
)

// fail turns an error into Temporal's, last of all: Temporal looks only at the outermost error, so wrapping what fail
// returned would make a permanent failure retry for ever. The fault's kind becomes the error's type, its message the
// error's message, and a provider's Retry-After the delay before the next attempt.
func fail(err error) error { return failAs(err, temporal.ApplicationErrorCategoryUnspecified) }

// failUsers is fail for calls about what users made. That a source does not compile, that a program does not run, or that it is not its
// turn yet is told to its owner: it is no failure of the platform, and the SDK logs it for debugging alone.
func failUsers(err error) error {
	category := temporal.ApplicationErrorCategoryUnspecified
	if err != nil && (fault.Of(err).Permanent() || turnedAway(err)) {
		category = temporal.ApplicationErrorCategoryBenign
	}
	return failAs(err, category)
}

func failAs(err error, category temporal.ApplicationErrorCategory) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return temporal.NewCanceledError()
	}
	kind := fault.Of(err)
	options := temporal.ApplicationErrorOptions{NonRetryable: kind.Permanent(), Cause: err, Category: category}
	var f *fault.Error
	if errors.As(err, &f) {
		options.NextRetryDelay = f.RetryAfter
		if f.Output != "" || len(f.Problems) > 0 { // details are encrypted, and are in no log
			options.Details = []any{f.Output, f.Problems}
		}
	}
	return temporal.NewApplicationErrorWithOptions(fault.Message(err), string(kind), options)
}
