package image

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// collectable is a registry and its address.
func collectable(t *testing.T) (*Registry, string) {
	t.Helper()
	r, err := NewRegistry(t.TempDir(), RegistryConfig{})
	must(err)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, strings.TrimPrefix(server.URL, "http://")
}

func pushed(t *testing.T, repository, tag string, img v1.Image) (digest string) {
	t.Helper()
	ref, err := Client{}.Push(t.Context(), repository, tag, img)
	must(err)
	return ref[strings.Index(ref, "@")+1:]
}

func TestWhatNoReleaseNamesIsCollected(t *testing.T) {
	r, host := collectable(t)
	img := randomImage(t)
	layers, err := randomImage(t).Layers()
	must(err)
	sharing, err := mutate.AppendLayers(img, layers[0]) // needs all that the first one has
	must(err)
	kept := pushed(t, host+"/default/hello", "build-b", sharing)
	pushed(t, host+"/default/hello", "build-a", img)
	gone := pushed(t, host+"/default/other", "build-c", randomImage(t))
	pushed(t, host+"/default/other", "v1", randomImage(t))
	both := randomImage(t)
	pushed(t, host+"/default/both", "build-d", both)
	pushed(t, host+"/default/both", "latest", both)
	before, _ := r.Used()

	if done, err := r.Collect(map[string]bool{kept: true}, time.Now().Add(-time.Hour)); err != nil || done != (Collected{}) {
		t.Errorf("of what is new, %+v was collected, %v", done, err)
	}
	done, err := r.Collect(map[string]bool{kept: true}, time.Now().Add(time.Hour))
	if err != nil || done.Images != 2 || done.Blobs != 5 { // three layers and a config of the one, the config of the other
		t.Errorf("Collect = %+v, %v", done, err)
	}
	if after, _ := r.Used(); after != before-done.Bytes {
		t.Errorf("%d bytes are in use, %d were, %d were collected", after, before, done.Bytes)
	}
	pull(t, host+"/default/hello@"+kept)
	pull(t, host+"/default/other:v1")
	pull(t, host+"/default/both:build-d")
	for _, path := range []string{"/v2/default/other/manifests/" + gone, "/v2/default/other/manifests/build-c", "/v2/default/hello/manifests/build-a"} {
		if got := request(t, "GET", "http://"+host+path, "", nil).StatusCode; got != http.StatusNotFound {
			t.Errorf("%s = %d", path, got)
		}
	}
	if again := pushed(t, host+"/default/hello", "build-a", img); again != digest(t, img) {
		t.Errorf("pushed again as %s", again)
	}
	pull(t, host+"/default/hello:build-a")
}

// A push that was told that a blob is there, and a build that was told that its image is, may rely on it.
func TestWhatWasAskedForIsNotCollected(t *testing.T) {
	r, host := collectable(t)
	img := randomImage(t)
	d := pushed(t, host+"/default/hello", "build-a", img)
	old := time.Now().Add(-48 * time.Hour)
	manifest, err := img.Manifest()
	must(err)
	blob := manifest.Layers[0].Digest.String()
	for _, name := range []string{r.manifestPath("default/hello", d), r.blobPath(blob)} {
		must(os.Chtimes(name, old, old))
	}
	if _, ok, err := (Client{}).Has(t.Context(), host+"/default/hello:build-a"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	request(t, "HEAD", "http://"+host+"/v2/default/hello/blobs/"+blob, "", nil)
	if done, err := r.Collect(nil, time.Now().Add(-time.Hour)); err != nil || done != (Collected{}) {
		t.Errorf("Collect = %+v, %v", done, err)
	}
	must(os.Chtimes(r.manifestPath("default/hello", d), old, old))
	if done, err := r.Collect(nil, time.Now().Add(-time.Hour)); err != nil || done != (Collected{Images: 1}) {
		t.Errorf("Collect = %+v, %v", done, err)
	}
}

func TestWhatCannotBeReadStopsACollection(t *testing.T) {
	r, host := collectable(t)
	d := pushed(t, host+"/default/hello", "v1", randomImage(t))
	must(os.WriteFile(r.manifestPath("default/hello", d), []byte("application/vnd.oci.image.manifest.v1+json\n{"), 0o600))
	if done, err := r.Collect(nil, time.Now().Add(time.Hour)); err == nil || done.Blobs != 0 {
		t.Errorf("Collect = %+v, %v", done, err)
	}
}
