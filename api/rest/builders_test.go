package rest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/release"
)

// Whoever is about to upload a source is told what builds it.
func TestWhatSourcesAreBuiltWith(t *testing.T) {
	s := newSite(t)
	var got struct{ Items []release.Builder }
	s.do("GET", "/v1/builders", nil, as("reader")).ok(t, 200, &got)
	if len(got.Items) != 0 {
		t.Errorf("before a builder has started: %+v", got)
	}
	for _, b := range []release.Builder{{Arch: "arm64", Go: "go1.26.8"}, {Arch: "amd64", Go: "go1.25.1"}} {
		content := fmt.Sprintf(`{"arch": %q, "go": %q}`, b.Arch, b.Go)
		if _, err := s.api.Blobs.Put(t.Context(), b.BlobName(), strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	s.do("GET", "/v1/builders", nil, as("reader")).ok(t, 200, &got)
	if fmt.Sprint(got.Items) != "[{amd64 go1.25.1} {arm64 go1.26.8}]" {
		t.Errorf("they are %+v", got.Items)
	}
}
