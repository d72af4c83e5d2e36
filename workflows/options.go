package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/queue"
)

// quickly is for a read or write of our own store, which inStore could not make at once. The database may be away, or the whole
// platform switched off, for as long as it takes: the work waits rather than fail, and the pending activity says why.
func quickly(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
}

// inStore makes one quick, idempotent call to our own store. It is a local activity: done within the workflow task, it costs one
// event and no task of its own. What does not succeed at once becomes an ordinary activity, which waits for the store and says
// why. It is never for a call that leaves the store: a workflow task must not wait for others.
func inStore(ctx workflow.Context, summary string, activity any, args ...any) workflow.Future {
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: storeLimit, Summary: summary, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	attempt := workflow.ExecuteLocalActivity(local, activity, args...)
	result, settable := workflow.NewFuture(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		if err := attempt.Get(ctx, nil); err == nil || isPermanent(err) || ctx.Err() != nil {
			settable.Chain(attempt)
			return
		}
		settable.Chain(workflow.ExecuteActivity(quickly(ctx, summary), activity, args...))
	})
	return result
}

// isPermanent reports whether an activity's error is one that no retry mends.
func isPermanent(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.NonRetryable()
}

// storeLimit bounds a call to the store within a workflow task, well below the ten seconds that a task has.
const storeLimit = 2 * time.Second

// provisioning is for one call to a cloud's or a cluster's API that asks for something: seconds. A cloud that throttles or
// is down is retried with exponential backoff, at most every 15 seconds, until it answers; a permanent error is returned at once.
// There is no limit over all attempts: it would run on while the platform is switched off, and what is built would be removed
// because nobody looked. A call in progress is waited for when it is cancelled: what it makes must exist before it can be removed.
func provisioning(ctx workflow.Context, queue, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue,
		StartToCloseTimeout: 45 * time.Second, Summary: summary, WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 15 * time.Second},
	})
}

// watching is for polling until something is so. The activity heartbeats every two seconds, so a dead worker is noticed
// and another resumes polling; it fails by itself after limit, in which only the time counts in which somebody polled
// (activities.Seen). So there is no limit over all attempts here either.
func watching(ctx workflow.Context, queue, summary string, limit time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue,
		StartToCloseTimeout: limit + activities.Slack, HeartbeatTimeout: 10 * time.Second, Summary: summary,
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
}

// looking is for polling that only reads: who cancels it need not wait until it has noticed.
func looking(ctx workflow.Context, queue, summary string, limit time.Duration) workflow.Context {
	ctx = watching(ctx, queue, summary, limit)
	options := workflow.GetActivityOptions(ctx)
	options.WaitForCancellation = false
	return workflow.WithActivityOptions(ctx, options)
}

// How long things may take before that is a failure. The clouds' own figures are well below (a cluster 4 to 12 minutes).
const (
	networkLimit  = 60 * time.Minute // subnets and a way out of them
	identityLimit = 60 * time.Minute // roles that the cloud's other services know of
	clusterLimit  = 3 * time.Hour    // to become ready; the worker gives up sooner, with the provider's last word
	goneLimit     = 60 * time.Minute // to be gone
	checkLimit    = 3 * time.Minute  // what a new cluster's add-ons bring is there
	partsLimit    = 20 * time.Minute // images pulled, volumes bound, everything ready
	gatewayLimit  = 10 * time.Minute // the load balancer answers from outside
	applyLimit    = 10 * time.Minute // a cluster that is away for the moment is back
	rolloutLimit  = 10 * time.Minute // a release's instances are ready, beyond what the last of them may take to start
	verifyLimit   = 5 * time.Minute  // the gateway sees them
	buildLimit    = 15 * time.Minute // compiling and pushing
	sweepLimit    = 30 * time.Minute // leftovers that a cloud removes late
	operatorLimit = 24 * time.Hour   // an operator answers a bootstrap that waits
	releasesLimit = 30 * time.Minute // deploys in progress to a region that closes
	tellingLimit  = 10 * time.Minute // every service is told of a region
	answerLimit   = 36 * time.Hour   // the answer of a workflow that was found running; an operator may have a day for it
)

// placementBackoff is how long a region in which a release could not be placed is left alone: exponential, from one minute
// to 30.
func placementBackoff(retries int) time.Duration {
	return min(time.Minute<<min(retries, 5), 30*time.Minute)
}

// How often an idle region is inspected, and one that is degraded, so that it is not called so for long after it got well.
const (
	inspectEvery         = 10 * time.Minute
	inspectDegradedEvery = 20 * time.Second
)

// building is for compiling strangers' source: minutes of CPU, then a push. It is not retried when the source is at
// fault; a dead worker is noticed by its heartbeat. A builder that has no place free turns it away until later, however often; other
// tries are counted, by the activity: somebody waits for the image.
func building(ctx workflow.Context, queue, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue,
		StartToCloseTimeout: buildLimit, HeartbeatTimeout: 10 * time.Second, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
	})
}

// resolving is for asking a registry, strangers' too, what an image's digest is: a try of seconds, which holds nothing between
// tries. They are counted by the activity.
func resolving(ctx workflow.Context, queue, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue,
		StartToCloseTimeout: 30 * time.Second, HeartbeatTimeout: 10 * time.Second, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 15 * time.Second},
	})
}

// planning is for questions to a cloud while somebody waits for the plan: a cloud that cannot be asked for two minutes
// fails the plan rather than keep them waiting.
func planning(ctx workflow.Context, queue, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue,
		StartToCloseTimeout: 20 * time.Second, ScheduleToCloseTimeout: 2 * time.Minute, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
}

// inspecting is for a look at an idle region, which answers within activities.InspectionLimit whatever the region does. It heartbeats,
// so that a dead worker is not taken for a region that hangs.
func inspecting(ctx workflow.Context, queue, summary string) workflow.Context {
	ctx = workflow.WithHeartbeatTimeout(planning(ctx, queue, summary), 10*time.Second)
	return workflow.WithStartToCloseTimeout(ctx, activities.InspectionLimit+5*time.Second)
}

// asking is for questions that a request waits for: a cloud that does not answer within 15 seconds fails it.
func asking(ctx workflow.Context, queue, summary string) workflow.Context {
	return workflow.WithScheduleToCloseTimeout(planning(ctx, queue, summary), 15*time.Second)
}

// sendingCode is for a message that somebody waits for: a provider that does not take it within two minutes fails it, and the person is
// told to ask again.
func sendingCode(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue.Pages,
		StartToCloseTimeout: 15 * time.Second, ScheduleToCloseTimeout: 2 * time.Minute, Summary: "Send the code",
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
}

// ordering is for handing work to another workflow: an update that is answered within a second or so. A permanent error is
// returned at once; a plan that is half ordered waits for the rest.
func ordering(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 15 * time.Second},
	})
}

// paging is for one message to a provider: seconds. A provider that throttles or is down is asked a few times within sendLimit and no
// longer, for the next way to reach the person is worth more than one more try. A send in progress is waited for when it is cancelled: who
// was paged is told how it went on. That nobody serves the queue is noticed soon.
func paging(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue.Pages, Summary: summary,
		ScheduleToStartTimeout: pagesLimit, StartToCloseTimeout: sendLimit, ScheduleToCloseTimeout: pagesLimit + sendLimit, WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 2 * time.Second, MaximumAttempts: 3,
			NonRetryableErrorTypes: []string{"TemporalTimeout:StartToClose"}}, // who hangs once hangs again, and may have sent it
	})
}

// telling is for messages on how an alert went on: nobody waits for them, so they are tried for longer, and given up after a while.
func telling(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue.Pages, Summary: summary,
		StartToCloseTimeout: sendLimit, ScheduleToCloseTimeout: tellLimit,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
	})
}

// How long pages may take, and how often what reached nobody is tried again.
const (
	pagesLimit   = 5 * time.Second  // until a worker takes a page
	sendLimit    = 10 * time.Second // until the provider has taken it
	tellLimit    = 10 * time.Minute // until whoever was paged has heard how it went on
	confirmLimit = 30 * time.Second // until a channel that confirms has said that a page arrived
	joinedEvery  = 5 * time.Second  // further signals of an alert are recorded at most so often
	planLimit    = time.Minute      // until a step that could not be planned is planned again
	inhibitLimit = time.Minute      // until it is asked again whether an alert is suppressed, where nothing says when that ends
)

// pageBackoff is how long a recipient whom no contact reached is left alone: exponential, from 30 seconds to ten minutes.
func pageBackoff(attempts int) time.Duration {
	return min(30*time.Second<<min(attempts, 5), 10*time.Minute)
}

// courseBackoff is how long a policy that reached nobody is left alone: exponential, from five minutes to an hour.
func courseBackoff(retries int) time.Duration {
	return min(5*time.Minute<<min(retries, 4), time.Hour)
}

// reading is for what a provider called back with, and for the answer to it, on the queue that holds the channels' credentials: seconds. A
// reply that has no effect within an hour has none at all: a person who replied has done something else by then.
func reading(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue.Pages, Summary: summary,
		StartToCloseTimeout: 15 * time.Second, ScheduleToCloseTimeout: time.Hour,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
	})
}
