package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/release"
)

// ImageBuilder turns sources into images, and finds images that exist.
type ImageBuilder interface {
	// BuildImage returns the image of the source, compiled unless an equal build is there, its log kept under in.LogName.
	BuildImage(ctx context.Context, in release.BuildInput) (release.Image, error)
	// ResolveImage returns the reference of an existing image by digest.
	ResolveImage(ctx context.Context, reference string) (release.Image, error)
}

// Builds makes images.
type Builds struct{ Builder ImageBuilder }

// CompileSource turns the source into an image. The same source, toolchain and base give the same digest, and an equal
// build is found rather than made, so repeating it is harmless.
func (a *Builds) CompileSource(ctx context.Context, in release.BuildInput) (release.Image, error) {
	stop := beat(ctx, "")
	defer stop()
	image, err := a.Builder.BuildImage(ctx, in)
	if err != nil {
		return release.Image{}, fail(fmt.Errorf("build release %d of %s: %w", in.Number, in.Service, err))
	}
	return image, nil
}

// ResolveImage pins an image that exists to its digest. It only reads, and waits for a registry that is away for the moment.
func (a *Builds) ResolveImage(ctx context.Context, in release.BuildInput) (release.Image, error) {
	w := watching(ctx, time.Second)
	defer w.close()
	var image release.Image
	err := w.until(func() (_ string, _ bool, err error) {
		image, err = a.Builder.ResolveImage(ctx, in.Origin.Image)
		return "", true, err
	})
	if err != nil {
		return release.Image{}, fail(fmt.Errorf("resolve image of %s: %w", in.Service, err))
	}
	return image, nil
}
