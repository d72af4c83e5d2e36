package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Limits bound a Folder. A zero means the default.
type Limits struct {
	Blob  int64 // one blob; 1 GiB by default
	Log   int64 // one log: what is beyond is dropped and the log says so; 16 MiB by default
	Total int64 // everything; 64 GiB by default
}

func (l Limits) withDefaults() Limits {
	if l.Blob <= 0 {
		l.Blob = 1 << 30
	}
	if l.Log <= 0 {
		l.Log = 16 << 20
	}
	if l.Total <= 0 {
		l.Total = 64 << 30
	}
	return l
}

// Files beside the blobs carry a '~', which no name can hold.
const (
	openMark = "~open" // <name>~open exists while a log is being written
	tempMark = "~tmp-"
)

// abandoned is the age at which a temporary file has no writer any more: another process may be in the middle of a Put.
const abandoned = 10 * time.Minute

// Folder keeps blobs as files under one directory.
type Folder struct {
	root   *os.Root
	limits Limits
	used   atomic.Int64 // bytes of all blobs; other processes' changes are learnt when the folder is opened again
}

var _ Store = (*Folder)(nil)

// OpenFolder opens, and makes if need be, the store in dir, and removes what unfinished Puts have left there.
func OpenFolder(dir string, limits Limits) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make blob folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}
	f := &Folder{root: root, limits: limits.withDefaults()}
	if err := f.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("sweep blob folder %s: %w", dir, err), root.Close())
	}
	return f, nil
}

// Close lets the folder go. Blobs that are open for reading or appending stay usable.
func (f *Folder) Close() error { return f.root.Close() }

func (f *Folder) sweep() error {
	return fs.WalkDir(f.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.Contains(d.Name(), tempMark) && time.Since(info.ModTime()) > abandoned {
			return f.root.Remove(name)
		}
		f.used.Add(info.Size())
		return nil
	})
}

// Put implements Store: a temporary file that is synced and then renamed.
func (f *Folder) Put(ctx context.Context, name string, r io.Reader) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return Info{}, fmt.Errorf("put blob %s: %w", name, err)
	}
	temp := name + tempMark + rand.Text()
	if err := f.fill(ctx, name, temp, r); err != nil {
		return Info{}, errors.Join(err, f.removeIfThere(temp))
	}
	before := f.size(name)
	if err := f.root.Rename(temp, name); err != nil {
		return Info{}, errors.Join(fmt.Errorf("put blob %s: %w", name, err), f.removeIfThere(temp))
	}
	info, err := f.Stat(ctx, name)
	if err != nil {
		return Info{}, err
	}
	f.used.Add(info.Size - before)
	return info, f.syncDir(path.Dir(name))
}

func (f *Folder) fill(ctx context.Context, name, temp string, r io.Reader) (err error) {
	file, err := f.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("put blob %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	room := min(f.limits.Blob, max(0, f.limits.Total-f.used.Load()))
	n, err := io.Copy(file, io.LimitReader(contextReader{ctx, r}, room+1))
	if err != nil {
		return fmt.Errorf("put blob %s: %w", name, err)
	}
	if n > f.limits.Blob {
		return fault.New(fault.Invalid, "%s is larger than the %d bytes that one blob may have", name, f.limits.Blob)
	}
	if n > room {
		return fault.New(fault.Full, "the blob store is full: %d bytes are in use of %d", f.used.Load(), f.limits.Total)
	}
	return file.Sync()
}

// Get implements Store.
func (f *Folder) Get(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, errors.Join(fault.New(fault.Invalid, "offset %d is negative", offset), file.Close())
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("get blob %s: %w", name, err), file.Close())
	}
	if length < 0 {
		return file, nil
	}
	return limited{io.LimitReader(file, length), file}, nil
}

func (f *Folder) open(name string) (*os.File, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", name, err)
	}
	return file, nil
}

// Stat implements Store.
func (f *Folder) Stat(_ context.Context, name string) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	// The mark is looked at first: a log that is closed in between is then reported open once more, never closed too early.
	_, marked := f.root.Stat(name + openMark)
	info, err := f.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return Info{}, notFound(name)
	}
	if err != nil {
		return Info{}, fmt.Errorf("stat blob %s: %w", name, err)
	}
	return Info{Name: name, Size: info.Size(), ModTime: info.ModTime(), Open: marked == nil}, nil
}

// Delete implements Store.
func (f *Folder) Delete(_ context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	size := f.size(name)
	if err := errors.Join(f.removeIfThere(name), f.removeIfThere(name+openMark)); err != nil {
		return fmt.Errorf("delete blob %s: %w", name, err)
	}
	f.used.Add(-size)
	return nil
}

// Collect removes what lies in the folder dir, was put there before the time and is not kept, and returns its bytes. It is
// for the process that puts: others learn of the room when they open the folder again.
func (f *Folder) Collect(ctx context.Context, dir string, before time.Time, kept func(name string) bool) (freed int64, err error) {
	err = fs.WalkDir(f.root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return errors.Join(err, context.Cause(ctx))
		}
		info, err := d.Info()
		if err != nil || CheckName(name) != nil || kept(name) || !info.ModTime().Before(before) {
			return nil
		}
		freed += info.Size()
		return f.Delete(ctx, name)
	})
	if err != nil {
		return freed, fmt.Errorf("collect blobs in %s: %w", dir, err)
	}
	return freed, nil
}

func (f *Folder) size(name string) int64 {
	if info, err := f.root.Stat(name); err == nil {
		return info.Size()
	}
	return 0
}

func (f *Folder) removeIfThere(name string) error {
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes a rename or a new file in the folder outlive a loss of power.
func (f *Folder) syncDir(name string) error {
	dir, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		return fmt.Errorf("sync blob folder: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func notFound(name string) error { return fault.New(fault.NotFound, "there is no blob %s", name) }
