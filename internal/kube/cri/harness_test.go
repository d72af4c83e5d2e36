package cri_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri"
	"github.com/m3o/platform/internal/kube/tree"
)

const (
	insideName = "cri-tests-inside"
	serverName = "cri-tests-server"
)

// TestMain runs the tests as a node does: as root of a user namespace with one
// id, with mounts, network and processes of its own. Where the machine refuses
// that, the tests fail.
func TestMain(m *testing.M) {
	switch os.Args[0] {
	case insideName:
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, "cannot settle in the namespaces:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	case serverName:
		os.Exit(serveApart(os.Args[1], os.Args[2]))
	}
	os.Exit(goInside())
}

func goInside() int {
	dir, err := os.MkdirTemp("", "cri-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer tree.Remove(dir)
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the test program: %v\n%s", err, out)
		return 1
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = insideName
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = namespaces()
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "this machine refuses user namespaces to this user, so no container can be tested here: %v\n", err)
		return 1
	}
	if err := cmd.Wait(); err != nil {
		return max(cmd.ProcessState.ExitCode(), 1)
	}
	return 0
}

func namespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
}

// settle mounts what belongs to the namespaces and starts loopback.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	return loopbackUp()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// probeProgram is the program of all test images.
func probeProgram(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(os.TempDir(), "probe"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// loopbackOnly is a network of pods that reach nobody.
type loopbackOnly struct {
	mu       sync.Mutex
	attached map[string]bool
	detached []string
	fail     error
}

func (n *loopbackOnly) Attach(_ context.Context, podID, netns string) (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return netip.Addr{}, n.fail
	}
	n.attached[podID] = true
	file, err := os.Open(netns)
	if err != nil {
		return netip.Addr{}, err
	}
	defer file.Close()
	return netip.MustParseAddr("10.244.1.7"), insideNetwork(file, loopbackUp)
}

func (n *loopbackOnly) Detach(_ context.Context, podID string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.attached, podID)
	n.detached = append(n.detached, podID)
	return nil
}

// node is a running runtime with its clients and a registry.
type node struct {
	testing.TB
	root     string
	network  *loopbackOnly
	runtime  runtimeapi.RuntimeServiceClient
	images   runtimeapi.ImageServiceClient
	registry string
	logs     string
	stop     func()
}

func startNode(t testing.TB) *node {
	t.Helper()
	return startNodeAt(t, filepath.Join(t.TempDir(), "root"))
}

func startNodeAt(t testing.TB, root string) *node {
	t.Helper()
	n := &node{TB: t, root: root, logs: t.TempDir(), network: &loopbackOnly{attached: map[string]bool{}}}
	t.Cleanup(func() {
		if err := tree.Remove(n.root); err != nil {
			t.Error(err)
		}
	})
	n.startRegistry()
	n.startRuntime()
	return n
}

func (n *node) startRegistry() {
	web := httptest.NewServer(registry.New(registry.Logger(discard())))
	n.Cleanup(web.Close)
	n.registry = strings.TrimPrefix(web.URL, "http://")
}

func (n *node) startRuntime() {
	n.Helper()
	server, err := cri.New(cri.Config{Root: n.root, Network: n.network, StreamingAddress: "127.0.0.1:0", StopGrace: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		n.Fatal(err)
	}
	socket := filepath.Join(n.TempDir(), "cri.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		n.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			n.Error(err)
		}
	})
	n.Cleanup(n.stop)
	n.connect(socket)
}

func (n *node) connect(socket string) {
	n.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { conn.Close() })
	n.runtime, n.images = runtimeapi.NewRuntimeServiceClient(conn), runtimeapi.NewImageServiceClient(conn)
}

// file is an entry of a test layer.
type file struct {
	name, body, link string
	kind             byte
	mode             int64
}

// layerOf makes a layer of entries, in this order and as they are.
func layerOf(t testing.TB, files ...file) v1.Layer {
	t.Helper()
	var raw bytes.Buffer
	archive := tar.NewWriter(&raw)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Typeflag: f.kind, Linkname: f.link, Mode: f.mode, Size: int64(len(f.body)), ModTime: time.Unix(1700000000, 0)}
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Mode == 0 {
			header.Mode = 0o755
		}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(f.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// baseLayer has the test program and little else.
func baseLayer(t testing.TB) v1.Layer {
	return layerOf(t,
		file{name: "bin/", kind: tar.TypeDir}, file{name: "bin/probe", body: string(probeProgram(t))},
		file{name: "tmp/", kind: tar.TypeDir, mode: 0o777}, file{name: "etc/", kind: tar.TypeDir},
		file{name: "etc/passwd", body: "root:x:0:0::/root:/bin/sh\nada:x:1815:1852::/home/ada:/bin/sh\n", mode: 0o644},
		file{name: "etc/group", body: "engines:x:1837:\n", mode: 0o644},
	)
}

// push makes an image of the layers and returns its name.
func (n *node) push(tag string, config v1.Config, layers ...v1.Layer) string {
	n.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		n.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		n.Fatal(err)
	}
	file = file.DeepCopy()
	file.Config = config
	if image, err = mutate.ConfigFile(image, file); err != nil {
		n.Fatal(err)
	}
	ref, err := name.NewTag(n.registry + "/test/" + tag)
	if err != nil {
		n.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		n.Fatal(err)
	}
	return ref.Name()
}

func (n *node) pull(ref string) string {
	n.Helper()
	answer, err := n.images.PullImage(n.Context(), &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	if err != nil {
		n.Fatal(err)
	}
	return answer.GetImageRef()
}

// probe is the plain test image, on the node.
func (n *node) probe() string {
	n.Helper()
	return n.pull(n.push("probe", v1.Config{Entrypoint: []string{"/bin/probe"}, Cmd: []string{"echo", "from the image"}}, baseLayer(n)))
}
