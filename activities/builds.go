package activities

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/sdk/activity"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// ImageBuilder turns sources into images, and finds images that exist. What it cannot take on now it refuses at once, with
// Throttled and a RetryAfter: Temporal keeps the work, with the reason, and no slot is held.
type ImageBuilder interface {
	// BuildImage returns the image of the source, compiled unless an equal build is there, its log kept under in.LogName.
	BuildImage(ctx context.Context, in release.BuildInput) (release.Image, error)
	// ResolveImage returns the reference of an existing image by digest. It tries once.
	ResolveImage(ctx context.Context, in release.BuildInput) (release.Image, error)
	// RemoveSources removes the sources, logs and caches of a project whose builds are over. Gone is fine.
	RemoveSources(ctx context.Context, project string) error
}

// Builds makes images.
type Builds struct{ Builder ImageBuilder }

// How often a build and a registry are tried, while a module proxy or a registry is away or workers die: a quarter of an hour, and two
// minutes. Tries are counted, not timed: none is made while the platform is switched off.
const (
	compileTries = 32
	resolveTries = 10
)

// CompileSource turns the source into an image. The same source, toolchain and base give the same digest, and an equal
// build is found rather than made, so repeating it is harmless.
func (a *Builds) CompileSource(ctx context.Context, in release.BuildInput) (release.Image, error) {
	image, err := try(ctx, compileTries, func() (release.Image, error) { return a.Builder.BuildImage(ctx, in) })
	if err != nil {
		return release.Image{}, failUsers(fmt.Errorf("build release %d of %s: %w", in.Number, in.Service, err))
	}
	return image, nil
}

// ResolveImage pins an image that exists to its digest. It only reads. A registry that is away is tried again by Temporal.
func (a *Builds) ResolveImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	image, err := try(ctx, resolveTries, func() (release.Image, error) { return a.Builder.ResolveImage(ctx, in) })
	if err != nil {
		return release.Image{}, failUsers(fmt.Errorf("resolve image of %s: %w", in.Service, err))
	}
	return image, nil
}

// RemoveSources removes what builders keep of a project that has no service any more. Gone is fine.
func (a *Builds) RemoveSources(ctx context.Context, project string) error {
	stop := beat(ctx, "removing the sources of "+project)
	defer stop()
	if err := a.Builder.RemoveSources(ctx, project); err != nil {
		return fail(fmt.Errorf("remove the sources and logs of project %s: %w", project, err))
	}
	return nil
}

// try does what may fail in passing, and fails for good when that happened most times. The count goes from attempt to attempt in
// heartbeats; a worker that dies has tried. Being turned away for now is no try.
func try[T any](ctx context.Context, most int, do func() (T, error)) (T, error) {
	var seen Seen
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &seen) // details of another shape begin at zero
	}
	stop := beatAs(ctx, Seen{Tries: seen.Tries + 1})
	result, err := do()
	stop()
	switch {
	case err == nil || fault.Of(err).Permanent() || errors.Is(err, context.Canceled):
		return result, err
	case turnedAway(err):
		activity.RecordHeartbeat(ctx, seen)
		return result, err
	case seen.Tries+1 >= most:
		return result, fault.Wrap(fault.Failed, err, "it was tried %d times; at last: %s", most, fault.Message(err))
	}
	return result, err
}

func turnedAway(err error) bool {
	var f *fault.Error
	return errors.As(err, &f) && f.Kind == fault.Throttled && f.RetryAfter > 0
}
