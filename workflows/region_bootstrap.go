package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
)

// BootstrapRegion makes an empty cloud account able to run services, or a region that exists as the spec wants it.
//
// Every step finds or creates, so running it again for a half-built region is safe. If quota or permission is missing,
// what is built stays and the operator is asked: retry or remove, a day at most. If a step fails for good otherwise, what
// was built is removed, newest first, unless it is to be kept or the region ran before. The answer says how it ended; an
// error means that the workflow itself was ended.
func BootstrapRegion(ctx workflow.Context, in region.BootstrapInput) (region.Outcome, error) {
	b := &bootstrap{spec: in.Spec, had: in.Region.Spec, keep: in.Keep, built: in.Region, version: in.Version}
	if err := workflow.SetQueryHandler(ctx, region.ProgressQuery, b.report); err != nil {
		return region.Outcome{}, err
	}
	b.listen(ctx)
	return b.run(ctx, b.steps())
}

// bootstrap is the state of one run of BootstrapRegion.
type bootstrap struct {
	spec    region.Spec
	had     region.Spec // what was built to before
	keep    bool
	ran     bool // the region was ready before: it is never removed because a change failed
	built   region.Region
	version int64

	progress  region.Progress
	retry     bool                // the operator said: go on
	requested region.Spec         // with that
	giveUp    bool                // the operator said: remove it
	stop      workflow.CancelFunc // ends the step at work
}

// errRemoval ends a bootstrap whose region is not wanted any more.
var errRemoval = failure(fault.Conflict, "its removal was requested")

// step is one stage of a bootstrap and how it is undone. What claim notes is on record before anything of the step is asked
// for: whatever becomes of the answer, it is known that something may be there.
type step struct {
	name     string
	claim    func()
	do, undo func(workflow.Context) error
}

// steps are the stages in order. A cluster uses its trust until it is gone (its controllers remove what they made by it), so
// that its own undo takes both.
func (b *bootstrap) steps() []step {
	return []step{
		{name: "preflight", do: b.preflight},
		{name: "network", claim: b.claimNetwork, do: b.buildNetwork, undo: b.removeNetwork},
		{name: "identity", do: b.makeIdentity, undo: b.removeIdentity},
		{name: "cluster", claim: b.claimCluster, do: b.buildCluster, undo: b.removeCluster},
		{name: "trust", do: b.trustCluster},
		{name: "verify", do: b.verify},
		{name: "parts", do: b.installParts},
		{name: "gateway", do: b.checkGateway},
	}
}

func (b *bootstrap) run(ctx workflow.Context, steps []step) (region.Outcome, error) {
	b.ran = b.built.Served || b.built.Endpoints.API != ""
	b.built.Spec, b.built.Keep, b.built.Message = b.spec, b.keep, ""
	b.built.Status = b.underWay()
	for i, reached := 0, 0; i < len(steps); i++ {
		reached = max(reached, i)
		b.progress = region.Progress{Stage: steps[i].name, Done: i, Of: len(steps)}
		anew, err := b.seeThrough(ctx, steps[i])
		if err != nil {
			return b.fail(ctx, steps[:reached+1], err)
		}
		if anew {
			i = -1
		}
	}
	b.progress = region.Progress{Done: len(steps), Of: len(steps)}
	b.built.Status, b.built.Message, b.built.Served = region.Ready, "", true
	return region.Outcome{Region: b.built}, b.record(ctx)
}

// underWay is the status of a region that something is done to.
func (b *bootstrap) underWay() region.Status {
	if b.ran {
		return region.Updating
	}
	return region.Creating
}

// seeThrough does one step until it is done, has failed for good, or the operator gives up on it or wants something else: then
// all of it is to be done anew.
func (b *bootstrap) seeThrough(ctx workflow.Context, s step) (anew bool, err error) {
	for {
		if b.giveUp {
			return false, errRemoval
		}
		if s.claim != nil {
			s.claim()
		}
		if err := b.record(ctx); err != nil {
			return false, err
		}
		b.retry = false
		err := b.attempt(ctx, s)
		switch {
		case err != nil && b.giveUp:
			return false, errRemoval
		case err == nil || !waitsForOperator(err):
			return false, err
		}
		if err := b.askOperator(ctx, err); err != nil {
			return false, err
		}
		if b.adopt() {
			return true, nil
		}
	}
}

// adopt takes over what the operator wants now, and reports whether that is something else. Only a bootstrap that waits does:
// what is done already was done for what was wanted then, and the region's record must not say more than there is. The
// command's own operation brings the rest.
func (b *bootstrap) adopt() bool {
	changes, _ := region.Differences(b.spec, b.requested)
	b.spec, b.built.Spec = b.requested, b.requested
	return len(changes) > 0
}

// attempt does a step in a scope of its own, which giving up cancels.
func (b *bootstrap) attempt(ctx workflow.Context, s step) error {
	if b.giveUp { // while the step was recorded
		return errRemoval
	}
	scope, stop := workflow.WithCancel(ctx)
	b.stop = stop
	err := s.do(scope)
	b.stop = nil
	stop() // not deferred: a coroutine that is dropped must not touch what others may be at
	return err
}

// waitsForOperator reports whether only a person can remove what is in the way.
func waitsForOperator(err error) bool {
	k := kindOf(err)
	return k == fault.Quota || k == fault.Denied || k == fault.Unauthenticated
}

// askOperator waits for a word from the operator, for a day at most.
func (b *bootstrap) askOperator(ctx workflow.Context, why error) error {
	key := b.spec.Key()
	b.built.Status = region.Failed
	b.built.Message = fmt.Sprintf("%s: %s. What is built stays: mend it and run `m3o region retry %s`, or `m3o region teardown %s`; without an answer %s",
		b.progress.Stage, words(why), key, key, b.unanswered())
	b.progress.Waiting = b.built.Message
	if err := b.record(ctx); err != nil {
		return err
	}
	answered, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{Timeout: operatorLimit,
		TimerOptions: workflow.TimerOptions{Summary: "Remove what is built unless the operator answers"}}, func() bool { return b.retry || b.giveUp })
	if err != nil {
		return err
	}
	b.progress.Waiting, b.built.Message = "", ""
	b.built.Status = b.underWay()
	if !answered || b.giveUp {
		return why
	}
	return nil
}

// unanswered says what comes of a region whose operator does not answer.
func (b *bootstrap) unanswered() string {
	if b.ran || b.keep {
		return "this attempt ends in 24 hours"
	}
	return "it is removed in 24 hours"
}

// fail undoes what was done, unless it is to stay, and records how it ended.
func (b *bootstrap) fail(ctx workflow.Context, done []step, why error) (region.Outcome, error) {
	if temporal.IsCanceledError(ctx.Err()) {
		return region.Outcome{}, why
	}
	b.retry = false
	b.built.Status = region.Failed
	stage := b.progress.Stage
	b.built.Message = fmt.Sprintf("%s: %s", stage, words(why))
	if b.ran || b.keep {
		b.built.Message += fmt.Sprintf(". What is built stays: mend it and run `m3o region retry %s`, or `m3o region teardown %s`", b.spec.Key(), b.spec.Key())
		return b.end(ctx, false)
	}
	reason := b.built.Message
	b.built.Message = reason + region.Undoing
	if err := b.record(ctx); err != nil {
		return region.Outcome{}, err
	}
	for i := len(done) - 1; i >= 0; i-- {
		if done[i].undo == nil {
			continue
		}
		b.progress.Stage = "remove " + done[i].name
		if err := done[i].undo(ctx); err != nil {
			b.built.Message = fmt.Sprintf("%s. Removing the %s failed: %s; run `m3o region teardown %s`", reason, done[i].name, words(err), b.spec.Key())
			return b.end(ctx, false)
		}
	}
	if err := sweep(ctx, b.spec, b.built.Cluster); err != nil {
		b.built.Message = fmt.Sprintf("%s. Something is left: %s", reason, words(err))
		return b.end(ctx, false)
	}
	b.built.Forget()
	b.built.Message = reason + ". Everything that was built is removed"
	return b.end(ctx, true)
}

// end records how a bootstrap failed. The operator may have asked for another attempt meanwhile.
func (b *bootstrap) end(ctx workflow.Context, removed bool) (region.Outcome, error) {
	err := b.record(ctx)
	return region.Outcome{Region: b.built, Removed: removed, Repeat: b.retry}, err
}

func (b *bootstrap) cloud() string { return queue.Cloud(b.spec.Provider) }

func (b *bootstrap) preflight(ctx workflow.Context) error {
	in := activities.PreflightInput{Want: b.spec}
	if b.built.Cluster.ID != "" {
		in.Have = &b.had
	}
	var found region.Preflight
	call := provisioning(ctx, b.cloud(), "Ask what stands in the way")
	if err := workflow.ExecuteActivity(call, accounts.Preflight, in).Get(ctx, &found); err != nil {
		return err
	}
	if len(found.Obstacles) > 0 {
		return failure(fault.Kind(found.Obstacles[0].Kind), found.Obstacles[0].Message)
	}
	return nil
}

func (b *bootstrap) claimNetwork() { b.built.Network.Name = b.spec.NetworkSpec().Name }

func (b *bootstrap) buildNetwork(ctx workflow.Context) error {
	spec := b.spec.NetworkSpec()
	ctx = watching(ctx, b.cloud(), "Find or make network "+spec.Name+" until it is ready", networkLimit)
	return workflow.ExecuteActivity(ctx, networks.EnsureNetwork, spec).Get(ctx, &b.built.Network)
}

func (b *bootstrap) removeNetwork(ctx workflow.Context) error { return removeNetwork(ctx, b.spec) }

func (b *bootstrap) makeIdentity(ctx workflow.Context) error {
	spec := b.spec.IdentitySpec(b.built.Network)
	ctx = watching(ctx, b.cloud(), "Find or make what the cluster acts as", identityLimit)
	return workflow.ExecuteActivity(ctx, identities.EnsureIdentity, spec).Get(ctx, &b.built.Identity)
}

func (b *bootstrap) removeIdentity(ctx workflow.Context) error { return removeIdentity(ctx, b.built) }

func (b *bootstrap) claimCluster() { b.built.Cluster.Name = b.clusterSpec().Name }

func (b *bootstrap) clusterSpec() region.ClusterSpec {
	spec := b.spec.ClusterSpec(b.built.Network)
	spec.Principals = b.built.Identity.Principals
	return spec
}

func (b *bootstrap) buildCluster(ctx workflow.Context) error {
	spec := b.clusterSpec()
	ctx = watching(ctx, b.cloud(), "Find or make cluster "+spec.Name+" until it is ready", clusterLimit)
	return workflow.ExecuteActivity(ctx, clusters.EnsureCluster, spec).Get(ctx, &b.built.Cluster)
}

func (b *bootstrap) removeCluster(ctx workflow.Context) error {
	if err := removeCluster(ctx, b.built); err != nil {
		return err
	}
	return removeTrust(ctx, b.built)
}

func (b *bootstrap) trustCluster(ctx workflow.Context) error {
	spec := b.spec.TrustSpec(b.built.Cluster, b.built.Identity)
	ctx = watching(ctx, b.cloud(), "Let workloads and people act through the cluster", identityLimit)
	return workflow.ExecuteActivity(ctx, identities.EnsureTrust, spec).Get(ctx, nil)
}

// verify refuses a cluster that cannot hold a region before anything is put there.
func (b *bootstrap) verify(ctx workflow.Context) error {
	look := looking(ctx, b.cloud(), "Look for a default StorageClass and for what enforces NetworkPolicy", checkLimit)
	return workflow.ExecuteActivity(look, parts.VerifyCluster, b.spec).Get(ctx, &b.built.Verified)
}

func (b *bootstrap) installParts(ctx workflow.Context) error {
	spec := b.spec // the operator may want another one meanwhile: what is applied is waited for
	apply := watching(ctx, b.cloud(), "Apply namespaces, policies and parts", applyLimit)
	if err := workflow.ExecuteActivity(apply, parts.ApplyParts, spec).Get(ctx, nil); err != nil {
		return err
	}
	wait := looking(ctx, b.cloud(), "Wait until every part is ready", partsLimit)
	return workflow.ExecuteActivity(wait, parts.AwaitParts, spec).Get(ctx, &b.built.Endpoints)
}

func (b *bootstrap) checkGateway(ctx workflow.Context) error {
	if b.built.Endpoints.API == "" {
		return nil
	}
	ctx = looking(ctx, queue.Flows, "Call the gateway from outside", gatewayLimit)
	return workflow.ExecuteActivity(ctx, gateways.CheckGateway, b.built).Get(ctx, nil)
}

// listen takes the operator's word, at any time.
func (b *bootstrap) listen(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		goOn, end := workflow.GetSignalChannel(ctx, region.RetrySignal), workflow.GetSignalChannel(ctx, region.GiveUpSignal)
		s := workflow.NewSelector(ctx)
		s.AddReceive(goOn, func(c workflow.ReceiveChannel, _ bool) {
			var wanted region.Spec
			if c.ReceiveAsync(&wanted) {
				b.retry, b.requested = true, wanted
			}
		})
		s.AddReceive(end, func(c workflow.ReceiveChannel, _ bool) {
			var unwanted region.Spec // is read, so that what is not encrypted with our keys is dropped
			if !c.ReceiveAsync(&unwanted) {
				return
			}
			if b.giveUp = true; b.stop != nil {
				b.stop()
			}
		})
		for {
			s.Select(ctx)
		}
	})
}

func (b *bootstrap) record(ctx workflow.Context) error {
	return recordStage(ctx, &b.built, &b.version, b.progress, b.narrate())
}

// recordStage records where an operation on a region is, and tells it in Temporal's UI.
func recordStage(ctx workflow.Context, r *region.Region, version *int64, at region.Progress, details string) error {
	*version++
	r.Version, r.UpdatedAt = *version, workflow.Now(ctx).UTC()
	workflow.SetCurrentDetails(ctx, details)
	show(ctx, shown{attribute.Region, r.Spec.Key().String()}, shown{attribute.Provider, string(r.Spec.Provider)}, shown{attribute.Status, string(r.Status)})
	recorded := *r
	if recorded.Message == "" && at.Stage != "" {
		recorded.Message = region.AtStep + at.Stage
	}
	summary := fmt.Sprintf("Record %s: %s", r.Status, at.Stage)
	return inStore(ctx, summary, regions.RecordRegion, recorded).Get(ctx, nil)
}

func (b *bootstrap) narrate() string {
	text := fmt.Sprintf("Region **%s** is %s: step %d of %d, %s.", b.spec.Key(), b.built.Status, b.progress.Done+1, b.progress.Of, b.progress.Stage)
	if b.progress.Waiting != "" {
		text += "\n\nWaiting: " + b.progress.Waiting
	}
	return text
}

func (b *bootstrap) report() (region.Progress, error) {
	p := b.progress
	p.Status = b.built.Status
	return p, nil
}
