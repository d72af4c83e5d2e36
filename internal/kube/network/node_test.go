package network_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"github.com/m3o/platform/internal/kube/network/bridge"
)

// node is the node's process: a bridge and the pods on it.
type node struct {
	bridge *bridge.Bridge
	mu     sync.Mutex
	pods   map[string]*exec.Cmd
}

func runNode() error {
	index, err := strconv.Atoi(os.Getenv(indexVariable))
	if err != nil {
		return err
	}
	uplink, err := net.Dial("unix", os.Getenv(uplinkVariable))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	joined, err := bridge.New(bridge.Config{Index: index, Uplink: uplink, Logger: log})
	if err != nil {
		return err
	}
	go func() {
		if err := joined.Wait(); err != nil {
			os.Exit(3)
		}
	}()
	go echoStreams(":7000")
	return serve(&node{bridge: joined, pods: map[string]*exec.Cmd{}})
}

// PodStarted says how to reach a pod.
type PodStarted struct {
	Addr string
	Pid  int
}

// StartPod starts a pod's process, which answers on socket, and attaches it.
func (n *node) StartPod(args [2]string, started *PodStarted) error {
	name, socket := args[0], args[1]
	cmd, err := child("pod", socket, syscall.CLONE_NEWNET)
	if err != nil {
		return err
	}
	addr, err := n.bridge.Attach(context.Background(), name, fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	client, err := reach(socket)
	if err != nil {
		return err
	}
	defer client.Close()
	n.mu.Lock()
	n.pods[name] = cmd
	n.mu.Unlock()
	*started = PodStarted{Addr: addr.String(), Pid: cmd.Process.Pid}
	return client.Call("Lab.Open", name, new(struct{}))
}

// Attach attaches a running pod's namespace, under its name or another.
func (n *node) Attach(args [2]string, addr *string) error {
	name, as := args[0], args[1]
	n.mu.Lock()
	cmd := n.pods[name]
	n.mu.Unlock()
	got, err := n.bridge.Attach(context.Background(), as, fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	*addr = got.String()
	return err
}

// AttachPath attaches whatever is at a path.
func (n *node) AttachPath(path string, addr *string) error {
	got, err := n.bridge.Attach(context.Background(), "path", path)
	*addr = got.String()
	return err
}

// KillPod ends a pod's process without detaching it first.
func (n *node) KillPod(name string, _ *struct{}) error {
	n.mu.Lock()
	cmd := n.pods[name]
	delete(n.pods, name)
	n.mu.Unlock()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return nil
}

// Detach detaches a pod, twice.
func (n *node) Detach(name string, _ *struct{}) error {
	if err := n.bridge.Detach(context.Background(), name); err != nil {
		return err
	}
	return n.bridge.Detach(context.Background(), name)
}

// Interfaces lists the node's network interfaces.
func (n *node) Interfaces(_ struct{}, names *[]string) error {
	links, err := net.Interfaces()
	for _, link := range links {
		*names = append(*names, link.Name)
	}
	return err
}

// Exchange sends and compares bytes from the node's own namespace.
func (n *node) Exchange(args Exchange, result *Result) error { return (&pod{}).Exchange(args, result) }

// Close takes the bridge away.
func (n *node) Close(_ struct{}, _ *struct{}) error { return n.bridge.Close() }
