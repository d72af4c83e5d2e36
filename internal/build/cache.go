package build

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// caches are the folders that a project's builds share. They stay as they are until they are released.
type caches struct {
	build   string   // GOCACHE
	modules string   // GOMODCACHE
	hold    *os.File // locked: shared by the builds that use them, alone by the one that empties them
}

func (c caches) dir() string { return filepath.Dir(c.build) }

func (c caches) release() error { return c.hold.Close() }

// Marks of what lies beside the caches: '~' is in no project's name.
const (
	lockMark     = "~lock-"
	trashMark    = "~trash-"
	standardMark = "~standard-"
)

// caches finds or makes the project's caches, for this toolchain. The caller releases them.
func (b *Builder) caches(ctx context.Context, project string, log io.Writer) (_ caches, err error) {
	name := project + "-" + b.version
	dir := b.path("cache", name)
	c := caches{build: filepath.Join(dir, "build"), modules: filepath.Join(dir, "modules")}
	if c.hold, err = b.holdCache(ctx, name, log); err != nil {
		return caches{}, fmt.Errorf("hold build cache: %w", err)
	}
	if _, err := os.Stat(c.modules); err == nil {
		return c, nil
	}
	std, err := b.standardLibrary(ctx, log)
	if err == nil {
		err = b.seed(ctx, std, c)
	}
	if err != nil {
		return caches{}, errors.Join(fmt.Errorf("make build cache: %w", err), c.release())
	}
	return c, nil
}

// holdCache takes part in a project's caches, once what is over the limit was thrown away.
func (b *Builder) holdCache(ctx context.Context, name string, log io.Writer) (*os.File, error) {
	file, err := os.OpenFile(b.path("cache", lockMark+name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	trash, err := b.emptyCache(ctx, file, b.path("cache", name), log)
	if err == nil {
		err = awaitLock(ctx, file, false)
	}
	if err == nil {
		err = os.RemoveAll(trash)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// emptyCache moves caches that are over the limit out of the way, once no build uses them, and returns where to. They
// are gone at once, so that a kill leaves trash, and never a part that looks like a whole.
func (b *Builder) emptyCache(ctx context.Context, file *os.File, dir string, log io.Writer) (trash string, err error) {
	if folderSize(dir) <= b.config.Limits.Cache {
		return "", nil
	}
	fmt.Fprintln(log, "the build cache is full; it is emptied when no other build of the project runs")
	if err := awaitLock(ctx, file, true); err != nil {
		return "", err
	}
	if folderSize(dir) <= b.config.Limits.Cache {
		return "", nil // another build did it while we waited
	}
	trash = b.path("cache", trashMark+rand.Text())
	return trash, os.Rename(dir, trash)
}

// RemoveCaches removes the caches of a project, of every toolchain, when its last build is over. Gone is fine.
func (b *Builder) RemoveCaches(ctx context.Context, project string) error {
	entries, err := os.ReadDir(b.path("cache"))
	if err != nil {
		return fmt.Errorf("remove build caches: %w", err)
	}
	for _, e := range entries {
		version, ours := strings.CutPrefix(e.Name(), project+"-")
		if !ours || version != b.version && (!strings.HasPrefix(version, "go") || strings.Contains(version, "-")) { // of a project with a longer name
			continue
		}
		if err := b.removeCache(ctx, e.Name()); err != nil {
			return fmt.Errorf("remove build cache %s: %w", e.Name(), err)
		}
	}
	return nil
}

func (b *Builder) removeCache(ctx context.Context, name string) (err error) {
	held := b.path("cache", lockMark+name)
	file, err := os.OpenFile(held, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := awaitLock(ctx, file, true); err != nil {
		return err
	}
	trash := b.path("cache", trashMark+rand.Text())
	if err := os.Rename(b.path("cache", name), trash); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(os.RemoveAll(trash), os.Remove(held))
}

// seed makes a project's caches from the compiled standard library. The module cache is made last: it says that all is
// there.
func (b *Builder) seed(ctx context.Context, std string, c caches) error {
	done, err := b.alone(ctx)
	if err != nil {
		return err
	}
	defer done()
	if _, err := os.Stat(c.modules); err == nil {
		return nil
	}
	if err := os.RemoveAll(c.dir()); err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir(), 0o700); err != nil {
		return err
	}
	if err := os.CopyFS(c.build, os.DirFS(std)); err != nil {
		return err
	}
	if err := giveAway(c.build); err != nil {
		return err
	}
	// Made under another name and renamed: there with its owner, or not there.
	fresh := c.modules + "~"
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	if err := giveAway(fresh); err != nil {
		return err
	}
	return os.Rename(fresh, c.modules)
}

// alone waits for its turn to make what builds share, no longer than ctx lasts.
func (b *Builder) alone(ctx context.Context) (done func(), err error) {
	select {
	case b.warming <- struct{}{}:
		return func() { <-b.warming }, nil
	case <-ctx.Done():
		return nil, stopped(ctx)
	}
}

// warmPackages are what most services import; the rest of the standard library is compiled when it is needed.
var warmPackages = []string{"net/http", "encoding/json", "log/slog", "os/signal", "embed", "flag"}

// Warm compiles the standard library, once for a toolchain, so that the first build need not. Builds do it themselves
// when it was not called.
func (b *Builder) Warm(ctx context.Context) error {
	_, err := b.standardLibrary(ctx, io.Discard)
	return err
}

func (b *Builder) standardLibrary(ctx context.Context, log io.Writer) (dir string, err error) {
	done, err := b.alone(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	dir = b.path("cache", standardMark+b.version+"-"+b.config.Arch)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	fmt.Fprintln(log, "compiling the standard library; this is done once")
	w, err := b.newWork()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	if err := os.WriteFile(filepath.Join(w.source, "go.mod"), []byte("module warm\n"), 0o644); err != nil {
		return "", err
	}
	c := caches{build: filepath.Join(w.dir, "caches", "build"), modules: filepath.Join(w.dir, "caches", "modules")}
	for _, d := range []string{c.dir(), c.build, c.modules} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", err
		}
	}
	if err := giveAway(c.dir()); err != nil {
		return "", err
	}
	if err := b.runGo(ctx, w, c, ".", append([]string{"build", "-trimpath"}, warmPackages...), log); err != nil {
		return "", fmt.Errorf("compile the standard library: %w", err)
	}
	return dir, os.Rename(c.build, dir)
}
