package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/region"
)

// nested bounds how deep the look for what keeps a workflow goes: an owner, its operation, a build.
const nested = 3

// why says what keeps the workflow that an owner waits for: that nobody is there for its call to the outside, or what that failed with
// last, or saw last.
// The owner's own words stay when nothing better is known.
func (f *Flows) why(ctx context.Context, words string) string {
	id, found := strings.CutPrefix(words, region.WaitsFor)
	for range nested {
		if !found {
			break
		}
		d, err := f.temporal.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			break
		}
		for _, a := range d.GetPendingActivities() {
			if text := f.sees(id, a); text != "" {
				return text
			}
		}
		if found = len(d.GetPendingChildren()) > 0; found {
			id = d.GetPendingChildren()[0].GetWorkflowId()
		}
	}
	return words
}

func (f *Flows) sees(workflowID string, a *workflowpb.PendingActivityInfo) string {
	if u := f.attendance.unserved(a.GetActivityOptions().GetTaskQueue().GetName(), time.Now()); u != nil {
		return u.String()
	}
	reads := f.reads.of(workflowID)
	if failed := a.GetLastFailure(); failed != nil && a.GetAttempt() > 1 {
		err := reads.Failures.FailureToError(failed)
		var app *temporal.ApplicationError
		if errors.As(err, &app) {
			return fmt.Sprintf("%s, attempt %d: %s", a.GetActivityType().GetName(), a.GetAttempt(), app.Message())
		}
	}
	var seen struct {
		Reason string `json:"reason"`
	}
	if reads.Data.FromPayloads(a.GetHeartbeatDetails(), &seen) != nil {
		return ""
	}
	return seen.Reason
}
