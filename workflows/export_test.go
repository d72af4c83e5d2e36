package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/region"
)

// SwappedBootstrap is BootstrapRegion with the cluster before its network, as a careless change would leave it.
func SwappedBootstrap(ctx workflow.Context, in region.BootstrapInput) (region.Outcome, error) {
	b := &bootstrap{spec: in.Spec, had: in.Region.Spec, keep: in.Keep, built: in.Region, version: in.Version}
	if err := workflow.SetQueryHandler(ctx, region.ProgressQuery, b.report); err != nil {
		return region.Outcome{}, err
	}
	b.listen(ctx)
	steps := b.steps()
	steps[1], steps[2] = steps[2], steps[1]
	return b.run(ctx, steps)
}

// KindOf is how workflows read an error, and Unseen whether it says that nobody inspected a region.
var (
	KindOf = kindOf
	Unseen = unseen
)
