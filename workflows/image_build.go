package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/release"
)

// BuildImage turns the origin of one release into an image by digest.
//
// A source is compiled, unless an equal build (source, toolchain and base) is there; a reference is pinned. Running it
// again gives the same digest. It fails when the source does not compile, with the compiler's own words; the whole log is
// kept under the build's name.
func BuildImage(ctx workflow.Context, in release.BuildInput) (release.Image, error) {
	show(ctx, showsRelease(in.Service, in.Number)...)
	var image release.Image
	if in.Origin.Image != "" {
		workflow.SetCurrentDetails(ctx, "Pinning "+in.Origin.Image+" to its digest.")
		err := workflow.ExecuteActivity(looking(ctx, queue.Build, "Pin the image to its digest", resolveLimit), builds.ResolveImage, in).Get(ctx, &image)
		return image, err
	}
	workflow.SetCurrentDetails(ctx, "Compiling `"+in.Origin.Package+"` of source "+in.Origin.Source+". Log: "+in.LogName())
	err := workflow.ExecuteActivity(building(ctx, queue.Build, "Compile and push"), builds.CompileSource, in).Get(ctx, &image)
	return image, err
}
