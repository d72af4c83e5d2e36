package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// ReleaseRequest asks for a new release: of an uploaded source, or of an image that exists. What it leaves out stays as it is.
type ReleaseRequest struct {
	Source    string            `json:"source,omitempty"`
	Package   string            `json:"package,omitempty"`
	Build     Build             `json:"build,omitzero"`
	Include   []string          `json:"include,omitempty"`
	Exclude   []string          `json:"exclude,omitempty"`
	Module    string            `json:"module,omitempty"`
	Image     string            `json:"image,omitempty"`
	Access    release.Access    `json:"access,omitempty"`
	Preflight release.Access    `json:"preflight,omitempty"`
	Port      int               `json:"port,omitempty"`
	Protocol  release.Protocol  `json:"protocol,omitempty"`
	Replicas  int               `json:"replicas,omitempty"`
	Health    string            `json:"health,omitempty"`
	Start     release.Duration  `json:"start,omitempty"`
	Timeout   release.Duration  `json:"timeout,omitempty"`
	MaxBody   int64             `json:"max_body,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	Args      []string          `json:"args,omitempty"`
	File      *release.InFile   `json:"file,omitempty"`
	Reset     []string          `json:"reset,omitempty"`
}

// Build is how a source is built.
type Build struct {
	Tags []string          `json:"tags,omitempty"`
	Set  map[string]string `json:"set,omitempty"`
}

// Ordered is the answer to a command about a service: the release it made, if any, and where to follow it.
type Ordered struct {
	Service string `json:"service"`
	Project string `json:"project"`
	Release int    `json:"release,omitempty"`
	ID      string `json:"id"`
	URL     string `json:"url"`
}

// mostServices bounds a list that is read to its end.
const mostServices = 10_000

func servicePath(name string) string { return "/v1/services/" + url.PathEscape(name) }

// Services lists all services of the project.
func (c *Client) Services(ctx context.Context) ([]release.Service, error) {
	return pages[release.Service](ctx, c, "/v1/services", c.inProject(), mostServices)
}

// Service shows one service.
func (c *Client) Service(ctx context.Context, name string) (release.Service, error) {
	var s release.Service
	return s, c.look(ctx, servicePath(name), c.inProject(), &s)
}

// ServiceProgress tells where the service's deploy is.
func (c *Client) ServiceProgress(ctx context.Context, name string) (release.Progress, error) {
	var p release.Progress
	return p, c.look(ctx, servicePath(name)+"/progress", c.inProject(), &p)
}

// Releases lists the newest releases of a service, at most so many.
func (c *Client) Releases(ctx context.Context, name string, most int) ([]release.Release, error) {
	return pages[release.Release](ctx, c, servicePath(name)+"/releases", c.inProject(), most)
}

// Release shows one release.
func (c *Client) Release(ctx context.Context, name string, number int) (release.Release, error) {
	var r release.Release
	return r, c.look(ctx, fmt.Sprintf("%s/releases/%d", servicePath(name), number), c.inProject(), &r)
}

// CreateRelease brings out a new release.
func (c *Client) CreateRelease(ctx context.Context, name string, in ReleaseRequest) (Ordered, error) {
	var o Ordered
	return o, c.change(ctx, http.MethodPost, servicePath(name)+"/releases", c.inProject(), in, &o)
}

// Rollback brings out an earlier release again; the one before the current for 0.
func (c *Client) Rollback(ctx context.Context, name string, to int) (Ordered, error) {
	var o Ordered
	body := struct {
		To int `json:"to,omitempty"`
	}{to}
	return o, c.change(ctx, http.MethodPost, servicePath(name)+"/rollback", c.inProject(), body, &o)
}

// Kill orders the end of a service.
func (c *Client) Kill(ctx context.Context, name string) (Ordered, error) {
	var o Ordered
	return o, c.change(ctx, http.MethodDelete, servicePath(name), c.inProject(), nil, &o)
}

// Builders lists what sources are built with. An API that does not know says NotFound.
func (c *Client) Builders(ctx context.Context) ([]release.Builder, error) {
	return pages[release.Builder](ctx, c, "/v1/builders", c.inProject(), len(release.BuilderArchs))
}

// uploadLimit bounds one attempt to upload a source.
const uploadLimit = 15 * time.Minute

// PutSource uploads the packed source in file under its digest, for the project. The body waits until the API asks for it, so that
// a refusal costs nothing.
func (c *Client) PutSource(ctx context.Context, digest, file string) error {
	r := request{method: http.MethodPut, path: "/v1/sources/" + url.PathEscape(digest), query: c.inProject(), within: uploadLimit,
		header: http.Header{"Content-Type": {"application/gzip"}, "Expect": {"100-continue"}},
		body: func() (io.ReadCloser, int64, error) {
			f, err := os.Open(file)
			if err != nil {
				return nil, 0, fmt.Errorf("read the packed source: %w", err)
			}
			info, err := f.Stat()
			if err != nil {
				return nil, 0, errors.Join(fmt.Errorf("read the packed source: %w", err), f.Close())
			}
			return f, info.Size(), nil
		}}
	var answer struct {
		Digest string `json:"digest"`
	}
	if err := c.do(ctx, r, c.decode(&answer)); err != nil {
		return err
	}
	if answer.Digest != digest {
		return fault.New(fault.Failed, "the API keeps the source as %q, not as %q", answer.Digest, digest)
	}
	return nil
}

// BuildLog copies the log of a release's build to w. With follow it goes on until the build ends, also when the
// connection breaks in between. A release without a log yet is NotFound.
func (c *Client) BuildLog(ctx context.Context, name string, number int, follow bool, w io.Writer) error {
	query := c.inProject()
	if follow {
		query.Set("follow", "true")
	}
	r := request{method: http.MethodGet, path: fmt.Sprintf("%s/releases/%d/log", servicePath(name), number), query: query, stream: true}
	if !follow {
		r.within = lookLimit
	}
	log := resumed{w: w}
	return c.resume(ctx, func() (bool, error) {
		before := log.shown
		log.skip = log.shown
		err := c.do(ctx, r, func(resp *http.Response) error {
			_, err := io.Copy(&log, resp.Body)
			if err != nil && log.failed == nil {
				return &brokenError{err}
			}
			return err
		})
		return log.shown > before, err
	})
}

// resumed writes a text that may be begun again from its start: what has been written is passed over.
type resumed struct {
	w           io.Writer
	shown, skip int64
	failed      error
}

func (r *resumed) Write(p []byte) (int, error) {
	n := len(p)
	if passed := min(int64(n), r.skip); passed > 0 {
		r.skip -= passed
		p = p[passed:]
	}
	written, err := r.w.Write(p)
	r.shown += int64(written)
	r.failed = err
	return n, err
}

// resume runs a stream again when it breaks off, until it ends by itself or nothing has moved for the client's patience.
func (c *Client) resume(ctx context.Context, stream func() (moved bool, err error)) error {
	last := time.Now()
	for attempt := 1; ; attempt++ {
		moved, err := stream()
		var broken *brokenError
		if err == nil || ctx.Err() != nil || !errors.As(err, &broken) {
			return err
		}
		if moved {
			last, attempt = time.Now(), 1
		}
		m := miss{err: err}
		pause, left := m.pause(attempt), or(c.Patience, Patience)-time.Since(last)
		if left < pause {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}
