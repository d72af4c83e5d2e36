package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// maxBuilder bounds what a builder says of itself.
const maxBuilder = 4 << 10

func (a *API) listBuilders(ctx context.Context, _ *InProject) (*Body[List[release.Builder]], error) {
	items := []release.Builder{}
	for _, arch := range release.BuilderArchs {
		b, err := a.builder(ctx, release.Builder{Arch: arch}.BlobName())
		switch {
		case err == nil:
			items = append(items, b)
		case !fault.Is(err, fault.NotFound):
			return nil, problem(ctx, err)
		}
	}
	return &Body[List[release.Builder]]{List[release.Builder]{Items: items}}, nil
}

func (a *API) builder(ctx context.Context, name string) (b release.Builder, err error) {
	content, err := a.Blobs.Get(ctx, name, 0, maxBuilder)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	data, err := io.ReadAll(content)
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil {
		return b, fmt.Errorf("read what the builder says of itself: %w", err)
	}
	return b, nil
}
