package cri

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/process"
	"github.com/m3o/platform/internal/kube/cri/stage"
)

const (
	sandboxFolder = "sandboxes"
	// startTimeout bounds the work before a program is executed.
	startTimeout = time.Minute
)

// sandbox is a pod's namespaces.
type sandbox struct {
	id        string
	dir       string
	config    *runtimeapi.PodSandboxConfig
	createdAt time.Time

	// gate is held for reading while a container is made or started, for
	// writing while the sandbox stops.
	gate sync.RWMutex

	// The rest is guarded by the server's lock.
	ready    bool
	attached bool
	ip       netip.Addr
	first    *process.Process
	spaces   process.Namespaces
}

func newID() string {
	var raw [32]byte
	rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

// options are the pod's namespace modes, with the CRI's defaults.
func (b *sandbox) options() *runtimeapi.NamespaceOption {
	if o := b.config.GetLinux().GetSecurityContext().GetNamespaceOptions(); o != nil {
		return o
	}
	return &runtimeapi.NamespaceOption{}
}

func (b *sandbox) ownNetwork() bool { return b.options().GetNetwork() != runtimeapi.NamespaceMode_NODE }
func (b *sandbox) ownIPC() bool     { return b.options().GetIpc() != runtimeapi.NamespaceMode_NODE }
func (b *sandbox) sharesPID() bool  { return b.options().GetPid() == runtimeapi.NamespaceMode_POD }

func (b *sandbox) path(name string) string { return filepath.Join(b.dir, name) }

// checkSandbox refuses what an unprivileged node cannot give.
func checkSandbox(r *runtimeapi.RunPodSandboxRequest) error {
	security := r.GetConfig().GetLinux().GetSecurityContext()
	options := security.GetNamespaceOptions()
	users := options.GetUsernsOptions()
	switch {
	case r.GetConfig().GetMetadata() == nil:
		return status.Error(codes.InvalidArgument, "the sandbox has no metadata")
	case r.GetRuntimeHandler() != "":
		return status.Errorf(codes.InvalidArgument, "unknown runtime handler %q: this node has the default one only", r.GetRuntimeHandler())
	case security.GetPrivileged():
		return status.Error(codes.InvalidArgument, refusedPrivileged)
	case options.GetPid() == runtimeapi.NamespaceMode_NODE:
		return status.Error(codes.InvalidArgument, "hostPID is not offered by this node")
	case users.GetMode() == runtimeapi.NamespaceMode_POD && len(users.GetUids()) > 0:
		return status.Error(codes.InvalidArgument, "user namespaces for pods (hostUsers: false) are not offered by this node: it has one user id")
	}
	return nil
}

// RunPodSandbox makes the pod's namespaces and connects its network.
func (s *runtimeService) RunPodSandbox(ctx context.Context, r *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	if err := checkSandbox(r); err != nil {
		return nil, err
	}
	id := newID()
	b := &sandbox{id: id, dir: filepath.Join(s.config.Root, sandboxFolder, id), config: r.GetConfig(), createdAt: time.Now()}
	s.mu.Lock()
	s.sandboxes[id] = b
	s.mu.Unlock()
	if err := s.startSandbox(ctx, b); err != nil {
		if undo := s.removeSandbox(context.WithoutCancel(ctx), b); undo != nil {
			s.log.Warn("a pod that failed to start was not cleaned up", "pod", id, "error", undo)
		}
		return nil, fmt.Errorf("start pod %s: %w", podName(b), err)
	}
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: id}, nil
}

func podName(b *sandbox) string {
	return b.config.GetMetadata().GetNamespace() + "/" + b.config.GetMetadata().GetName()
}

func (s *Server) startSandbox(ctx context.Context, b *sandbox) error {
	b.gate.Lock()
	defer b.gate.Unlock()
	if err := s.furnishSandbox(b); err != nil {
		return err
	}
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	first, err := s.spawner.Start(startCtx, s.sandboxRequest(b))
	if err != nil {
		return err
	}
	s.mu.Lock()
	b.first, b.spaces = first, first.Spaces
	s.mu.Unlock()
	if err := s.connect(ctx, b); err != nil {
		return err
	}
	s.mu.Lock()
	b.ready = true
	err = s.saveSandbox(b)
	s.mu.Unlock()
	go s.watchSandbox(b)
	return err
}

func (s *Server) sandboxRequest(b *sandbox) process.Request {
	spec := stage.Sandbox{
		Hostname: b.config.GetHostname(), Dir: b.dir, MountProc: b.sharesPID(),
		OwnNetwork: b.ownNetwork(), OwnIPC: b.ownIPC(), Sysctls: b.config.GetLinux().GetSysctls(), Pause: s.pause,
	}
	clone := uintptr(unix.CLONE_NEWPID | unix.CLONE_NEWUTS)
	if spec.OwnNetwork {
		clone |= unix.CLONE_NEWNET
	}
	if spec.OwnIPC {
		clone |= unix.CLONE_NEWIPC
	}
	return process.Request{Kind: stage.KindSandbox, Spec: spec, Clone: clone, Keep: true}
}

// connect attaches the pod's network. That it did is on disk first, so that a
// runtime that starts after a crash knows what to detach.
func (s *Server) connect(ctx context.Context, b *sandbox) error {
	if !b.ownNetwork() {
		return nil
	}
	s.mu.Lock()
	b.attached = true
	err := s.saveSandbox(b)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	ip, err := s.config.Network.Attach(ctx, b.id, "/proc/"+strconv.Itoa(b.first.PID)+"/ns/net")
	if err != nil {
		return fmt.Errorf("connect the pod's network: %w", err)
	}
	s.mu.Lock()
	b.ip = ip
	s.mu.Unlock()
	return nil
}

// furnishSandbox makes the sandbox's folder with what its containers share.
func (s *Server) furnishSandbox(b *sandbox) error {
	for _, name := range []string{"sys", "mqueue", "proc", "shm"} {
		if err := os.MkdirAll(b.path(name), 0o755); err != nil {
			return fmt.Errorf("make the sandbox's folder: %w", err)
		}
	}
	if err := os.WriteFile(b.path("resolv.conf"), resolverFile(b.config.GetDnsConfig()), 0o644); err != nil {
		return fmt.Errorf("write resolv.conf: %w", err)
	}
	hostname := b.config.GetHostname()
	if hostname == "" {
		hostname, _ = os.Hostname()
	}
	if err := os.WriteFile(b.path("hostname"), []byte(hostname+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the host name: %w", err)
	}
	if b.ownIPC() {
		if err := unix.Mount("shm", b.path("shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=65536k"); err != nil {
			return fmt.Errorf("mount shared memory: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saveSandbox(b)
}

// resolverFile is the pod's resolv.conf; without a wish, the node's.
func resolverFile(dns *runtimeapi.DNSConfig) []byte {
	if dns == nil {
		own, _ := os.ReadFile("/etc/resolv.conf")
		return own
	}
	var text strings.Builder
	if len(dns.GetSearches()) > 0 {
		fmt.Fprintf(&text, "search %s\n", strings.Join(dns.GetSearches(), " "))
	}
	for _, server := range dns.GetServers() {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	if len(dns.GetOptions()) > 0 {
		fmt.Fprintf(&text, "options %s\n", strings.Join(dns.GetOptions(), " "))
	}
	return []byte(text.String())
}

// watchSandbox notes the end of a first process that nobody asked for.
func (s *Server) watchSandbox(b *sandbox) {
	<-b.first.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.ready {
		b.ready = false
		s.log.Warn("the first process of a pod ended by itself", "pod", podName(b))
	}
}
