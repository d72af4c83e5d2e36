package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/build"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
	"github.com/m3o/platform/internal/store"
)

func TestSourcesThatNoReleaseNeedsAreCollected(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.EnsureProject(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	blobs, err := blob.OpenFolder(dir, blob.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	names := map[string]string{}
	for i, what := range []string{"released", "old", "new"} {
		digest := "sha256:" + strings.Repeat(string(rune('a'+i)), 64)
		names[what], err = source.BlobName("default", digest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := blobs.Put(t.Context(), names[what], strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if what == "released" {
			request := release.Request{Service: release.Key{Project: "default", Name: "hello"}, Origin: release.Origin{Source: digest}}
			if _, err := db.AllocateRelease(t.Context(), release.Allocation{Request: request, RequestKey: "key"}); err != nil {
				t.Fatal(err)
			}
		}
		if what != "new" {
			old := time.Now().Add(-48 * time.Hour)
			if err := os.Chtimes(filepath.Join(dir, names[what]), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if freed, err := collectSources(t.Context(), db, blobs, time.Now().Add(-store.InUseGrace)); err != nil || freed != 1 {
		t.Errorf("collected %d bytes, %v", freed, err)
	}
	for what, name := range names {
		if _, err := blobs.Stat(t.Context(), name); fault.Is(err, fault.NotFound) != (what == "old") {
			t.Errorf("the %s source: %v", what, err)
		}
	}
}

// TestARemovedProjectsSourcesAndLogsGo: however new they are, and nobody else's.
func TestARemovedProjectsSourcesAndLogsGo(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := blob.OpenFolder(t.TempDir(), blob.Limits{})
	must(err)
	defer blobs.Close()
	goroot := t.TempDir()
	must(os.WriteFile(filepath.Join(goroot, "VERSION"), []byte("go1.2.3\n"), 0o600))
	must(os.MkdirAll(filepath.Join(goroot, "bin", "go"), 0o700))
	must(os.MkdirAll(filepath.Join(goroot, "lib", "time"), 0o700))
	zones := filepath.Join(goroot, "lib", "time", "zoneinfo.zip")
	must(os.WriteFile(zones, []byte("PK\x05\x06"+strings.Repeat("\x00", 18)), 0o600)) // an archive of nothing
	builder, err := build.New(build.Config{Dir: t.TempDir(), GoRoot: goroot})
	must(err)
	there := map[string]bool{}
	for _, project := range []string{"shop", "shopping"} {
		name, err := source.BlobName(project, "sha256:"+strings.Repeat("a", 64))
		must(err)
		for _, name := range []string{name, release.BuildInput{Service: release.Key{Project: project, Name: "cart"}, Number: 1}.LogName()} {
			_, err := blobs.Put(t.Context(), name, strings.NewReader("x"))
			must(err)
			there[name] = project != "shop"
		}
	}
	for range 2 {
		must(imageBuilder{builder, blobs}.RemoveSources(t.Context(), "shop"))
	}
	for name, want := range there {
		if _, err := blobs.Stat(t.Context(), name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
