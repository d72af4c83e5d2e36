package source

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/m3o/platform/internal/blob"
)

// renewed is the age at which a source is stored again when it comes again: garbage is what is old, and whoever has just
// brought a source means to use it.
const renewed = 12 * time.Hour

// Receive stores a project's uploaded archive under its digest, while it comes in: nothing is kept of an archive that breaks a
// rule, is too large or has another digest than the one it was announced with. A source that came lately is read and checked all
// the same, and not stored again: only the right bytes are an answer worth. No more than one byte over the limit is read from body,
// and nothing goes on when ctx ends.
func Receive(ctx context.Context, store blob.Store, project, digest string, body io.Reader, limits Limits) (Stats, error) {
	name, err := BlobName(project, digest)
	if err != nil {
		return Stats{}, err
	}
	limits = limits.WithDefaults()
	checked := newCheckedReader(ctx, &bounded{r: body, limit: limits.Packed, over: tooPacked(limits)}, digest, limits)
	defer checked.stop()
	if info, err := store.Stat(ctx, name); err == nil && time.Since(info.ModTime) < renewed {
		_, err := io.Copy(io.Discard, checked)
		return checked.stats, err
	}
	if _, err := store.Put(ctx, name, checked); err != nil {
		return Stats{}, err
	}
	return checked.stats, nil
}

// checkedReader passes a stream through and has it checked at the same time. It ends well only when the check does.
type checkedReader struct {
	r       io.Reader
	pipe    *io.PipeWriter
	verdict chan error
	stats   Stats
	ended   error
}

func newCheckedReader(ctx context.Context, r io.Reader, digest string, limits Limits) *checkedReader {
	in, out := io.Pipe()
	c := &checkedReader{r: r, pipe: out, verdict: make(chan error, 1)}
	go func() {
		stats, err := Check(ctx, in, limits)
		if err == nil {
			c.stats, err = stats, checkDigest(stats, digest)
		}
		// The writing side learns the reason with its next write.
		in.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		c.verdict <- err
	}()
	return c
}

func (c *checkedReader) Read(p []byte) (int, error) {
	if c.ended != nil {
		return 0, c.ended
	}
	n, err := c.r.Read(p)
	if n > 0 {
		if _, refused := c.pipe.Write(p[:n]); refused != nil {
			c.ended = errors.Join(c.finish(), io.ErrUnexpectedEOF)
			return 0, c.ended
		}
	}
	if errors.Is(err, io.EOF) {
		err = c.finish()
		if err == nil {
			err = io.EOF
		}
	}
	c.ended = err
	return n, err
}

// finish tells the check that the stream is over and returns its verdict.
func (c *checkedReader) finish() error {
	c.pipe.Close()
	return <-c.verdict
}

// stop lets the check go, if it still waits for more.
func (c *checkedReader) stop() { c.pipe.CloseWithError(io.ErrUnexpectedEOF) }
