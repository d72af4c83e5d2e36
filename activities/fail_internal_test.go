package activities

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
)

// The SDK logs what an activity returns as an error, unless it is benign: what users are at fault for is no error of the platform.
func TestWhatUsersAreAtFaultForIsNoErrorInTheLog(t *testing.T) {
	turn := fault.New(fault.Throttled, "waits for a builder")
	turn.RetryAfter = time.Second
	for _, c := range []struct {
		err    error
		benign bool
	}{
		{fault.New(fault.Failed, "does not compile"), true},
		{fmt.Errorf("build: %w", fault.New(fault.Invalid, "no go.mod")), true},
		{turn, true},
		{fault.New(fault.Throttled, "slow down"), false},
		{fault.New(fault.Unavailable, "the registry is away"), false},
		{errors.New("the disk is gone"), false},
	} {
		var app *temporal.ApplicationError
		if err := failUsers(c.err); !errors.As(err, &app) || (app.Category() == temporal.ApplicationErrorCategoryBenign) != c.benign {
			t.Errorf("%v: benign is not %v", c.err, c.benign)
		}
		if err := fail(c.err); !errors.As(err, &app) || app.Category() == temporal.ApplicationErrorCategoryBenign {
			t.Errorf("%v is benign whoever is at fault", c.err)
		}
	}
	var canceled *temporal.CanceledError
	if failUsers(nil) != nil || !errors.As(failUsers(context.Canceled), &canceled) {
		t.Error("success and cancelling are passed on as they are")
	}
}
