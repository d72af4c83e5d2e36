package gcp

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/container/apiv1/containerpb"
	"google.golang.org/api/compute/v1"

	"github.com/m3o/platform/internal/fault"
)

// A hint is the operations that a step began, or saw at work: "compute/global/operation-1 compute/europe-west1/operation-2", or
// "container/operation-3". Whatever else it says is ignored.

// operationsAtOnce is how many operations of a hint are looked at.
const operationsAtOnce = 4

const (
	computeHint   = "compute/"
	containerHint = "container/"
	global        = "global"
)

var operationName = regexp.MustCompile(`^[a-z][-a-z0-9]{0,127}$`)

// hintOf is the hint that finds an operation of Compute Engine again.
func hintOf(op *compute.Operation) string {
	scope := global
	if op.Region != "" {
		scope = last(op.Region)
	}
	return computeHint + scope + "/" + op.Name
}

// computeOperations are the operations of Compute Engine in a hint, by scope and name. Those of other places are none of ours.
func computeOperations(hint, location string) [][2]string {
	var found [][2]string
	for _, word := range strings.Fields(hint) {
		rest, is := strings.CutPrefix(word, computeHint)
		scope, name, both := strings.Cut(rest, "/")
		if is && both && (scope == global || scope == location) && operationName.MatchString(name) && len(found) < operationsAtOnce {
			found = append(found, [2]string{scope, name})
		}
	}
	return found
}

// containerOperation is GKE's operation in a hint, "" when there is none.
func containerOperation(hint string) string {
	name, is := strings.CutPrefix(hint, containerHint)
	if !is || !operationName.MatchString(name) {
		return ""
	}
	return name
}

// work is what operations say of the things that a step is about.
type work struct {
	running []*compute.Operation // not done yet
	failed  []*compute.Operation // done, and failed
}

// hint of what runs.
func (w work) hint() string {
	var words []string
	for _, op := range w.running {
		words = append(words, hintOf(op))
	}
	return strings.Join(words, " ")
}

// state says what runs in GCP's words.
func (w work) state() string {
	if len(w.running) == 0 {
		return ""
	}
	op := w.running[0]
	return op.OperationType + " of " + kindAndName(op.TargetLink) + " " + op.Status
}

// failure of the last thing that was asked of what the link's end names, nil when none is known or it may be asked for again.
func (w work) failure(kindName, what string) error {
	for _, op := range w.failed {
		if err := explainOperation(op, what); kindAndName(op.TargetLink) == kindName && !mayPass(err) {
			return err
		}
	}
	return nil
}

// mayPass reports whether the failure of an operation is none of what was asked for (GCP's own trouble, another operation in the way).
// The caller keeps the hint as long as it is told such a failure, so telling it would end in telling it for ever.
func mayPass(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.Throttled)
}

// hinted looks at the operations of a hint. Those that GCP does not know (any more) say nothing.
func (p *Provider) hinted(ctx context.Context, hint, location string) (work, error) {
	var w work
	for _, found := range computeOperations(hint, location) {
		op, err := p.computeOperation(ctx, found[0], found[1])
		err = explain(err, "describe the operation "+found[1])
		switch {
		case fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid):
			continue
		case err != nil:
			return work{}, err
		case op.Status != "DONE":
			w.running = append(w.running, op)
		case explainOperation(op, "") != nil:
			w.failed = append(w.failed, op)
		}
	}
	return w, nil
}

func (p *Provider) computeOperation(ctx context.Context, scope, name string) (*compute.Operation, error) {
	if scope == global {
		return p.compute.GlobalOperations.Get(p.project, name).Context(ctx).Do()
	}
	return p.compute.RegionOperations.Get(p.project, scope, name).Context(ctx).Do()
}

// recent is how long after its creation a thing may still be in the making. GCP's and our clocks may differ by some of it.
const recent = 15 * time.Minute

// isRecent reports whether a creation timestamp of Compute Engine is recent, as one that cannot be read is.
func isRecent(created string, now time.Time) bool {
	at, err := time.Parse(time.RFC3339, created)
	return err != nil || now.Sub(at) < recent
}

// unfinished lists what the project works at of the things that are named ("networks/m3o-micro-ew1"), globally and in the place.
func (p *Provider) unfinished(ctx context.Context, location string, kindNames []string) (work, error) {
	const notDone = "status!=DONE"
	everywhere, err := every(func(page string) ([]*compute.Operation, string, error) {
		list, err := p.compute.GlobalOperations.List(p.project).Filter(notDone).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	if err != nil {
		return work{}, explain(err, "list the global operations")
	}
	here, err := every(func(page string) ([]*compute.Operation, string, error) {
		list, err := p.compute.RegionOperations.List(p.project, location).Filter(notDone).MaxResults(pageSize).PageToken(page).Context(ctx).Do()
		if err != nil {
			return nil, "", err
		}
		return list.Items, list.NextPageToken, nil
	})
	if err != nil {
		return work{}, explain(err, "list the operations in "+location)
	}
	var w work
	for _, op := range append(everywhere, here...) {
		if op.Status != "DONE" && slices.Contains(kindNames, kindAndName(op.TargetLink)) {
			w.running = append(w.running, op)
		}
	}
	return w, nil
}

// clusterOperation looks at GKE's operation of a hint: whether it runs, and why it failed.
func (p *Provider) clusterOperation(ctx context.Context, hint, location, what string) (running *containerpb.Operation, failed error, err error) {
	name := containerOperation(hint)
	if name == "" {
		return nil, nil, nil
	}
	op, err := p.containers.GetOperation(ctx, &containerpb.GetOperationRequest{Name: p.locationPath(location) + "/operations/" + name})
	err = explain(err, "describe the operation "+name)
	switch {
	case fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	case op.GetStatus() != containerpb.Operation_DONE:
		return op, nil, nil
	}
	return nil, explainStatus(op.GetError(), what), nil
}
