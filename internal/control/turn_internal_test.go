package control

import (
	"errors"
	"fmt"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/m3o/platform/internal/fault"
)

// A build that was turned away, and compiles now, does not wait for a builder any more.
func TestABuildThatHasItsTurnIsNotSaidToWaitForIt(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	failure := func(kind fault.Kind, retry time.Duration) *temporal.ApplicationError {
		var app *temporal.ApplicationError
		errors.As(temporal.NewApplicationErrorWithOptions("waits for a free builder", string(kind), temporal.ApplicationErrorOptions{NextRetryDelay: retry}), &app)
		return app
	}
	for what, c := range map[string]struct {
		state enumspb.PendingActivityState
		ran   time.Duration
		last  *temporal.ApplicationError
		has   bool
	}{
		"it compiles":                    {enumspb.PENDING_ACTIVITY_STATE_STARTED, time.Minute, failure(fault.Throttled, time.Second), true},
		"it asks":                        {enumspb.PENDING_ACTIVITY_STATE_STARTED, time.Second, failure(fault.Throttled, time.Second), false},
		"it waits to ask again":          {enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, time.Minute, failure(fault.Throttled, time.Second), false},
		"it compiles after a failure":    {enumspb.PENDING_ACTIVITY_STATE_STARTED, time.Minute, failure(fault.Unavailable, 0), false},
		"it was throttled by a stranger": {enumspb.PENDING_ACTIVITY_STATE_STARTED, time.Minute, failure(fault.Throttled, 0), false},
	} {
		a := &workflowpb.PendingActivityInfo{State: c.state, LastStartedTime: timestamppb.New(now.Add(-c.ran))}
		if hasItsTurn(a, c.last, now) != c.has {
			t.Errorf("%s: it has its turn: %t", what, !c.has)
		}
	}
}

// A call that was broken off, as when its worker cannot tell that it lives, is made again, and nothing is wrong with the service.
func TestACallThatWasCutOffIsNoObstacle(t *testing.T) {
	failures := temporal.GetDefaultFailureConverter()
	told := func(err error) error { return failures.FailureToError(failures.ErrorToFailure(err)) }
	if !cutOff(told(fmt.Errorf("unexpected activity cancel error: %w", temporal.NewCanceledError()))) {
		t.Error("a call that was cut off is said to have failed")
	}
	if cutOff(told(temporal.NewApplicationErrorWithOptions("the registry does not answer", string(fault.Unavailable), temporal.ApplicationErrorOptions{}))) {
		t.Error("a call that failed is said to have been cut off")
	}
}
