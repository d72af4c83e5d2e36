package source

import (
	"context"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// Limits bound a source, when it is packed, received and unpacked. A zero means the default.
type Limits struct {
	Packed   int64 // bytes of the compressed archive; 100 MB by default
	Unpacked int64 // bytes of the tar in it; 400 MB by default
	Files    int   // files, links and the folders they lie in; 50,000 by default
}

// WithDefaults fills in what is not set.
func (l Limits) WithDefaults() Limits {
	if l.Packed <= 0 {
		l.Packed = 100e6
	}
	if l.Unpacked <= 0 {
		l.Unpacked = 400e6
	}
	if l.Files <= 0 {
		l.Files = 50_000
	}
	return l
}

// Stats is what is known of an archive.
type Stats struct {
	Digest   string // "sha256:<hex>" of the uncompressed tar
	Files    int
	Packed   int64
	Unpacked int64
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Folder is where the blob store keeps sources.
const Folder = "sources"

var projectForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// BlobName is where the blob store keeps the source with the digest that a project has uploaded. Each project has its own: that
// another has uploaded the same is no reason to have it.
func BlobName(project, digest string) (string, error) {
	if !projectForm.MatchString(project) {
		return "", fault.New(fault.Invalid, "%q is not the name of a project", project)
	}
	if !digestForm.MatchString(digest) {
		return "", fault.New(fault.Invalid, "%q is not a digest of the form sha256:<64 hex digits>", digest)
	}
	return Folder + "/" + project + "/" + digest[len("sha256:"):] + ".tar.gz", nil
}

// DigestOf is the digest of the source that lies under the name, whosever it is.
func DigestOf(blobName string) string {
	return "sha256:" + strings.TrimSuffix(path.Base(blobName), ".tar.gz")
}

// bounded counts what goes through a reader and fails at the first byte over the limit, so that no more than that byte
// is ever read for nothing.
type bounded struct {
	r     io.Reader
	n     int64
	limit int64
	over  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.n > b.limit {
		return 0, b.over
	}
	if room := b.limit + 1 - b.n; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	if b.n > b.limit {
		return n - 1, b.over
	}
	return n, err
}

// contextReader ends with the context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

func tooPacked(l Limits) error {
	return fault.New(fault.Invalid, "the source is larger than %s when packed", size(l.Packed))
}

func tooLarge(l Limits) error {
	return fault.New(fault.Invalid, "the source is larger than %s", size(l.Unpacked))
}

func tooMany(l Limits) error {
	return fault.New(fault.Invalid, "the source has more than %d files and folders", l.Files)
}

// size writes bytes for a reader.
func size(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.3g %s", f, units[i])
}
