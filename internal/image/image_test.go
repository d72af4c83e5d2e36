package image

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/m3o/platform/internal/fault"
)

func program(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	must(os.WriteFile(file, []byte(content), 0o755))
	return file
}

func fromBinary(t *testing.T, binary string, config Config) v1.Image {
	t.Helper()
	img, err := FromBinary(t.TempDir(), binary, "amd64", config)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestEqualProgramsMakeEqualImages(t *testing.T) {
	config := Config{Path: "/usr/local/bin/app", Labels: map[string]string{"b": "2", "a": "1"}, Port: 8080, Env: []string{"X=y"}}
	one, two := program(t, "content"), program(t, "content")
	os.Chtimes(two, time.Time{}, time.Unix(1, 0))
	os.Chmod(two, 0o700)
	a, b := fromBinary(t, one, config), fromBinary(t, two, config)
	if digest(t, a) != digest(t, b) {
		t.Error("digests differ")
	}
	if other := fromBinary(t, program(t, "Content"), config); digest(t, other) == digest(t, a) {
		t.Error("another program has the same digest")
	}
	assertWhole(t, a)
	layers, err := a.Layers()
	if err != nil || len(layers) != 2 {
		t.Errorf("%d layers, %v", len(layers), err)
	}
}

func TestAnImageHoldsTheProgramAndItsSurroundings(t *testing.T) {
	img := fromBinary(t, program(t, "the program"), Config{Path: "/m3o", Port: 80, Surrounds: map[string][]byte{"/etc/app/x.conf": []byte("conf")}})
	config, err := img.ConfigFile()
	must(err)
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/m3o"}) || config.OS != "linux" {
		t.Errorf("config = %+v", config.Config)
	}
	if _, ok := config.Config.ExposedPorts["80/tcp"]; !ok {
		t.Errorf("ports = %v", config.Config.ExposedPorts)
	}
	files := map[string]*tar.Header{}
	contents := map[string][]byte{}
	r := tar.NewReader(mutate.Extract(img))
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(err)
		files[h.Name] = h
		contents[h.Name], err = io.ReadAll(r)
		must(err)
	}
	if h := files["tmp"]; h == nil || h.Mode != 0o1777 {
		t.Errorf("/tmp = %+v", h)
	}
	if string(contents["m3o"]) != "the program" || files["m3o"].Mode != 0o755 || string(contents["etc/app/x.conf"]) != "conf" {
		t.Errorf("files = %v", files)
	}
	if !strings.Contains(string(contents["etc/passwd"]), "nonroot:x:65532:65532:") {
		t.Errorf("passwd = %s", contents["etc/passwd"])
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents["etc/ssl/certs/ca-certificates.crt"]) || bytes.Count(contents["etc/ssl/certs/ca-certificates.crt"], []byte("BEGIN")) < 80 {
		t.Error("there are no certificates")
	}
}

func TestFilesOfAProgramAreRootsAndAreReadInItsWorkingDirectory(t *testing.T) {
	page, tool := program(t, "<html>"), program(t, "#!")
	config := Config{Path: "/app/main", Dir: "/app", Files: []File{{Path: "/app/templates/a.html", From: page},
		{Path: "/app/run.sh", From: tool, Exec: true}, {Path: "/app/latest", Link: "templates/a.html"}}}
	img := fromBinary(t, program(t, "the program"), config)
	assertWhole(t, img)
	found, err := img.ConfigFile()
	must(err)
	if found.Config.WorkingDir != "/app" {
		t.Errorf("it starts in %s", found.Config.WorkingDir)
	}
	seen := map[string]string{}
	r := tar.NewReader(mutate.Extract(img))
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(err)
		if h.Uid != 0 || h.Gid != 0 || h.Mode&0o022 != 0 && h.Typeflag != tar.TypeSymlink && strings.TrimSuffix(h.Name, "/") != "tmp" {
			t.Errorf("%s belongs to %d:%d with mode %o", h.Name, h.Uid, h.Gid, h.Mode)
		}
		content, err := io.ReadAll(r)
		must(err)
		seen[strings.TrimSuffix(h.Name, "/")] = fmt.Sprintf("%o %s%s", h.Mode, h.Linkname, content)
	}
	for name, want := range map[string]string{"app": "755 ", "app/templates": "755 ", "app/templates/a.html": "644 <html>", "app/run.sh": "755 #!",
		"app/latest": "777 templates/a.html", "app/main": "755 the program"} {
		if seen[name] != want {
			t.Errorf("%s is %q, want %q", name, seen[name], want)
		}
	}
	other := fromBinary(t, program(t, "another program"), config)
	layers, err := img.Layers()
	must(err)
	others, err := other.Layers()
	must(err)
	if len(layers) != 3 || len(others) != 3 {
		t.Fatalf("%d and %d layers", len(layers), len(others))
	}
	for i := range layers {
		one, err := layers[i].Digest()
		must(err)
		two, err := others[i].Digest()
		must(err)
		if (one == two) != (i < 2) {
			t.Errorf("layer %d of two programs with the same files: equal %t", i, one == two)
		}
	}
}

func TestBaseNamesThePinnedCertificates(t *testing.T) {
	gomod, err := os.ReadFile("../../go.mod")
	must(err)
	if !strings.Contains(string(gomod), "golang.org/x/crypto/x509roots/fallback v0.0.0-"+certificatesVersion+"-") {
		t.Errorf("go.mod pins other certificates than Base names (%s): change certificatesVersion with it", Base)
	}
}

func TestAPathThatIsNotCleanIsRefused(t *testing.T) {
	for _, path := range []string{"", "app", "/../app", "/a//b", "/a/"} {
		if _, err := FromBinary(t.TempDir(), program(t, "x"), "amd64", Config{Path: path}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestAProgramFromAnImageRuns(t *testing.T) {
	dir := t.TempDir()
	must(os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() { println(\"it runs\") }\n"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n"), 0o644))
	build := exec.Command("go", "build", "-o", "x", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	host := serve(t, t.TempDir(), RegistryConfig{})
	ref, err := Client{}.Push(t.Context(), host+"/x", "", fromBinary(t, filepath.Join(dir, "x"), Config{Path: "/x"}))
	must(err)
	r := tar.NewReader(mutate.Extract(pull(t, ref)))
	for {
		h, err := r.Next()
		must(err)
		if h.Name == "x" {
			break
		}
	}
	out, err := os.OpenFile(filepath.Join(dir, "pulled"), os.O_CREATE|os.O_WRONLY, 0o755)
	must(err)
	_, err = io.Copy(out, r)
	must(err)
	must(out.Close())
	if said, err := exec.Command(out.Name()).CombinedOutput(); err != nil || string(said) != "it runs\n" {
		t.Errorf("%q, %v", said, err)
	}
}

func TestResolveSaysWhatIsWrong(t *testing.T) {
	host := serve(t, t.TempDir(), RegistryConfig{})
	ref, err := Client{}.Push(t.Context(), host+"/a", "v1", fromBinary(t, program(t, "x"), Config{Path: "/x"}))
	must(err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	nobody := free.Addr().String()
	free.Close()
	status := func(code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", code) }))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://") + "/x:v1"
	}
	for _, c := range []struct {
		reference, arch, want string
		kind                  fault.Kind
	}{
		{host + "/a:v2", "amd64", "there is no image " + host + "/a:v2", fault.NotFound},
		{host + "/b", "amd64", "there is no image " + host + "/b:latest", fault.NotFound},
		{host + "/a:v1", "arm64", "does not run on linux/arm64", fault.Invalid},
		{"UPPER/case", "amd64", `"UPPER/case" is not an image reference`, fault.Invalid},
		{"a b", "amd64", "is not an image reference", fault.Invalid},
		{nobody + "/a", "amd64", "the registry " + nobody + " cannot be reached", fault.Unavailable},
		{status(401), "amd64", "it is private, or not there", fault.Denied},
		{status(403), "amd64", "it is private, or not there", fault.Denied},
		{status(429), "amd64", "we ask too often", fault.Throttled},
		{status(400), "amd64", "with status 400", fault.Failed},
	} {
		_, err := Client{}.Resolve(t.Context(), c.reference, c.arch)
		if !fault.Is(err, c.kind) || !strings.Contains(fault.Message(err), c.want) {
			t.Errorf("%s: %v (%s)\nwant %q (%s)", c.reference, err, fault.Of(err), c.want, c.kind)
		}
	}
	got, err := Client{}.Resolve(t.Context(), host+"/a:v1", "amd64")
	if err != nil || got != ref {
		t.Errorf("Resolve = %s, %v; want %s", got, err, ref)
	}
	if byDigest, ok, err := (Client{}).Has(t.Context(), host+"/a:v1"); byDigest != ref || !ok || err != nil {
		t.Errorf("Has = %s, %v, %v", byDigest, ok, err)
	}
	if _, ok, err := (Client{}).Has(t.Context(), host+"/a:none"); ok || err != nil {
		t.Errorf("Has of nothing = %v, %v", ok, err)
	}
}

// counting tells how many uploads a registry saw.
type counting struct {
	http.Handler
	puts atomic.Int64
}

func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		c.puts.Add(1)
	}
	c.Handler.ServeHTTP(w, r)
}

func TestThePlatformsImagesArePushedOnce(t *testing.T) {
	registryDir := t.TempDir()
	registry, err := NewRegistry(registryDir, RegistryConfig{})
	must(err)
	counter := &counting{Handler: registry}
	server := httptest.NewServer(counter)
	defer server.Close()
	etcd := program(t, "etcd, version one")
	programs := []Program{
		{Name: "etcd", Binary: etcd, Config: Config{Path: "/usr/local/bin/etcd"}},
		{Name: "nats", Binary: program(t, "nats"), Config: Config{Path: "/nats-server"}},
	}
	packer := Packer{Registry: strings.TrimPrefix(server.URL, "http://") + "/m3o", Arch: "amd64", Dir: t.TempDir()}
	pushed := func(want map[string]string, changed bool) map[string]string {
		t.Helper()
		counter.puts.Store(0)
		got, err := packer.Platform(t.Context(), programs)
		if err != nil {
			t.Fatal(err)
		}
		if (counter.puts.Load() > 0) != changed {
			t.Errorf("%d uploads, changed = %v", counter.puts.Load(), changed)
		}
		for name, ref := range got {
			pull(t, ref)
			if want != nil && (want[name] != ref) != (changed && name == "etcd" && want["etcd"] != "") {
				t.Errorf("%s = %s, before %s", name, ref, want[name])
			}
		}
		return got
	}
	first := pushed(nil, true)
	pushed(first, false)
	must(os.Chtimes(etcd, time.Time{}, time.Unix(1e9, 0))) // built again, equal
	pushed(first, false)
	must(os.WriteFile(filepath.Join(packer.Dir, "platform-images.json"), []byte("broken"), 0o600))
	counter.puts.Store(0)
	if again, err := packer.Platform(t.Context(), programs); err != nil || again["etcd"] != first["etcd"] || again["nats"] != first["nats"] {
		t.Errorf("with a broken memory: %v, %v", again, err)
	}
	must(os.WriteFile(etcd, []byte("etcd, version two"), 0o755))
	pushed(first, true)
	must(os.RemoveAll(filepath.Join(registryDir, "repos/m3o/nats")))
	second, err := packer.Platform(t.Context(), programs)
	must(err)
	pull(t, second["nats"]) // pushed again to a registry that lost it
	if left, _ := filepath.Glob(filepath.Join(packer.Dir, "layer-*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}
