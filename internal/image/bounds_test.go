package image

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/m3o/platform/internal/fault"
)

// hostile is a registry that sends what it likes.
type hostile struct {
	*http.ServeMux
	host string
	sent atomic.Int64 // bytes of answers
}

func newHostile(t *testing.T) *hostile {
	h := &hostile{ServeMux: http.NewServeMux()}
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	h.host = strings.TrimPrefix(server.URL, "http://")
	h.HandleFunc("GET /v2/{$}", func(http.ResponseWriter, *http.Request) {})
	return h
}

// endless sends until nobody listens, or it has sent more than any bound.
func (h *hostile) endless(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		h.pour(w, 700<<20)
	}
}

func (h *hostile) pour(w io.Writer, total int64) {
	chunk := []byte(strings.Repeat(" ", 64<<10))
	for n := int64(0); n < total; {
		m, err := w.Write(chunk)
		h.sent.Add(int64(m))
		if n += int64(m); err != nil {
			return
		}
	}
}

// serves answers a path with bytes and returns their descriptor.
func (h *hostile) serves(path, kind string, body []byte) v1.Descriptor {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(body))
	h.HandleFunc("GET "+strings.ReplaceAll(path, "DIGEST", digest), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body)
	})
	hash, err := v1.NewHash(digest)
	must(err)
	return v1.Descriptor{MediaType: types.MediaType(kind), Size: int64(len(body)), Digest: hash}
}

func (h *hostile) manifest(m any) {
	body, err := json.Marshal(m)
	must(err)
	kind := types.OCIManifestSchema1
	if _, ok := m.(*v1.IndexManifest); ok {
		kind = types.OCIImageIndex
	}
	h.serves("/v2/a/manifests/v1", string(kind), body)
}

// amd64 is a manifest whose config is what a good image has.
func (h *hostile) amd64(layers ...int64) *v1.Manifest {
	config := h.serves("/v2/a/blobs/DIGEST", string(types.OCIConfigJSON), []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`))
	m := &v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config}
	for _, size := range layers {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("a", 64)}})
	}
	return m
}

func TestWhatARegistrySendsIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*hostile)
		want string
	}{
		"a config without end": {func(h *hostile) {
			m := h.amd64()
			m.Config.Digest.Hex = strings.Repeat("b", 64)
			h.HandleFunc("GET /v2/a/blobs/"+m.Config.Digest.String(), h.endless("application/json"))
			h.manifest(m)
		}, "than the 78 bytes that the image's manifest declares"},
		"a config that is declared to be large": {func(h *hostile) {
			m := h.amd64()
			m.Config.Size = 700 << 20
			h.manifest(m)
		}, "its config is declared to have 734003200 bytes, and may have 1 to 4194304"},
		"a config of no size": {func(h *hostile) {
			m := h.amd64()
			m.Config.Size = -1
			h.manifest(m)
		}, "its config is declared to have -1 bytes"},
		"a config that goes on behind its end": {func(h *hostile) {
			m := h.amd64()
			good := `{"os":"linux","architecture":"amd64"}`
			m.Config = h.serves("/v2/b/blobs/DIGEST", string(types.OCIConfigJSON), []byte(good))
			h.HandleFunc("GET /v2/a/blobs/"+m.Config.Digest.String(), func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, good)
				_ = http.NewResponseController(w).Flush()
				h.pour(w, 700<<20)
			})
			h.manifest(m)
		}, "than the 37 bytes that the image's manifest declares"},
		"a config that is sent elsewhere": {func(h *hostile) {
			m := h.amd64()
			m.Config.Digest.Hex = strings.Repeat("c", 64)
			h.HandleFunc("GET /v2/a/blobs/"+m.Config.Digest.String(), http.RedirectHandler("/store/blob", http.StatusTemporaryRedirect).ServeHTTP)
			h.HandleFunc("GET /store/blob", h.endless("application/octet-stream"))
			h.manifest(m)
		}, "than the 78 bytes that the image's manifest declares"},
		"a manifest without end": {func(h *hostile) {
			h.HandleFunc("GET /v2/a/manifests/v1", h.endless(string(types.OCIManifestSchema1)))
		}, "sends a manifest of more than 4194304 bytes"},
		"a manifest that says how large it is": {func(h *hostile) {
			h.HandleFunc("GET /v2/a/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "734003200")
				h.endless(string(types.OCIManifestSchema1))(w, r)
			})
		}, "sends a manifest of more than 4194304 bytes"},
		"an index whose image has a large manifest": {func(h *hostile) {
			h.manifest(&v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{MediaType: types.OCIManifestSchema1,
				Size: 700 << 20, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("d", 64)}, Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}}})
		}, "the manifest for linux/amd64 is declared to have 734003200 bytes"},
		"an index of indexes": {func(h *hostile) {
			h.manifest(&v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{MediaType: types.OCIImageIndex,
				Size: 100, Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("d", 64)}, Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}}})
		}, "there is no image for linux/amd64"},
		"a token without end": {func(h *hostile) {
			h.HandleFunc("GET /v2/a/manifests/v1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
			h.HandleFunc("GET /v2/{other...}", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="x"`, h.host))
				w.WriteHeader(http.StatusUnauthorized)
			})
			h.HandleFunc("/token", h.endless("application/json"))
		}, ""},
		"a refusal without end": {func(h *hostile) {
			h.HandleFunc("GET /v2/a/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				h.pour(w, 700<<20)
			})
		}, "it is private, or not there"},
		"many layers":                  {func(h *hostile) { h.manifest(h.amd64(make([]int64, 128)...)) }, "it has 128 layers, more than 127"},
		"a large layer":                {func(h *hostile) { h.manifest(h.amd64(1, 9<<30)) }, "its layer 2 is declared to have 9663676416 bytes, and may have 8589934592"},
		"a layer of less than nothing": {func(h *hostile) { h.manifest(h.amd64(-1)) }, "its layer 1 is declared to have -1 bytes"},
		"much in all":                  {func(h *hostile) { h.manifest(h.amd64(7<<30, 7<<30, 7<<30)) }, "its layers are declared to have 22548578304 bytes, more than 17179869184"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			c.set(h)
			_, err := Client{}.Resolve(t.Context(), h.host+"/a:v1", "amd64")
			if err == nil || !strings.Contains(fault.Message(err), c.want) || c.want != "" && !strings.Contains(fault.Message(err), h.host+"/a:v1") {
				t.Errorf("want %q, got %v", c.want, err)
			}
			if sent := h.sent.Load(); sent > 32<<20 { // what lies in buffers on the way is sent, too
				t.Errorf("%d bytes of it were taken", sent)
			}
		})
	}
}

func TestAnImageWithinTheBoundsIsFound(t *testing.T) {
	h := newHostile(t)
	m := h.amd64(8<<30, 8<<30)
	h.manifest(m)
	if got, err := (Client{}).Resolve(t.Context(), h.host+"/a:v1", "amd64"); err != nil || !strings.HasPrefix(got, h.host+"/a@sha256:") {
		t.Errorf("%s, %v", got, err)
	}
}
