// Package blob keeps named streams of bytes: uploaded sources, build logs, stored plans.
//
// Store is the contract. Folder, a directory on disk, is its one implementation: m3o dev uses it, and so does a
// production worker with a volume. An S3-compatible store would be a second one; the contract asks for nothing that
// such a store cannot do (a growing log becomes numbered chunk objects and a mark that it is closed).
//
// The package is not a database: there are no lists, no queries and no transactions over several names; what exists is
// known to the read model. It imports nothing of the project but fault, and everything but nouns and workflows may
// import it.
package blob

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Store keeps blobs by name. A name is a path of up to eight segments of letters, digits, '.', '_' and '-', none of which
// begins with a dot; every method refuses any other name. All methods are safe for concurrent use.
type Store interface {
	// Put stores everything r yields under the name, in place of what was there. Until it returns nil readers see the
	// former content; when r fails, or the process dies, the former content stays.
	Put(ctx context.Context, name string, r io.Reader) (Info, error)

	// Get reads length bytes from offset on, to the end when length is negative. Reading from behind the end yields
	// nothing.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

	// Stat tells the size, and whether the blob is still being written by Append.
	Stat(ctx context.Context, name string) (Info, error)

	// Delete removes the blob. Deleting what is not there is fine.
	Delete(ctx context.Context, name string) error

	// Append opens a log for more writing, and makes it when it is not there. What has been written can be read at once,
	// and stays when the process dies. The log counts as open until Close; a process that dies leaves it open for the
	// repeated attempt, whose part then begins with a line that says so.
	Append(ctx context.Context, name string) (io.WriteCloser, error)
}

// Info is what a store knows of a blob. Open says that somebody appends to it, or died doing so.
type Info struct {
	Name    string
	Size    int64
	ModTime time.Time
	Open    bool
}

const (
	maxName     = 512
	maxSegments = 8
)

var segment = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$`)

// CheckName says why a name is not one.
func CheckName(name string) error {
	parts := strings.Split(name, "/")
	if len(name) > maxName || len(parts) > maxSegments {
		return fault.New(fault.Invalid, "blob name of %d bytes and %d segments is too long", len(name), len(parts))
	}
	for _, p := range parts {
		if !segment.MatchString(p) {
			return fault.New(fault.Invalid, "blob name %q: segment %q is not made of letters, digits, '.', '_' and '-'", name, p)
		}
	}
	return nil
}

// followPause is how long Follow waits before it looks for more: short enough for an eye, long enough for a disk.
const followPause = 100 * time.Millisecond

// Follow copies the blob from offset to w, and goes on as it grows, until it is closed and all of it is copied, or ctx
// ends. It returns the offset to go on from. A log whose writer died is followed into the repeated attempt.
func Follow(ctx context.Context, s Store, name string, offset int64, w io.Writer) (int64, error) {
	for {
		info, err := s.Stat(ctx, name)
		if err != nil {
			return offset, err
		}
		n, err := copyFrom(ctx, s, name, offset, w)
		offset += n
		if err != nil {
			return offset, err
		}
		// Openness was read before the bytes: nothing can have been added after the copy of a closed log.
		if !info.Open {
			return offset, nil
		}
		select {
		case <-ctx.Done():
			return offset, context.Cause(ctx)
		case <-time.After(followPause):
		}
	}
}

func copyFrom(ctx context.Context, s Store, name string, offset int64, w io.Writer) (n int64, err error) {
	r, err := s.Get(ctx, name, offset, -1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.Copy(w, r)
}
