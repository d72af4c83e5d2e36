package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// work is the folder of one build. It is locked while the build lives, so that what a kill left can be told from what
// runs.
type work struct {
	dir     string
	lock    *os.File
	source  string // the unpacked source
	private string // what the jail may write: the program, temporary files, a home
	scratch string // ours: the image's layer
}

func (b *Builder) newWork() (*work, error) {
	dir, err := os.MkdirTemp(b.path("work"), "build-")
	if err != nil {
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	w := &work{dir: dir, source: filepath.Join(dir, "source"), private: filepath.Join(dir, "private"), scratch: filepath.Join(dir, "scratch")}
	if w.lock, err = lock(filepath.Join(dir, "lock")); err != nil {
		return nil, errors.Join(fmt.Errorf("lock work folder: %w", err), os.RemoveAll(dir))
	}
	for _, d := range []string{w.source, w.scratch, w.private, filepath.Join(w.private, "out"), filepath.Join(w.private, "tmp"), filepath.Join(w.private, "home")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make work folder: %w", err), w.remove())
		}
	}
	// The go command would start a process of its own that collects counters.
	telemetry := filepath.Join(w.private, "home", ".config", "go", "telemetry")
	if err := errors.Join(os.MkdirAll(telemetry, 0o755), os.WriteFile(filepath.Join(telemetry, "mode"), []byte("off"), 0o644)); err != nil {
		return nil, errors.Join(fmt.Errorf("make work folder: %w", err), w.remove())
	}
	return w, nil
}

func (w *work) remove() error { return errors.Join(os.RemoveAll(w.dir), w.lock.Close()) }

// sweep removes the work folders that nobody holds, and half-made caches.
func (b *Builder) sweep() error {
	left, err := filepath.Glob(b.path("work", "build-*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		held, err := lock(filepath.Join(dir, "lock"))
		if err != nil {
			continue // its build runs
		}
		if err := errors.Join(os.RemoveAll(dir), held.Close()); err != nil {
			return fmt.Errorf("remove an abandoned build: %w", err)
		}
	}
	return nil
}

// caches are the folders that a project's builds share.
type caches struct {
	build   string // GOCACHE
	modules string // GOMODCACHE
}

func (c caches) dir() string { return filepath.Dir(c.build) }

// caches finds or makes the project's caches, for this toolchain.
func (b *Builder) caches(ctx context.Context, project string, log io.Writer) (caches, error) {
	dir := b.path("cache", project+"-"+b.version)
	c := caches{build: filepath.Join(dir, "build"), modules: filepath.Join(dir, "modules")}
	if used := folderSize(dir); used > b.config.Limits.Cache {
		if err := os.RemoveAll(dir); err != nil {
			return caches{}, fmt.Errorf("empty build cache: %w", err)
		}
	}
	if _, err := os.Stat(c.modules); err == nil {
		return c, nil
	}
	std, err := b.standardLibrary(ctx, log)
	if err != nil {
		return caches{}, err
	}
	if err := b.seed(std, c); err != nil {
		return caches{}, fmt.Errorf("make build cache: %w", err)
	}
	return c, nil
}

// seed makes a project's caches from the compiled standard library. The module cache is made last: it says that all is
// there.
func (b *Builder) seed(std string, c caches) error {
	b.warming.Lock()
	defer b.warming.Unlock()
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

// warmPackages are what most services import; the rest of the standard library is compiled when it is needed.
var warmPackages = []string{"net/http", "encoding/json", "log/slog", "os/signal", "embed", "flag"}

// Warm compiles the standard library, once for a toolchain, so that the first build need not. Builds do it themselves
// when it was not called.
func (b *Builder) Warm(ctx context.Context) error {
	_, err := b.standardLibrary(ctx, io.Discard)
	return err
}

func (b *Builder) standardLibrary(ctx context.Context, log io.Writer) (dir string, err error) {
	b.warming.Lock()
	defer b.warming.Unlock()
	dir = b.path("cache", "~standard-"+b.version+"-"+b.config.Arch) // '~' is in no project's name
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

// folderSize is the sum of what lies in dir. What cannot be read, or goes away meanwhile, counts nothing.
func folderSize(dir string) (total int64) {
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0
	}
	return total
}
