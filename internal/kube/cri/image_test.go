package cri_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func (n *node) layers() []string {
	n.Helper()
	entries, err := os.ReadDir(filepath.Join(n.root, "images", "layers"))
	if err != nil {
		n.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != "empty" {
			names = append(names, entry.Name())
		}
	}
	return names
}

func (n *node) imageStatus(ref string) *runtimeapi.Image {
	n.Helper()
	answer, err := n.images.ImageStatus(n.Context(), &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	if err != nil {
		n.Fatal(err)
	}
	return answer.GetImage()
}

func (n *node) removeImage(ref string) {
	n.Helper()
	if _, err := n.images.RemoveImage(n.Context(), &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}}); err != nil {
		n.Fatal(err)
	}
}

func TestImageNames(t *testing.T) {
	n := startNode(t)
	config := v1.Config{Entrypoint: []string{"/bin/probe"}, User: "65532"}
	ref := n.push("app", config, baseLayer(t))
	id := n.pull(ref)
	image := n.imageStatus(ref)
	if image.GetId() != id || !slices.Equal(image.GetRepoTags(), []string{ref}) || len(image.GetRepoDigests()) != 1 || image.GetUid().GetValue() != 65532 {
		t.Fatalf("image: %v", image)
	}
	digest := image.GetRepoDigests()[0]
	for _, name := range []string{id, strings.TrimPrefix(id, "sha256:"), digest, strings.TrimSuffix(ref, ":latest")} {
		if n.imageStatus(name).GetId() != id {
			t.Errorf("the image is not found by %q", name)
		}
	}
	if got := n.pull(digest); got != id {
		t.Errorf("pulled by digest it is %s", got)
	}
	config.User = "ada"
	n.push("app", config, baseLayer(t))
	second := n.pull(ref)
	if second == id || n.imageStatus(ref).GetId() != second || n.imageStatus(ref).GetUsername() != "ada" {
		t.Error("the tag does not name the newer image")
	}
	if old := n.imageStatus(id); old == nil || len(old.GetRepoTags()) != 0 || old.GetRepoDigests()[0] != digest {
		t.Errorf("the older image is %v", old)
	}
	if n.imageStatus("nothing:here") != nil || n.imageStatus("Not A Name") != nil {
		t.Error("an image that is not there has a status")
	}
}

func TestLayersAreSharedAndCollected(t *testing.T) {
	n := startNode(t)
	config := v1.Config{Entrypoint: []string{"/bin/probe"}}
	one := n.pull(n.push("one", config, baseLayer(t), layerOf(t, file{name: "one", body: "1"})))
	two := n.pull(n.push("two", config, baseLayer(t), layerOf(t, file{name: "two", body: "22"})))
	if got := n.layers(); len(got) != 3 {
		t.Fatalf("layers: %v", got)
	}
	info, err := n.images.ImageFsInfo(t.Context(), &runtimeapi.ImageFsInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	used := info.GetImageFilesystems()[0]
	if want := uint64(len(probeProgram(t))); used.GetUsedBytes().GetValue() < want || used.GetUsedBytes().GetValue() > want+10000 || used.GetFsId().GetMountpoint() != n.root || used.GetInodesUsed().GetValue() == 0 {
		t.Errorf("usage: %v", used)
	}
	c := n.pod("user").run("main", two, args("sleep"))
	n.removeImage(one)
	n.removeImage(one)
	if got := n.layers(); len(got) != 2 {
		t.Errorf("layers without the first image: %v", got)
	}
	n.removeImage(two)
	if got := n.layers(); len(got) != 2 {
		t.Errorf("layers of a running container were removed: %v", got)
	}
	if out, _ := c.exec("probe", "read", "/two"); out != "22" {
		t.Errorf("the container reads %q", out)
	}
	if _, err := n.runtime.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: c.pod.id}); err != nil {
		t.Fatal(err)
	}
	n.removeImage(n.pull(n.push("third", config, layerOf(t, file{name: "x"}))))
	if got := n.layers(); len(got) != 0 {
		t.Errorf("layers at the end: %v", got)
	}
}

func TestWhiteouts(t *testing.T) {
	n := startNode(t)
	lower := layerOf(t,
		file{name: "keep/", kind: tar.TypeDir}, file{name: "keep/a", body: "a"}, file{name: "keep/b", body: "b"},
		file{name: "opaque/", kind: tar.TypeDir}, file{name: "opaque/old", body: "old"},
		file{name: "again/", kind: tar.TypeDir}, file{name: "again/old", body: "old"},
		file{name: "swap/", kind: tar.TypeDir}, file{name: "swap/old", body: "old"},
		file{name: "gone/", kind: tar.TypeDir}, file{name: "gone/x", body: "x"},
	)
	upper := layerOf(t,
		file{name: "keep/.wh.a"}, file{name: "keep/c", body: "c"},
		file{name: "opaque/", kind: tar.TypeDir}, file{name: "opaque/new", body: "new"}, file{name: "opaque/.wh..wh..opq"},
		file{name: ".wh.again"}, file{name: "again/", kind: tar.TypeDir}, file{name: "again/new", body: "new"},
		file{name: "swap", body: "a file now"},
		file{name: ".wh.gone"}, file{name: ".wh..wh.plnk"},
	)
	image := n.pull(n.push("whiteouts", v1.Config{Entrypoint: []string{"/bin/probe"}}, lower, baseLayer(t), upper))
	c := n.pod("whiteouts").run("main", image, args("sleep"))
	for dir, want := range map[string]string{"/keep": "b\nc\n", "/opaque": "new\n", "/again": "new\n"} {
		if out, _ := c.exec("probe", "list", dir); out != want {
			t.Errorf("%s has %q", dir, out)
		}
	}
	if out, _ := c.exec("probe", "read", "/swap"); out != "a file now" {
		t.Errorf("/swap: %q", out)
	}
	if out, _ := c.exec("probe", "list", "/"); strings.Contains(out, "gone") || strings.Contains(out, ".wh.") {
		t.Errorf("/ has %q", out)
	}
}

// Whatever an archive says, nothing outside of the layer is touched.
func TestMaliciousLayers(t *testing.T) {
	n := startNode(t)
	outside := n.volume(map[string]string{"victim": "whole"})
	victim := filepath.Join(outside, "victim")
	deep := strings.Repeat("../", 30)
	for what, entries := range map[string][]file{
		"dots":            {{name: deep + strings.TrimPrefix(victim, "/"), body: "broken"}},
		"absolute":        {{name: victim, body: "broken"}},
		"link":            {{name: "l", kind: tar.TypeSymlink, link: outside}, {name: "l/victim", body: "broken"}},
		"relative link":   {{name: "l", kind: tar.TypeSymlink, link: deep + outside}, {name: "l/victim", body: "broken"}},
		"link itself":     {{name: "l", kind: tar.TypeSymlink, link: victim}, {name: "l", body: "broken"}},
		"hard link":       {{name: "h", kind: tar.TypeLink, link: deep + strings.TrimPrefix(victim, "/")}, {name: "h", body: "broken"}},
		"hard link link":  {{name: "l", kind: tar.TypeSymlink, link: outside}, {name: "h", kind: tar.TypeLink, link: "l/victim"}},
		"whiteout":        {{name: "l", kind: tar.TypeSymlink, link: outside}, {name: "l/.wh.victim"}},
		"whiteout dots":   {{name: "d/.wh..."}, {name: "d/.wh.."}},
		"opaque link":     {{name: "l", kind: tar.TypeSymlink, link: outside}, {name: "l/.wh..wh..opq"}},
		"folder for file": {{name: "l", kind: tar.TypeSymlink, link: outside}, {name: "l/", kind: tar.TypeDir, mode: 0}},
	} {
		tag := strings.ReplaceAll(what, " ", "-")
		ref := n.push(tag, v1.Config{Entrypoint: []string{"/bin/probe"}}, layerOf(t, entries...))
		n.images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
		if raw, err := os.ReadFile(victim); err != nil || string(raw) != "whole" {
			t.Fatalf("%s: the file outside is %q, %v", what, raw, err)
		}
		if info, err := os.Stat(outside); err != nil || info.Mode().Perm() == 0 {
			t.Fatalf("%s: the folder outside is %v, %v", what, info, err)
		}
		if links, err := filepath.Glob(filepath.Join(n.root, "images/layers/*/h")); err != nil || len(links) != 0 {
			t.Fatalf("%s: a hard link was made: %v, %v", what, links, err)
		}
	}
}

// Devices cannot be made and set-user-id bits mean nothing to one user: the
// image works without them.
func TestWhatAnOrdinaryUserCannotHaveIsLeftOut(t *testing.T) {
	n := startNode(t)
	image := n.pull(n.push("special", v1.Config{Entrypoint: []string{"/bin/probe"}}, baseLayer(t), layerOf(t,
		file{name: "dev/", kind: tar.TypeDir}, file{name: "dev/sda", kind: tar.TypeBlock}, file{name: "dev/console", kind: tar.TypeChar},
		file{name: "su", body: "x", mode: 0o4755}, file{name: "closed/", kind: tar.TypeDir, mode: 0o555}, file{name: "closed/file", body: "y", mode: 0o400},
		file{name: "pipe", kind: tar.TypeFifo, mode: 0o644},
		file{name: "hard", kind: tar.TypeLink, link: "su"},
	)))
	c := n.pod("special").run("main", image, args("sleep"), asUser(65532, 65532))
	for path, want := range map[string]string{"/su": "-rwxr-xr-x uid 65532 gid 65532\n", "/hard": "-rwxr-xr-x uid 65532 gid 65532\n", "/closed/file": "-r-------- uid 65532 gid 65532\n", "/pipe": "prw-r--r-- uid 65532 gid 65532\n"} {
		if out, _ := c.exec("probe", "stat", path); out != want {
			t.Errorf("%s: %s", path, out)
		}
	}
	n.removeImage(image)
}

func TestPullErrorsSayWhatIsWrong(t *testing.T) {
	n := startNode(t)
	ref := n.push("there", v1.Config{}, baseLayer(t))
	for wrong, want := range map[string]struct {
		code codes.Code
		text string
	}{
		n.registry + "/test/there:other":                             {codes.NotFound, "manifest unknown to registry " + n.registry},
		n.registry + "/test/nothing:latest":                          {codes.NotFound, n.registry},
		n.registry + "/test/there@sha256:" + strings.Repeat("0", 64): {codes.NotFound, n.registry},
		"127.0.0.1:9/test/there:latest":                              {codes.Unknown, "connection refused"},
		"UPPER CASE":                                                 {codes.Unknown, "UPPER CASE"},
	} {
		_, err := n.images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: wrong}})
		if status.Code(err) != want.code || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	n.pull(ref)
}

func TestImageOfAnotherMachine(t *testing.T) {
	n := startNode(t)
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "s390x", RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(n.registry + "/test/other")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	_, err = n.images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref.Name()}})
	if err == nil || !strings.Contains(err.Error(), "linux/s390x") {
		t.Errorf("an image of another machine: %v", err)
	}
}

// liar answers for a registry and changes what it says.
type liar struct {
	next  http.Handler
	blobs atomic.Int64
	login string
	spoil bool
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, password, _ := r.BasicAuth(); l.login != "" && user+":"+password != l.login {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	blob := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
	if !blob {
		l.next.ServeHTTP(w, r)
		return
	}
	recorder := httptest.NewRecorder()
	l.next.ServeHTTP(recorder, r)
	body, _ := io.ReadAll(recorder.Body)
	if len(body) > 100000 {
		l.blobs.Add(1)
		if l.spoil {
			body = bytes.Clone(body)
			body[len(body)/2] ^= 1
		}
	}
	w.WriteHeader(recorder.Code)
	w.Write(body)
}

func (n *node) behind(l *liar) {
	l.next = registry.New(registry.Logger(discard()))
	web := httptest.NewServer(l)
	n.Cleanup(web.Close)
	n.registry = strings.TrimPrefix(web.URL, "http://")
}

func TestPullsShareAFetch(t *testing.T) {
	n := startNode(t)
	l := &liar{}
	n.behind(l)
	one, two := n.push("one", v1.Config{User: "1"}, baseLayer(t)), n.push("two", v1.Config{User: "2"}, baseLayer(t))
	l.blobs.Store(0)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if _, err := n.images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: []string{one, two}[i%2]}}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := l.blobs.Load(); got != 1 {
		t.Errorf("the layer was fetched %d times", got)
	}
}

func TestSpoiledLayerIsRefused(t *testing.T) {
	n := startNode(t)
	l := &liar{spoil: true}
	n.behind(l)
	ref := n.push("spoiled", v1.Config{}, baseLayer(t))
	if _, err := n.images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}}); err == nil {
		t.Error("a layer with another content was taken")
	}
	if got := n.layers(); len(got) != 0 {
		t.Errorf("layers: %v", got)
	}
	l.spoil = false
	n.pull(ref)
}

func TestCredentials(t *testing.T) {
	n := startNode(t)
	l := &liar{}
	n.behind(l)
	ref := n.push("private", v1.Config{}, baseLayer(t))
	l.login = "ada:engine"
	pull := func(auth *runtimeapi.AuthConfig) error {
		_, err := n.images.PullImage(t.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}, Auth: auth})
		return err
	}
	if err := pull(nil); status.Code(err) != codes.PermissionDenied {
		t.Errorf("without credentials: %v", err)
	}
	if err := pull(&runtimeapi.AuthConfig{Username: "ada", Password: "wrong-secret"}); status.Code(err) != codes.PermissionDenied || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("with wrong credentials: %v", err)
	}
	if err := pull(&runtimeapi.AuthConfig{Username: "ada", Password: "engine"}); err != nil {
		t.Error(err)
	}
}

// Real images have many layers, the kernel takes one page of names, and the
// runtime's folder may be deep.
func TestManyLayers(t *testing.T) {
	n := startNodeAt(t, filepath.Join(t.TempDir(), strings.Repeat("deep/", 120), "root"))
	layers := []v1.Layer{baseLayer(t)}
	for i := range 126 {
		layers = append(layers, layerOf(t, file{name: fmt.Sprintf("layer-%03d", i), body: hex.EncodeToString(sha256.New().Sum(nil))}))
	}
	image := n.pull(n.push("many", v1.Config{Entrypoint: []string{"/bin/probe"}}, layers...))
	if out := n.pod("many").run("main", image, args("list", "/")).output(); strings.Count(out, "layer-") != 126 {
		t.Errorf("%d of 126 layers are there", strings.Count(out, "layer-"))
	}
}

func TestUnreadableIndexIsGivenUp(t *testing.T) {
	n := startNode(t)
	image := n.probe()
	n.stop()
	if err := os.WriteFile(filepath.Join(n.root, "images", "index.json"), []byte(`{"Images": {"sha`), 0o644); err != nil {
		t.Fatal(err)
	}
	n.startRuntime()
	if n.imageStatus(image) != nil || len(n.layers()) != 0 {
		t.Errorf("after the index was lost: %v", n.layers())
	}
	if again := n.probe(); again != image {
		t.Errorf("pulled again it is %s", again)
	}
}
