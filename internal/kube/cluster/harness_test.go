package cluster_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/kube/cluster"
	"github.com/m3o/platform/internal/kube/node"
)

const (
	// Limits are generous: the machine may be building something else.
	soon = 60 * time.Second
	poll = 100 * time.Millisecond
)

// process is one m3o-kube on a directory.
type process struct {
	dir   string
	cmd   *exec.Cmd
	ended chan error
	log   bytes.Buffer
}

func writeSpec(t *testing.T, dir string, spec cluster.Spec) {
	t.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	draft := filepath.Join(dir, "cluster.json.draft")
	if err := os.WriteFile(draft, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(draft, filepath.Join(dir, "cluster.json")); err != nil {
		t.Fatal(err)
	}
}

// deepDir is a directory whose name is far longer than a unix socket's may be.
func deepDir(t *testing.T) string {
	t.Helper()
	const length = 240
	dir := t.TempDir()
	dir += "/" + strings.Repeat("d", max(1, length-len(dir)-1))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs m3o-kube on dir in a process of its own.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{dir: dir, ended: make(chan error, 1)}
	p.cmd = exec.Command("/proc/self/exe", append([]string{"cluster", "--dir", dir}, args...)...)
	p.cmd.Args[0] = node.Program
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", dir, tail(p.log.String()))
		}
	})
	return p
}

func tail(text string) string {
	const most = 20000
	return text[max(0, len(text)-most):]
}

// kill ends the process as a crash would. It may be called again.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.ended <- <-p.ended
}

// wait returns how the process ended by itself.
func (p *process) wait(t *testing.T, limit time.Duration) error {
	t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(limit):
		t.Fatalf("m3o-kube did not end within %s", limit)
		return nil
	}
}

func (p *process) status() (cluster.Status, error) {
	var status cluster.Status
	data, err := os.ReadFile(filepath.Join(p.dir, "status.json"))
	if err != nil {
		return status, err
	}
	if err := json.Unmarshal(data, &status); err != nil {
		return status, err
	}
	if status.PID != p.cmd.Process.Pid {
		return status, errors.New("the status is an earlier process'")
	}
	return status, nil
}

// waitReady returns the status in which the control plane and exactly these nodes
// are ready.
func (p *process) waitReady(t *testing.T, nodes ...string) cluster.Status {
	t.Helper()
	var ready cluster.Status
	eventually(t, soon, func() error {
		status, err := p.status()
		if err != nil {
			return err
		}
		ready = status
		if !status.Ready || len(status.Nodes) != len(nodes) {
			return fmt.Errorf("status is %+v", status)
		}
		for i, n := range status.Nodes {
			if n.Name != nodes[i] || !n.Ready {
				return fmt.Errorf("status is %+v", status)
			}
		}
		return nil
	})
	return ready
}

func (p *process) config(t *testing.T) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(p.dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	return config
}

func (p *process) client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(p.config(t))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// eventually fails the test when check still fails after limit.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", limit, err)
		}
		time.Sleep(poll)
	}
}

// pushApp builds testdata/app, puts it in an image and the image in a registry on
// the machine's loopback, and returns the image's name there.
func pushApp(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	binary := filepath.Join(t.TempDir(), "app")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the app: %v\n%s", err, output)
	}
	image, err := appImage(binary)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/app:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image, remote.WithContext(context.Background())); err != nil {
		t.Fatal(err)
	}
	return reference.Name()
}

func appImage(binary string) (v1.Image, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	if err := writer.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := writer.Write(program); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH,
		Config: v1.Config{Entrypoint: []string{"/app"}},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs(image)},
	})
}

func diffIDs(image v1.Image) []v1.Hash {
	config, err := image.ConfigFile()
	if err != nil {
		return nil
	}
	return config.RootFS.DiffIDs
}
