package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"
	"time"
)

// syncEvery bounds what a loss of power takes from a log; a killed process loses nothing that Write returned for.
const syncEvery = 256 << 10

// appender writes one log. Writes of several goroutines are kept whole.
type appender struct {
	folder   *Folder
	name     string
	file     *os.File
	mu       sync.Mutex
	size     int64
	unsynced int64
	cut      bool
}

// Append implements Store.
func (f *Folder) Append(_ context.Context, name string) (io.WriteCloser, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	a, err := f.openLog(name)
	if err != nil {
		return nil, fmt.Errorf("append to blob %s: %w", name, err)
	}
	if a.size > 0 {
		if err := a.section(); err != nil {
			return nil, errors.Join(fmt.Errorf("append to blob %s: %w", name, err), a.file.Close())
		}
	}
	return a, nil
}

func (f *Folder) openLog(name string) (*appender, error) {
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return nil, err
	}
	// The mark comes first, so that nobody sees a log that is empty and closed.
	mark, err := f.root.OpenFile(name+openMark, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := mark.Close(); err != nil {
		return nil, err
	}
	file, err := f.root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	a := &appender{folder: f, name: name, file: file, size: info.Size(), cut: info.Size() >= f.limits.Log}
	return a, f.syncDir(path.Dir(name))
}

// section begins the part of a repeated attempt. It is written past the limit: it is short, and it explains the rest.
func (a *appender) section() error {
	_, err := fmt.Fprintf(a.file, "\n--- started again at %s ---\n", time.Now().UTC().Format(time.RFC3339))
	return err
}

// Write appends p, or as much of it as the limit leaves room for; what is dropped is told once, in the log itself, and
// is no error: a talkative build shall not fail for its log.
func (a *appender) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cut {
		return len(p), nil
	}
	kept := p
	if room := a.folder.limits.Log - a.size; int64(len(p)) > room {
		a.cut = true
		kept = fmt.Appendf(p[:room:room], "\n--- the log is cut here: it reached %d bytes ---\n", a.folder.limits.Log)
	}
	n, err := a.file.Write(kept)
	a.size += int64(n)
	a.unsynced += int64(n)
	a.folder.used.Add(int64(n))
	if err != nil {
		return min(n, len(p)), fmt.Errorf("append to blob %s: %w", a.name, err)
	}
	if a.unsynced >= syncEvery {
		a.unsynced = 0
		return len(p), a.file.Sync()
	}
	return len(p), nil
}

// Close makes the log final for its followers.
func (a *appender) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := errors.Join(a.file.Sync(), a.file.Close()); err != nil {
		return fmt.Errorf("close blob %s: %w", a.name, err)
	}
	return a.folder.removeIfThere(a.name + openMark)
}

// limited is a reader of a part of a file.
type limited struct {
	io.Reader
	io.Closer
}

// contextReader stops reading when the context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
