package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// nested bounds how deep the look for what keeps a workflow goes: an owner, its operation, a build.
const nested = 3

// obstacle is what a call to the outside waits for. Region is the full name of the region that it is for, where it says so.
type obstacle struct {
	region string
	words  string
}

// why says what keeps the workflow that an owner waits for: that nobody is there for its call to the outside, or what that failed with
// last, or saw last.
// The owner's own words stay when nothing better is known, except that it waits for a workflow: nobody else knows that by its id.
func (f *Flows) why(ctx context.Context, words string) string {
	id, found := strings.CutPrefix(words, region.WaitsFor)
	if !found {
		return words
	}
	if all := f.obstacles(ctx, id); len(all) > 0 {
		return all[0].words
	}
	return ""
}

// obstacles are what the workflow's calls to the outside wait for, or those of a workflow that it waits for.
func (f *Flows) obstacles(ctx context.Context, id string) (all []obstacle) {
	for range nested {
		d, err := f.temporal.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			break
		}
		for _, a := range d.GetPendingActivities() {
			if seen := f.sees(id, a); seen.words != "" {
				all = append(all, seen)
			}
		}
		children := d.GetPendingChildren()
		if len(all) > 0 || len(children) == 0 {
			break
		}
		id = children[0].GetWorkflowId()
	}
	return all
}

func (f *Flows) sees(workflowID string, a *workflowpb.PendingActivityInfo) obstacle {
	reads := f.reads.of(workflowID)
	var seen struct {
		Region string `json:"region"`
		Reason string `json:"reason"`
	}
	_ = reads.Data.FromPayloads(a.GetHeartbeatDetails(), &seen) // one that has not told anything, or nothing of this shape
	if u := f.attendance.unserved(a.GetActivityOptions().GetTaskQueue().GetName(), time.Now()); u != nil {
		return obstacle{seen.Region, u.String()}
	}
	if failed := a.GetLastFailure(); failed != nil && a.GetAttempt() > 1 {
		var app *temporal.ApplicationError
		err := reads.Failures.FailureToError(failed)
		if errors.As(err, &app) && !cutOff(err) && !hasItsTurn(a, app, time.Now()) {
			return obstacle{seen.Region, retried(app, a.GetAttempt()-1)}
		}
	}
	return obstacle{seen.Region, seen.Reason}
}

// takenOn is how long whoever turns work away may take to do so: what runs for longer was taken on.
const takenOn = 2 * time.Second

// hasItsTurn reports whether a call that was turned away has come to its turn since.
func hasItsTurn(a *workflowpb.PendingActivityInfo, last *temporal.ApplicationError, now time.Time) bool {
	return turnedAway(last) && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED && now.Sub(a.GetLastStartedTime().AsTime()) > takenOn
}

// cutOff reports whether a call was broken off and is made again, because its worker could not be heard of: that says nothing of what it does.
func cutOff(err error) bool {
	var canceled *temporal.CanceledError
	return errors.As(err, &canceled)
}

func turnedAway(app *temporal.ApplicationError) bool {
	return fault.Kind(app.Type()) == fault.Throttled && app.NextRetryDelay() > 0
}

// retried are the words for a call that failed and is made again. What is turned away until its turn comes has not failed.
func retried(app *temporal.ApplicationError, failures int32) string {
	switch {
	case turnedAway(app):
		return app.Message()
	case failures == 1:
		return app.Message() + " (retried)"
	}
	return fmt.Sprintf("%s (retried; failed %d times)", app.Message(), failures)
}

// look tells of a service's progress how the deploy that its owner waits for comes along in each region. What cannot be had is left out:
// the deploy may just have ended.
func (f *Flows) look(ctx context.Context, p *release.Progress) {
	id, found := strings.CutPrefix(p.Waiting, region.WaitsFor)
	if !found {
		return
	}
	var deploy release.Progress
	if f.query(ctx, id, release.ProgressQuery, &deploy) == nil && deploy.Release == p.Release && deploy.Stage != "" {
		p.Stage, p.Regions = deploy.Stage, deploy.Regions
	}
	all := f.obstacles(ctx, id)
	if p.Waiting = ""; len(all) > 0 {
		p.Waiting = all[0].words
	}
	for _, o := range all {
		if i := slices.IndexFunc(p.Regions, func(at release.Placing) bool { return at.Region == o.region }); i >= 0 {
			p.Regions[i].Waiting = o.words
		}
	}
}
