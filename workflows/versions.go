package workflows

import "go.temporal.io/sdk/workflow"

// Changes to workflows that may be running stand here, one named function each around workflow.GetVersion, with a recorded
// history in testdata/replay that ran before the change.

// recallsService: an owner that begins anew reads back what its service runs and what was on its way. Before, it read the
// version of the record alone.
func recallsService(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "recall service", workflow.DefaultVersion, 1) >= 1
}

// recallsRegion: an owner that begins anew goes on with the operation that was at work, and tells services of a region that
// is ready. Before, it waited for the next command.
func recallsRegion(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "recall region", workflow.DefaultVersion, 1) >= 1
}

// keepsRetries: a retry that comes too late for the bootstrap at work is an order of its own. Before, it was forgotten.
func keepsRetries(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "keep retries", workflow.DefaultVersion, 1) >= 1
}

// correctsRegions: a region whose first attempt was removed again can be asked for otherwise, one that drifted is mended, and a
// kubeconfig is made while the cluster comes up. Before, these commands were refused. Validators, which leave nothing in a
// history, need not ask.
func correctsRegions(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "correct regions", workflow.DefaultVersion, 1) >= 1
}

// recordsPlacements: a placement begins when it is recorded, so that the next one has another number whatever happens. Before,
// it was recorded when it had ended.
func recordsPlacements(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "record placements", workflow.DefaultVersion, 1) >= 1
}

// recordsRemovals: that a region or a service is to go is recorded before its command is answered. Before, it was recorded
// when its turn came.
func recordsRemovals(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "record removals", workflow.DefaultVersion, 1) >= 1
}

// mendsRegions: after a deploy that somebody ended, the current release is brought back to every region. Before, the
// regions were left as that deploy left them.
func mendsRegions(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "mend regions", workflow.DefaultVersion, 1) >= 1
}

// recordsBesides: a deploy goes on while the stage that it came to is recorded. Before, every stage waited for its record.
func recordsBesides(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "record besides", workflow.DefaultVersion, 1) >= 1
}

// overtakesDeploys: a deploy on its way is told when a newer release or the end of the service is asked for. Before, these
// waited for its end.
func overtakesDeploys(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "overtake deploys", workflow.DefaultVersion, 1) >= 1
}

// findsWaiting: an owner that begins anew finds the bootstrap of a failed region that still waits for the operator, or is being
// undone. Before, it knew only of those whose region was recorded as on its way.
func findsWaiting(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "find waiting bootstraps", workflow.DefaultVersion, 1) >= 1
}

// killsWaiting: a kill that fails somewhere takes with it the release that waits, too. Before, that came out after it.
func killsWaiting(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "kill waiting releases", workflow.DefaultVersion, 1) >= 1
}
