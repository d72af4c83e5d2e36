package image

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/m3o/platform/internal/fault"
)

// What a registry may send and declare. References are strangers', and so are the registries behind them: what has no bound
// is read into this process's memory.
const (
	maxManifest = 4 << 20  // one manifest or index
	maxConfig   = 4 << 20  // one image's config
	maxAnswer   = 1 << 20  // everything else: tokens, greetings, lists, answers to uploads
	maxRefusal  = 64 << 10 // what a failure says; the rest is cut off
	maxHeaders  = 256 << 10
	maxLayers   = 127
	maxLayer    = 8 << 30  // one layer, compressed
	maxImage    = 16 << 30 // all layers of an image, compressed
)

// bounded is a transport that reads no more of a registry's answers than they may have. A blob has the size that its
// manifest declares and not a byte more. One serves one operation on one image.
type bounded struct {
	next     http.RoundTripper
	mu       sync.Mutex
	declared map[string]int64 // bytes of blobs by digest
}

// declare notes the size of a blob that is going to be fetched.
func (b *bounded) declare(d v1.Descriptor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.declared == nil {
		b.declared = map[string]int64{}
	}
	b.declared[d.Digest.String()] = d.Size
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil || resp.Body == nil || req.Method == http.MethodHead {
		return resp, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxRefusal), resp.Body}
		return resp, nil
	}
	limit, over := b.limit(asked(req))
	if resp.ContentLength > limit {
		return nil, errors.Join(over, resp.Body.Close())
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: limit, over: over}
	return resp, nil
}

var (
	manifestPath = regexp.MustCompile(`^/v2/.+/manifests/[^/]+$`)
	blobPath     = regexp.MustCompile(`^/v2/.+/blobs/([a-z0-9]+:[0-9a-f]+)$`)
)

// limit is how large the answer to a request may be, and the error when it is larger.
func (b *bounded) limit(req *http.Request) (int64, error) {
	registry, path := req.URL.Host, req.URL.Path
	if manifestPath.MatchString(path) {
		return maxManifest, fault.New(fault.Invalid, "the registry %s sends a manifest of more than %d bytes", registry, int64(maxManifest))
	}
	if blob := blobPath.FindStringSubmatch(path); blob != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if size, ok := b.declared[blob[1]]; ok {
			return size, fault.New(fault.Invalid, "the registry %s sends more of %s than the %d bytes that the image's manifest declares", registry, blob[1], size)
		}
		return maxConfig, fault.New(fault.Invalid, "the registry %s sends more than %d bytes of %s, whose size no manifest declares", registry, int64(maxConfig), blob[1])
	}
	return maxAnswer, fault.New(fault.Invalid, "the registry %s sends an answer of more than %d bytes", registry, int64(maxAnswer))
}

// asked is the request that redirects began with: it says what is asked for.
func asked(req *http.Request) *http.Request {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req
}

// boundedBody fails as soon as there is more than may be, also for a reader that stops at the limit by itself.
type boundedBody struct {
	io.ReadCloser
	left int64
	over error
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, b.left = int(b.left), 0
		return n, b.over
	}
	if b.left -= int64(n); b.left == 0 && n > 0 && err == nil {
		err = b.end()
	}
	return n, err
}

// end looks for a byte behind the last one that may be.
func (b *boundedBody) end() error {
	var one [1]byte
	n, err := io.ReadFull(b.ReadCloser, one[:])
	if n > 0 {
		return b.over
	}
	return err
}

// checkDeclared refuses an image whose manifest declares more than we take, before a byte of it is fetched.
func checkDeclared(m *v1.Manifest) error {
	if m.Config.Size <= 0 || m.Config.Size > maxConfig {
		return fault.New(fault.Invalid, "its config is declared to have %d bytes, and may have 1 to %d", m.Config.Size, int64(maxConfig))
	}
	if len(m.Layers) > maxLayers {
		return fault.New(fault.Invalid, "it has %d layers, more than %d", len(m.Layers), maxLayers)
	}
	var total int64
	for i, l := range m.Layers {
		if l.Size < 0 || l.Size > maxLayer {
			return fault.New(fault.Invalid, "its layer %d is declared to have %d bytes, and may have %d", i+1, l.Size, int64(maxLayer))
		}
		total += l.Size
	}
	if total > maxImage {
		return fault.New(fault.Invalid, "its layers are declared to have %d bytes, more than %d", total, int64(maxImage))
	}
	return nil
}
