package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/m3o/platform/internal/fault"
)

// A test binary started with this first argument serves the registry in the second until it is killed.
const serveArg = "serve-registry"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == serveArg {
		r, err := NewRegistry(os.Args[2], RegistryConfig{})
		must(err)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		fmt.Println(ln.Addr())
		must(http.Serve(ln, r))
	}
	os.Exit(m.Run())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func serve(t *testing.T, dir string, config RegistryConfig) string {
	t.Helper()
	r, err := NewRegistry(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(20_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func pull(t *testing.T, reference string) v1.Image {
	t.Helper()
	img, err := remote.Image(mustParse(reference), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	assertWhole(t, img)
	return img
}

// assertWhole reads the whole image; the library compares every part with its digest meanwhile.
func assertWhole(t *testing.T, img v1.Image) {
	t.Helper()
	if _, err := img.ConfigFile(); err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		plain := sha256.New()
		if _, err := io.Copy(plain, r); err != nil {
			t.Fatal(err)
		}
		if want, err := l.DiffID(); err != nil || want != sum(plain) {
			t.Fatalf("a layer has the content %v, want %v: %v", sum(plain), want, err)
		}
		r.Close()
	}
}

func mustParse(reference string) name.Reference {
	ref, err := name.ParseReference(reference)
	must(err)
	return ref
}

func digest(t *testing.T, img partial.WithRawManifest) string {
	t.Helper()
	d, err := partial.Descriptor(img.(partial.Describable))
	if err != nil {
		t.Fatal(err)
	}
	return d.Digest.String()
}

func TestImagesComeBackAsTheyWerePushed(t *testing.T) {
	dir := t.TempDir()
	host := serve(t, dir, RegistryConfig{})
	img := randomImage(t)
	ref, err := Client{}.Push(t.Context(), host+"/default/hello", "v1", img)
	if err != nil {
		t.Fatal(err)
	}
	if want := host + "/default/hello@" + digest(t, img); ref != want {
		t.Errorf("reference = %s, want %s", ref, want)
	}
	for _, reference := range []string{ref, host + "/default/hello:v1"} {
		if got := digest(t, pull(t, reference)); got != digest(t, img) {
			t.Errorf("%s: digest = %s", reference, got)
		}
	}
	// Another registry over the same folder: what a restart sees.
	again := serve(t, dir, RegistryConfig{})
	pull(t, again+"/default/hello:v1")
}

func TestAnIndexNeedsItsImages(t *testing.T) {
	host := serve(t, t.TempDir(), RegistryConfig{})
	index, err := random.Index(1000, 2, 2)
	must(err)
	ref := mustParse(host + "/a/index:v1")
	must(remote.WriteIndex(ref, index, remote.WithContext(t.Context())))
	got, err := remote.Index(ref)
	must(err)
	parts, err := got.IndexManifest()
	must(err)
	for _, part := range parts.Manifests {
		img, err := got.Image(part.Digest)
		must(err)
		assertWhole(t, img)
	}
	raw, err := index.RawManifest()
	must(err)
	mediaType, err := index.MediaType()
	must(err)
	answer := request(t, "PUT", "http://"+host+"/v2/other/manifests/v1", string(mediaType), bytes.NewReader(raw))
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("an index without its images: %s", answer.Status)
	}
}

func TestTagsMoveAndListsArePaged(t *testing.T) {
	host := serve(t, t.TempDir(), RegistryConfig{})
	one, two := randomImage(t), randomImage(t)
	for tag, img := range map[string]v1.Image{"a": one, "b": two, "c": one} {
		_, err := Client{}.Push(t.Context(), host+"/x", tag, img)
		must(err)
	}
	_, err := Client{}.Push(t.Context(), host+"/x", "a", two)
	must(err)
	if got := digest(t, pull(t, host+"/x:a")); got != digest(t, two) {
		t.Error("the tag did not move")
	}
	pull(t, host+"/x@"+digest(t, one))
	repository, err := name.NewRepository(host + "/x")
	must(err)
	tags, err := remote.List(repository, remote.WithPageSize(2))
	if err != nil || !slices.Equal(tags, []string{"a", "b", "c"}) {
		t.Errorf("tags = %v, %v", tags, err)
	}
	must(remote.Delete(mustParse(host + "/x@" + digest(t, two))))
	tags, err = remote.List(repository)
	if err != nil || !slices.Equal(tags, []string{"c"}) {
		t.Errorf("tags after deletion = %v, %v", tags, err)
	}
	all, err := remote.Catalog(t.Context(), repository.Registry)
	if err != nil || !slices.Equal(all, []string{"x"}) {
		t.Errorf("catalog = %v, %v", all, err)
	}
}

func TestManyPushesAtOnce(t *testing.T) {
	host := serve(t, t.TempDir(), RegistryConfig{Uploads: 200})
	shared := randomImage(t)
	var wg sync.WaitGroup
	for i := range 20 {
		own := randomImage(t)
		wg.Go(func() {
			for _, img := range []v1.Image{own, shared} {
				if _, err := (Client{}).Push(context.Background(), fmt.Sprintf("%s/p%d/app", host, i%4), fmt.Sprintf("t%d", i), img); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		if got := digest(t, pull(t, fmt.Sprintf("%s/p%d/app:t%d", host, i%4, i))); got != digest(t, shared) {
			t.Errorf("tag %d = %s", i, got)
		}
	}
}

// Pushes go on while the registry is killed again and again: every push that was answered is there afterwards.
func TestWhatWasAnsweredSurvivesKills(t *testing.T) {
	dir := t.TempDir()
	pushed := map[string]string{}
	for round := range 8 {
		cmd := exec.Command(os.Args[0], serveArg, dir)
		out, err := cmd.StdoutPipe()
		must(err)
		must(cmd.Start())
		var host string
		_, err = fmt.Fscanln(out, &host)
		must(err)
		for i := 0; i < 6; i++ {
			img := randomImage(t)
			if i == 5-round%3 {
				go cmd.Process.Kill() // in the middle of the push
			}
			tag := fmt.Sprintf("r%d-%d", round, i)
			if _, err := (Client{}).Push(t.Context(), host+"/app", tag, img); err == nil {
				pushed[tag] = digest(t, img)
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	host := serve(t, dir, RegistryConfig{})
	if len(pushed) < 20 {
		t.Errorf("only %d pushes were answered", len(pushed))
	}
	for tag, want := range pushed {
		if got := digest(t, pull(t, host+"/app:"+tag)); got != want {
			t.Errorf("%s = %s, want %s", tag, got, want)
		}
	}
	left, _ := os.ReadDir(filepath.Join(dir, "uploads"))
	if len(left) != 0 {
		t.Errorf("%d uploads are left", len(left))
	}
}

func request(t *testing.T, method, url, mediaType string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	must(err)
	req.Header.Set("Content-Type", mediaType)
	answer, err := http.DefaultTransport.RoundTrip(req)
	must(err)
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func TestBadRequestsAreRefused(t *testing.T) {
	dir := t.TempDir()
	host := "http://" + serve(t, dir, RegistryConfig{Blob: 1000, Manifest: 1000, Uploads: 3})
	start := func() string {
		return host + request(t, "POST", host+"/v2/a/blobs/uploads/", "", nil).Header.Get("Location")
	}
	const wrong = "?digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	image := "application/vnd.oci.image.manifest.v1+json"
	for _, c := range []struct {
		method, url, mediaType, body string
		want                         int
	}{
		{"GET", host + "/v2/", "", "", 200},
		{"GET", host + "/v2/a/../../../etc/passwd", "", "", 404},
		{"GET", host + "/v2/a/blobs/sha256:../../../../etc/passwd", "", "", 404},
		{"GET", host + "/v2/..%2f..%2fx/manifests/latest", "", "", 404},
		{"GET", host + "/v2/UPPER/manifests/latest", "", "", 404},
		{"GET", host + "/v2/" + strings.Repeat("a", 300) + "/manifests/latest", "", "", 404},
		{"GET", host + "/v2/a/manifests/latest", "", "", 404},
		{"POST", host + "/v2/a/manifests/latest", "", "", 405},
		{"PUT", start() + wrong, "", "content", 400},
		{"PUT", start(), "", "content", 400},
		{"PATCH", start(), "", strings.Repeat("x", 1001), 413},
		{"PATCH", host + "/v2/a/blobs/uploads/ABCDEFGHIJKLMNOPQRSTUVWXYZ", "", "x", 404},
		{"PUT", host + "/v2/a/manifests/v1", image, strings.Repeat(" ", 1001), 413},
		{"PUT", host + "/v2/a/manifests/v1", image, "{", 400},
		{"PUT", host + "/v2/a/manifests/v1", "text/plain", "{}", 415},
		{"PUT", host + "/v2/a/manifests/v1", image, `{"schemaVersion":2,"config":{"digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}}`, 404},
		{"PUT", host + "/v2/a/manifests/sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", image, "{}", 400},
	} {
		if got := request(t, c.method, c.url, c.mediaType, strings.NewReader(c.body)).StatusCode; got != c.want {
			t.Errorf("%s %.120s = %d, want %d", c.method, c.url, got, c.want)
		}
	}
	start()
	start()
	if got := request(t, "POST", host+"/v2/a/blobs/uploads/", "", nil).StatusCode; got != http.StatusTooManyRequests {
		t.Errorf("one upload too many = %d", got)
	}
	if blobs, _ := os.ReadDir(filepath.Join(dir, "blobs/sha256")); len(blobs) != 0 {
		t.Errorf("%d blobs were kept", len(blobs))
	}
}

func TestCallersFromElsewhereAreRefused(t *testing.T) {
	alone, err := NewRegistry(t.TempDir(), RegistryConfig{})
	must(err)
	beside, err := NewRegistry(t.TempDir(), RegistryConfig{Password: "open sesame", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	must(err)
	for address, want := range map[string][2]int{"127.0.0.1:1": {200, 200}, "127.9.9.9:1": {200, 200}, "[::1]:1": {200, 200}, "10.0.0.1:1": {403, 200},
		"[::ffff:10.0.0.1]:1": {403, 200}, "192.0.2.1:1": {403, 403}, "[2001:db8::1]:1": {403, 403}, "": {403, 403}} {
		if got := [2]int{from(alone, address, "GET", "/v2/"), from(beside, address, "GET", "/v2/")}; got != want {
			t.Errorf("from %q = %d, want %d", address, got, want)
		}
	}
}

// from is the status that a caller at the address gets, who knows no password.
func from(r *Registry, address, method, path string) int {
	req := httptest.NewRequest(method, path, nil)
	req.RemoteAddr = address
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Code
}

// Other machines read what they know the digest of, and write nothing.
func TestOtherMachinesReadAlone(t *testing.T) {
	if _, err := NewRegistry(t.TempDir(), RegistryConfig{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}); err == nil {
		t.Error("a registry without a password answers other machines")
	}
	dir := t.TempDir()
	config := RegistryConfig{Password: "open sesame", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	host, img := serve(t, dir, config), randomImage(t)
	_, err := Client{Own: host, Password: config.Password}.Push(t.Context(), host+"/a", "v1", img)
	must(err)
	r, err := NewRegistry(dir, config)
	must(err)
	manifest := "/v2/a/manifests/" + digest(t, img)
	for call, want := range map[[2]string]int{{"GET", manifest}: 200, {"GET", "/v2/a/manifests/v1"}: 401, {"PUT", manifest}: 401, {"DELETE", manifest}: 401,
		{"POST", "/v2/a/blobs/uploads/"}: 401, {"GET", "/v2/_catalog"}: 401} {
		if got := from(r, "10.1.2.3:4", call[0], call[1]); got != want {
			t.Errorf("%s %s = %d, want %d", call[0], call[1], got, want)
		}
	}
}

// Our own registry may speak plain HTTP at any address; no other may.
func TestPlainHTTPIsForOurOwnRegistry(t *testing.T) {
	c := Client{Own: "192.0.2.2:5001", HTTP: true}
	for reference, want := range map[string]string{"192.0.2.2:5001/a": "http", "192.0.2.2:5002/a": "https", "127.0.0.1:5001/a": "http", "registry.example/a": "https"} {
		ref, err := c.parse(reference)
		if err != nil || ref.Context().Scheme() != want {
			t.Errorf("%s: %s, %v", reference, ref.Context().Scheme(), err)
		}
	}
	if ref, err := (Client{Own: "192.0.2.2:5001"}).parse("192.0.2.2:5001/a"); err != nil || ref.Context().Scheme() != "https" {
		t.Errorf("not asked for: %s, %v", ref.Context().Scheme(), err)
	}
}

func TestTheTotalIsLimited(t *testing.T) {
	dir := t.TempDir()
	host := serve(t, dir, RegistryConfig{Total: 100_000})
	img, other := randomImage(t), randomImage(t)
	_, err := Client{}.Push(t.Context(), host+"/a", "v1", img)
	must(err)
	if _, err := (Client{}).Push(t.Context(), host+"/b", "v1", other); !fault.Is(err, fault.Full) || !strings.Contains(fault.Message(err), "the registry is full: ") || !strings.Contains(fault.Message(err), "in use of 100000") {
		t.Errorf("Push = %v", err)
	}
	if _, err := (Client{}).Push(t.Context(), host+"/a/c", "v1", img); err != nil {
		t.Errorf("what is there already takes no room: %v", err)
	}
	again := serve(t, dir, RegistryConfig{Total: 100_000})
	if _, err := (Client{}).Push(t.Context(), again+"/b", "v1", other); err == nil {
		t.Error("after a restart the total is forgotten")
	}
}

func TestABlobIsReadInParts(t *testing.T) {
	host := serve(t, t.TempDir(), RegistryConfig{})
	img := randomImage(t)
	_, err := Client{}.Push(t.Context(), host+"/a", "v1", img)
	must(err)
	layers, err := img.Layers()
	must(err)
	d, err := layers[0].Digest()
	must(err)
	rc, err := layers[0].Compressed()
	must(err)
	whole, err := io.ReadAll(rc)
	must(err)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+host+"/v2/a/blobs/"+d.String(), nil)
	must(err)
	req.Header.Set("Range", "bytes=10-19")
	answer, err := http.DefaultClient.Do(req)
	must(err)
	defer answer.Body.Close()
	part, err := io.ReadAll(answer.Body)
	must(err)
	if answer.StatusCode != http.StatusPartialContent || !bytes.Equal(part, whole[10:20]) {
		t.Errorf("%s, %d bytes", answer.Status, len(part))
	}
}
