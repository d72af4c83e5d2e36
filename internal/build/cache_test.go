package build

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// full is a builder whose caches are always over their limit.
func full(t *testing.T) *Builder {
	return builder(t, func(c *Config) { c.Limits.Cache = 1 })
}

func TestAFullCacheIsNotEmptiedUnderABuild(t *testing.T) {
	b := full(t)
	first, err := b.caches(t.Context(), "full", io.Discard)
	must(err)
	marker := filepath.Join(first.modules, "marker")
	must(os.WriteFile(marker, []byte("x"), 0o600))

	waiting, cancel := context.WithTimeout(t.Context(), 3*lockPause)
	defer cancel()
	var log bytes.Buffer
	if _, err := b.caches(waiting, "full", &log); !errors.Is(err, context.Canceled) || log.Len() == 0 {
		t.Errorf("beside a build: %v, log %q", err, log.String())
	}
	if _, err := os.Stat(marker); err != nil {
		t.Errorf("the build's caches: %v", err)
	}

	must(first.release())
	second, err := b.caches(t.Context(), "full", io.Discard)
	must(err)
	defer second.release()
	if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the build the full cache is still there: %v", err)
	}
	if trash, _ := filepath.Glob(b.path("cache", trashMark+"*")); len(trash) != 0 {
		t.Errorf("left behind: %q", trash)
	}
}

func TestBuildsOfAProjectShareItsCaches(t *testing.T) {
	b := builder(t, nil)
	first, err := b.caches(t.Context(), "shared", io.Discard)
	must(err)
	defer first.release()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	second, err := b.caches(ctx, "shared", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	must(second.release())
}

func TestACacheThatWasBeingRemovedIsSweptAtStart(t *testing.T) {
	config := Config{Dir: t.TempDir(), GoRoot: goroot()}
	half := filepath.Join(config.Dir, "cache", trashMark+"x", "modules", "half@v1.0.0")
	must(os.MkdirAll(half, 0o755))
	_, err := New(config)
	must(err)
	if left, _ := filepath.Glob(filepath.Join(config.Dir, "cache", "*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestARemovedProjectsCachesGo(t *testing.T) {
	b := builder(t, nil)
	for _, name := range []string{"shop-" + b.version, "shop-go1.2.3", "shop-go1-" + b.version, "shopping-" + b.version} {
		must(os.MkdirAll(b.path("cache", name, "modules"), 0o700))
	}
	for range 2 {
		must(b.RemoveCaches(t.Context(), "shop"))
	}
	left, err := filepath.Glob(b.path("cache", "*shop*"))
	must(err)
	if want := []string{b.path("cache", "shop-go1-"+b.version), b.path("cache", "shopping-"+b.version)}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}
