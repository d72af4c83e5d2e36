// Package cri is the container runtime behind a node's kubelet: the runtime and
// image services of the CRI, version 1, over gRPC, and the streaming server for
// exec, attach and port-forward. Pods and containers are real: namespaces,
// overlay mounts, and processes of the machine.
//
// It runs as root of a user namespace that has one id, with the rights of an
// ordinary user on the machine, and has to be in mount, network and process
// namespaces of the node. It ends with its containers: nothing outlives the
// node's process namespace. What it keeps on disk lets the next runtime tell
// the kubelet what has been, and clean up.
//
// It is not a runtime for the machine's cgroups, devices or security modules.
// A container that holds more memory than its limit is ended, a moment after it
// does (memory.go); limits of CPU are stored and reported, not enforced. Seccomp and
// AppArmor profiles, SELinux labels and supplementary groups are ignored;
// privileged containers, host process namespaces and user namespaces asked for
// by a pod are refused. All files belong to the one user there is, whatever
// the image says, so a container's user may write what it can see. Pods are kept
// apart as namespaces keep them, which is no wall against hostile code: what
// breaks out has the rights of the user who started the node.
//
// Only package node may import it. In its words a sandbox is a pod's
// namespaces, kept by a first process; the rest is as in the CRI.
package cri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"

	"github.com/m3o/platform/internal/kube/cri/image"
	"github.com/m3o/platform/internal/kube/cri/process"
)

// maxMessage is what the kubelet takes in one gRPC message.
const maxMessage = 16 << 20

// Network gives sandboxes their addresses. Both calls may come again for the
// same pod, Detach also for one that an earlier runtime attached.
type Network interface {
	// Attach connects the network namespace at netnsPath, loopback included,
	// and returns the pod's address.
	Attach(ctx context.Context, podID, netnsPath string) (netip.Addr, error)
	// Detach takes the pod's address back. An unknown pod is no error.
	Detach(ctx context.Context, podID string) error
}

// Config says how to run a Server.
type Config struct {
	// Root is the folder for images, containers and state. It must be on a
	// file system that overlay can write to, and be the server's alone.
	Root string
	// Network connects pods.
	Network Network
	// Registry carries the requests of image pulls; nil is the default.
	Registry http.RoundTripper
	// StreamingAddress is the host and port where the kubelet reaches exec,
	// attach and port-forward. It is for the node alone: it asks for no
	// credentials beyond the one-time token in the address.
	StreamingAddress string
	// StopGrace is how long containers may take to end by themselves when the
	// context of Serve ends. Without it they are killed at once.
	StopGrace time.Duration
	// Logger gets what the runtime has to say; nil is the default.
	Logger *slog.Logger
}

// Server is the runtime.
type Server struct {
	config  Config
	log     *slog.Logger
	images  *image.Store
	spawner *process.Spawner
	pause   string
	streams streaming.Server
	// streamListener is open from New on, so that the address is known.
	streamListener net.Listener
	usage          usageCache

	// claims keeps an image from being removed between the moment in which a
	// container finds it and the one from which its layers count as in use. It is
	// taken before mu.
	claims sync.RWMutex

	mu         sync.Mutex
	sandboxes  map[string]*sandbox
	containers map[string]*container
}

// New makes a runtime on the folder config.Root and finds what an earlier one
// left there. It fails if the machine refuses what containers need.
func New(config Config) (*Server, error) {
	s := &Server{config: config, log: config.Logger, sandboxes: map[string]*sandbox{}, containers: map[string]*container{}}
	if s.log == nil {
		s.log = slog.Default()
	}
	root, err := filepath.Abs(config.Root)
	if err != nil {
		return nil, err
	}
	s.config.Root = root
	for _, dir := range []string{sandboxFolder, containerFolder} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			return nil, fmt.Errorf("make the runtime's folder: %w", err)
		}
	}
	if s.images, err = image.Open(filepath.Join(root, "images"), config.Registry, s.log); err != nil {
		return nil, err
	}
	if s.spawner, err = process.NewSpawner(s.images.LayersDir()); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	return s, s.listen()
}

// prepare checks the machine and writes the pause program.
func (s *Server) prepare() error {
	if err := s.probeOverlay(); err != nil {
		return err
	}
	path := filepath.Join(s.config.Root, "pause")
	ok, err := process.WritePause(path)
	if ok {
		s.pause = path
	}
	return err
}

func (s *Server) listen() error {
	listener, err := net.Listen("tcp", s.config.StreamingAddress)
	if err != nil {
		return fmt.Errorf("listen for exec, attach and port-forward: %w", err)
	}
	config := streaming.DefaultConfig
	config.Addr = listener.Addr().String()
	config.BaseURL = &url.URL{Scheme: "http", Host: config.Addr, Path: "/"}
	s.streams, err = streaming.NewServer(config, streamRuntime{s})
	if err != nil {
		listener.Close()
		return fmt.Errorf("make the streaming server: %w", err)
	}
	s.streamListener = listener
	return nil
}

// Serve answers the kubelet on the listener until the context ends, then ends
// all pods, within their grace. A Server serves once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	runtimeapi.RegisterRuntimeServiceServer(server, &runtimeService{Server: s})
	runtimeapi.RegisterImageServiceServer(server, &imageService{Server: s})
	web := &http.Server{Handler: s.streams, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	go func() { failed <- web.Serve(s.streamListener) }()
	go s.watchMemory(ctx)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	server.Stop()
	web.Close()
	s.close()
	if errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// close ends all pods, waits for them, and takes their mounts away.
func (s *Server) close() {
	s.askAllToEnd()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var group sync.WaitGroup
	for _, b := range s.allSandboxes() {
		group.Go(func() {
			if err := s.stopSandbox(ctx, b); err != nil {
				s.log.Warn("a pod did not stop cleanly", "pod", b.id, "error", err)
			}
		})
	}
	group.Wait()
	for _, c := range s.selectContainers(func(*container) bool { return true }) {
		if err := s.unmountContainer(c); err != nil {
			s.log.Warn("a container's file system stays mounted", "container", c.id, "error", err)
		}
	}
}

// askAllToEnd gives the running containers their grace, all at the same time.
func (s *Server) askAllToEnd() {
	if s.config.StopGrace <= 0 {
		return
	}
	var group sync.WaitGroup
	for _, c := range s.selectContainers((*container).running) {
		group.Go(func() {
			if err := s.askToEnd(context.Background(), c, s.config.StopGrace); err != nil {
				s.log.Warn("a container could not be asked to end", "container", c.id, "error", err)
			}
		})
	}
	group.Wait()
}
