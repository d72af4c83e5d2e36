package build

import (
	"errors"
	"fmt"
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

	workspace string // the source's go.work in force, a path in it; empty: none
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

// handOver gives the jail's user the source and what it may write.
func (w *work) handOver() error {
	for _, dir := range []string{w.source, w.private} {
		if err := giveAway(dir); err != nil {
			return fmt.Errorf("hand work folder to the jail: %w", err)
		}
	}
	return nil
}

func (w *work) remove() error { return errors.Join(os.RemoveAll(w.dir), w.lock.Close()) }

// sweep removes the work folders that nobody holds, and the caches that were to be removed.
func (b *Builder) sweep() error {
	trash, err := filepath.Glob(b.path("cache", trashMark+"*"))
	if err != nil {
		return err
	}
	for _, dir := range trash {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an emptied cache: %w", err)
		}
	}
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
