package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

const (
	// pullTimeout bounds one pull, stallTimeout the wait for the next bytes.
	pullTimeout  = 30 * time.Minute
	stallTimeout = time.Minute
)

// ErrNotFound is wrapped by errors about images that the registry lacks.
var ErrNotFound = errors.New("image not found")

// ErrDenied is wrapped by errors about images that the registry refuses to us.
var ErrDenied = errors.New("access denied")

// Pull fetches the image that ref names now and returns its id. Layers that
// are there already are not fetched again, and two pulls share a fetch. A
// caller that gives up does not end a fetch that others wait for.
func (s *Store) Pull(ctx context.Context, ref string, auth authn.AuthConfig) (string, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", ref, err)
	}
	shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), pullTimeout)
	done := make(chan struct{})
	var id string
	go func() {
		defer cancel()
		defer close(done)
		id, err = s.pull(shared, parsed, auth)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return "", fmt.Errorf("pull %s: %w", ref, ctx.Err())
	}
	if err != nil {
		return "", explain(parsed, err)
	}
	return id, nil
}

func (s *Store) pull(ctx context.Context, ref name.Reference, auth authn.AuthConfig) (string, error) {
	bounds := &bounded{next: &watched{next: s.transport}}
	opts := []remote.Option{remote.WithContext(ctx), remote.WithTransport(bounds), remote.WithAuth(authn.FromConfig(auth))}
	source, err := remote.Get(ref, opts...)
	if err != nil {
		return "", err
	}
	here, err := forThisNode(source, ref, opts)
	if err != nil {
		return "", err
	}
	image, layers, err := describe(here, bounds)
	if err != nil {
		return "", err
	}
	s.expect(image.Layers, 1)
	defer s.expect(image.Layers, -1)
	group, groupCtx := errgroup.WithContext(ctx)
	for i, source := range layers {
		group.Go(func() error { return s.ensureLayer(groupCtx, image.Layers[i], source) })
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	image.Digests = []string{ref.Context().Digest(source.Digest.String()).Name()}
	if tag, ok := ref.(name.Tag); ok {
		image.Tags = []string{tag.Name()}
	}
	return image.ID, s.add(image)
}

// forThisNode is the image itself, or the one of an index that runs here. An
// index in an index is not looked into: each would cost a request, and there
// is no end to them.
func forThisNode(source *remote.Descriptor, ref name.Reference, opts []remote.Option) (*remote.Descriptor, error) {
	if !source.MediaType.IsIndex() {
		return source, nil
	}
	list, err := v1.ParseIndexManifest(bytes.NewReader(source.Manifest))
	if err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	at := slices.IndexFunc(list.Manifests, func(d v1.Descriptor) bool {
		platform := v1.Platform{OS: "linux", Architecture: "amd64"} // where none is named
		if d.Platform != nil {
			platform = *d.Platform
		}
		return d.MediaType.IsImage() && platform.OS == "linux" && platform.Architecture == runtime.GOARCH
	})
	if at < 0 {
		return nil, fmt.Errorf("there is no image for linux/%s", runtime.GOARCH)
	}
	if size := list.Manifests[at].Size; size < 0 || size > maxManifest {
		return nil, fmt.Errorf("the manifest for linux/%s is declared to have %d bytes, and may have %d", runtime.GOARCH, size, int64(maxManifest))
	}
	return remote.Get(ref.Context().Digest(list.Manifests[at].Digest.String()), opts...)
}

// describe reads the image's configuration and checks that it can run here,
// and that none of its parts is larger than we take.
func describe(found *remote.Descriptor, bounds *bounded) (*Image, []v1.Layer, error) {
	source, err := found.Image()
	if err != nil {
		return nil, nil, err
	}
	manifest, err := source.Manifest()
	if err != nil {
		return nil, nil, err
	}
	if err := checkDeclared(manifest); err != nil {
		return nil, nil, err
	}
	for _, part := range append(slices.Clone(manifest.Layers), manifest.Config) {
		bounds.declare(part)
	}
	id, err := source.ConfigName()
	if err != nil {
		return nil, nil, err
	}
	config, err := source.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	layers, err := source.Layers()
	if err != nil {
		return nil, nil, err
	}
	switch {
	case config.OS != "" && config.OS != "linux", config.Architecture != "" && config.Architecture != runtime.GOARCH:
		return nil, nil, fmt.Errorf("the image is for %s/%s, this node is linux/%s", config.OS, config.Architecture, runtime.GOARCH)
	case len(layers) != len(config.RootFS.DiffIDs):
		return nil, nil, fmt.Errorf("the image has %d layers and %d diff ids", len(layers), len(config.RootFS.DiffIDs))
	}
	image := &Image{ID: id.String(), Config: *config}
	for _, diffID := range config.RootFS.DiffIDs {
		image.Layers = append(image.Layers, diffID.String())
	}
	return image, layers, nil
}

// expect marks layers as needed by a pull, so that nothing sweeps them.
func (s *Store) expect(diffIDs []string, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, diffID := range diffIDs {
		if s.pending[diffID] += by; s.pending[diffID] == 0 {
			delete(s.pending, diffID)
		}
	}
}

// ensureLayer unpacks the layer unless it is there. A fetch that fails for its
// first asker is tried again by the others, who may have other rights.
func (s *Store) ensureLayer(ctx context.Context, diffID string, source v1.Layer) error {
	for {
		own := false
		_, err, _ := s.flights.Do(diffID, func() (any, error) {
			own = true
			return nil, s.fetchLayer(ctx, diffID, source)
		})
		if err == nil || own || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Store) fetchLayer(ctx context.Context, diffID string, source v1.Layer) error {
	s.mu.Lock()
	_, ok := s.index.Layers[diffID]
	s.mu.Unlock()
	if ok {
		return nil
	}
	if err := s.downloads.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.downloads.Release(1)
	archive, err := source.Uncompressed()
	if err != nil {
		return fmt.Errorf("fetch layer %s: %w", diffID, err)
	}
	defer archive.Close()
	unpacked, err := s.unpackLayer(ctx, diffID, archive)
	if err != nil {
		return fmt.Errorf("unpack layer %s: %w", diffID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.Layers[diffID] = unpacked
	return s.save()
}

// add puts the image into the index; its names no longer mean another.
func (s *Store) add(image *Image) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, other := range s.index.Images {
		rest := *other
		rest.Tags = without(other.Tags, image.Tags)
		rest.Digests = other.Digests
		if id == image.ID {
			image.Tags = append(image.Tags, rest.Tags...)
			image.Digests = append(image.Digests, without(rest.Digests, image.Digests)...)
			continue
		}
		s.index.Images[id] = &rest
	}
	s.index.Images[image.ID] = image
	return s.save()
}

func without(names, gone []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(gone, n) })
}

// explain says what went wrong in the words of someone who wrote a pod spec.
func explain(ref name.Reference, err error) error {
	var refused *transport.Error
	if !errors.As(err, &refused) {
		return fmt.Errorf("pull %s: registry %s: %w", ref.Name(), ref.Context().RegistryStr(), err)
	}
	for _, d := range refused.Errors {
		switch d.Code {
		case transport.ManifestUnknownErrorCode, transport.NameUnknownErrorCode:
			return fmt.Errorf("pull %s: %w: manifest unknown to registry %s: %w", ref.Name(), ErrNotFound, ref.Context().RegistryStr(), err)
		case transport.UnauthorizedErrorCode, transport.DeniedErrorCode:
			return fmt.Errorf("pull %s: %w by registry %s: %w", ref.Name(), ErrDenied, ref.Context().RegistryStr(), err)
		}
	}
	switch refused.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("pull %s: %w: registry %s: %w", ref.Name(), ErrNotFound, ref.Context().RegistryStr(), err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("pull %s: %w by registry %s: %w", ref.Name(), ErrDenied, ref.Context().RegistryStr(), err)
	}
	return fmt.Errorf("pull %s: registry %s: %w", ref.Name(), ref.Context().RegistryStr(), err)
}
