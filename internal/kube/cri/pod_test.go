package cri_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

func insideNetwork(file *os.File, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// pod is a sandbox of a test.
type pod struct {
	*node
	id     string
	config *runtimeapi.PodSandboxConfig
}

func (n *node) podConfig(name string) *runtimeapi.PodSandboxConfig {
	return &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name + "-uid"},
		Hostname: name, LogDirectory: filepath.Join(n.logs, name), Labels: map[string]string{"app": name},
		Annotations: map[string]string{"note": "kept"},
		DnsConfig:   &runtimeapi.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"default.svc.cluster.local"}, Options: []string{"ndots:5"}},
		Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
		}},
	}
}

func (n *node) pod(name string, changes ...func(*runtimeapi.PodSandboxConfig)) *pod {
	n.Helper()
	config := n.podConfig(name)
	for _, change := range changes {
		change(config)
	}
	answer, err := n.runtime.RunPodSandbox(n.Context(), &runtimeapi.RunPodSandboxRequest{Config: config})
	if err != nil {
		n.Fatal(err)
	}
	return &pod{node: n, id: answer.GetPodSandboxId(), config: config}
}

func shareProcesses(config *runtimeapi.PodSandboxConfig) {
	config.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
}

// ctr is a container of a test.
type ctr struct {
	*pod
	id   string
	name string
}

type change func(*runtimeapi.ContainerConfig)

func security(config *runtimeapi.ContainerConfig) *runtimeapi.LinuxContainerSecurityContext {
	return config.Linux.SecurityContext
}

func asUser(uid, gid int64) change {
	return func(c *runtimeapi.ContainerConfig) {
		security(c).RunAsUser = &runtimeapi.Int64Value{Value: uid}
		security(c).RunAsGroup = &runtimeapi.Int64Value{Value: gid}
	}
}

func withMount(m *runtimeapi.Mount) change {
	return func(c *runtimeapi.ContainerConfig) { c.Mounts = append(c.Mounts, m) }
}

func args(list ...string) change {
	return func(c *runtimeapi.ContainerConfig) { c.Args = list }
}

func (p *pod) containerConfig(name, image string) *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name}, Image: &runtimeapi.ImageSpec{Image: image},
		LogPath: name + "/0.log", Labels: map[string]string{"container": name},
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: p.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
	}
}

func (p *pod) create(name, image string, changes ...change) (*ctr, error) {
	config := p.containerConfig(name, image)
	for _, change := range changes {
		change(config)
	}
	answer, err := p.runtime.CreateContainer(p.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: p.id, Config: config, SandboxConfig: p.config})
	if err != nil {
		return nil, err
	}
	return &ctr{pod: p, id: answer.GetContainerId(), name: name}, nil
}

// run makes and starts a container.
func (p *pod) run(name, image string, changes ...change) *ctr {
	p.Helper()
	c, err := p.create(name, image, changes...)
	if err != nil {
		p.Fatal(err)
	}
	if err := c.start(); err != nil {
		p.Fatal(err)
	}
	return c
}

func (c *ctr) start() error {
	_, err := c.runtime.StartContainer(c.Context(), &runtimeapi.StartContainerRequest{ContainerId: c.id})
	return err
}

func (c *ctr) status() *runtimeapi.ContainerStatus {
	c.Helper()
	answer, err := c.runtime.ContainerStatus(c.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: c.id})
	if err != nil {
		c.Fatal(err)
	}
	return answer.GetStatus()
}

// wait waits for the container's end.
func (c *ctr) wait() *runtimeapi.ContainerStatus {
	c.Helper()
	var status *runtimeapi.ContainerStatus
	c.eventually("the container ends", func() bool {
		status = c.status()
		return status.GetState() == runtimeapi.ContainerState_CONTAINER_EXITED
	})
	return status
}

func (n *node) eventually(what string, done func() bool) {
	n.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.Fatalf("waited too long: %s", what)
		}
	}
}

func (c *ctr) logFile() string { return filepath.Join(c.config.GetLogDirectory(), c.name, "0.log") }

// lines are the log's entries without their times.
func (c *ctr) lines() []string {
	c.Helper()
	raw, err := os.ReadFile(c.logFile())
	if err != nil {
		c.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(raw)) {
		at, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			c.Errorf("a log line without a time: %q", line)
		}
		lines = append(lines, rest)
	}
	return lines
}

// output is what a container that ended printed on stdout.
func (c *ctr) output() string {
	c.Helper()
	c.wait()
	var text strings.Builder
	for _, line := range c.lines() {
		if rest, ok := strings.CutPrefix(line, "stdout F "); ok {
			fmt.Fprintln(&text, rest)
		}
	}
	return text.String()
}

// exec runs a command and returns what it printed and its exit code.
func (c *ctr) exec(command ...string) (string, int32) {
	c.Helper()
	answer, err := c.runtime.ExecSync(c.Context(), &runtimeapi.ExecSyncRequest{ContainerId: c.id, Cmd: command, Timeout: 20})
	if err != nil {
		c.Fatal(err)
	}
	return string(answer.GetStdout()) + string(answer.GetStderr()), answer.GetExitCode()
}

func (c *ctr) logged(wanted string) {
	c.Helper()
	c.eventually("the log has "+wanted, func() bool {
		raw, _ := os.ReadFile(c.logFile())
		return strings.Contains(string(raw), wanted)
	})
}

// say sends a line to a port of loopback and returns the answer.
func say(port uint16, line string) (string, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), 20*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", err
	}
	raw, err := io.ReadAll(conn)
	return string(raw), err
}
