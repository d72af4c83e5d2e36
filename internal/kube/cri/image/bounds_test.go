package image

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// hostile is a registry that sends what it likes.
type hostile struct {
	*http.ServeMux
	host string
	sent atomic.Int64 // bytes of answers without end
}

func newHostile(t *testing.T) *hostile {
	h := &hostile{ServeMux: http.NewServeMux()}
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	h.host = strings.TrimPrefix(server.URL, "http://")
	h.HandleFunc("GET /v2/{$}", func(http.ResponseWriter, *http.Request) {})
	return h
}

// pour sends until nobody listens, or much more than any bound.
func (h *hostile) pour(w io.Writer) {
	chunk := []byte(strings.Repeat(" ", 64<<10))
	for n := 0; n < 700<<20; n += len(chunk) {
		m, err := w.Write(chunk)
		h.sent.Add(int64(m))
		if err != nil {
			return
		}
	}
}

func hashOf(body []byte) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sha256.Sum256(body))}
}

// blob answers for a blob with its bytes, and then whatever then sends.
func (h *hostile) blob(body string, then func(io.Writer)) v1.Descriptor {
	digest := hashOf([]byte(body))
	h.HandleFunc("GET /v2/a/blobs/"+digest.String(), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		then(w)
	})
	return v1.Descriptor{MediaType: types.OCILayer, Size: int64(len(body)), Digest: digest}
}

func nothing(io.Writer) {}

// image answers for an image with a config and layers.
func (h *hostile) image(config v1.Descriptor, layers ...v1.Descriptor) {
	body, err := json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: layers})
	if err != nil {
		panic(err)
	}
	h.HandleFunc("GET /v2/a/manifests/v1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		_, _ = w.Write(body)
	})
}

func configOf(diffIDs ...string) string {
	ids, _ := json.Marshal(diffIDs)
	return fmt.Sprintf(`{"os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":%s}}`, runtime.GOARCH, ids)
}

// TestANodeReadsNoMoreThanARegistryMaySend: a node's process is all its pods'
// keeper, and a pod names any registry.
func TestANodeReadsNoMoreThanARegistryMaySend(t *testing.T) {
	plain := strings.Repeat("\x00", 1024) // an archive that is empty
	layerOf := func(size int64) v1.Descriptor {
		return v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: hashOf([]byte("x"))}
	}
	for name, c := range map[string]struct {
		set  func(*hostile)
		want string
	}{
		"a config without end": {func(h *hostile) {
			h.image(h.blob(configOf(), h.pour))
		}, "bytes that the image's manifest declares"},
		"a config that is declared to be large": {func(h *hostile) {
			config := h.blob(configOf(), nothing)
			config.Size = 700 << 20
			h.image(config)
		}, "its config is declared to have 734003200 bytes, and may have 1 to 4194304"},
		"a manifest without end": {func(h *hostile) {
			h.HandleFunc("GET /v2/a/manifests/v1", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
				h.pour(w)
			})
		}, "sends a manifest of more than 4194304 bytes"},
		"a layer without end": {func(h *hostile) {
			layer := h.blob(plain, h.pour)
			layer.MediaType = types.OCIUncompressedLayer
			h.image(h.blob(configOf(layer.Digest.String()), nothing), layer)
		}, "than the 1024 bytes that the image's manifest declares"},
		"a large layer": {func(h *hostile) {
			h.image(h.blob(configOf(), nothing), layerOf(9<<30))
		}, "its layer 1 is declared to have 9663676416 bytes, and may have 8589934592"},
		"many layers": {func(h *hostile) {
			h.image(h.blob(configOf(), nothing), slices.Repeat([]v1.Descriptor{layerOf(1)}, 128)...)
		}, "it has 128 layers, more than 127"},
		"a refusal without end": {func(h *hostile) {
			h.HandleFunc("GET /v2/a/manifests/v1", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				h.pour(w)
			})
		}, "access denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t)
			c.set(h)
			s, err := Open(t.TempDir(), nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = s.Pull(t.Context(), h.host+"/a:v1", authn.AuthConfig{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q, got %v", c.want, err)
			}
			if sent := h.sent.Load(); sent > 32<<20 { // what lies in buffers on the way is sent, too
				t.Errorf("%d bytes of it were taken", sent)
			}
		})
	}
}

func TestAnImageOfDeclaredSizesIsPulled(t *testing.T) {
	h := newHostile(t)
	layer := h.blob(strings.Repeat("\x00", 1024), nothing)
	layer.MediaType = types.OCIUncompressedLayer
	h.image(h.blob(configOf(layer.Digest.String()), nothing), layer)
	s, err := Open(t.TempDir(), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), h.host+"/a:v1", authn.AuthConfig{}); err != nil {
		t.Error(err)
	}
}
