package cri_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// dial opens streams as the kubelet does for kubectl. Websockets end at the
// API server: what reaches a runtime is SPDY.
func (n *node) dial(address string) remotecommand.Executor {
	n.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		n.Fatal(err)
	}
	config := &rest.Config{Host: parsed.Scheme + "://" + parsed.Host}
	executor, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, parsed)
	if err != nil {
		n.Fatal(err)
	}
	return executor
}

// safeBuffer is a buffer that may be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (c *ctr) execAddress(r *runtimeapi.ExecRequest) string {
	c.Helper()
	r.ContainerId = c.id
	answer, err := c.runtime.Exec(c.Context(), r)
	if err != nil {
		c.Fatal(err)
	}
	return answer.GetUrl()
}

func TestExecWithStreams(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("streams"), n.probe()
	for name, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		c := p.run(name, image, user, args("sleep"))
		address := c.execAddress(&runtimeapi.ExecRequest{Cmd: []string{"probe", "cat"}, Stdin: true, Stdout: true, Stderr: true})
		var out, errs safeBuffer
		big := strings.Repeat("all of this\n", 100000)
		err := n.dial(address).StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out, Stderr: &errs})
		if err != nil || out.String() != big || errs.String() != "" {
			t.Errorf("%s: %d bytes, %q, %v", name, len(out.String()), errs.String(), err)
		}
		address = c.execAddress(&runtimeapi.ExecRequest{Cmd: []string{"probe", "exit", "9"}, Stdout: true})
		var exit exec.CodeExitError
		err = n.dial(address).StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
		if !errors.As(err, &exit) || exit.Code != 9 {
			t.Errorf("%s: exit 9 is %v", name, err)
		}
		address = c.execAddress(&runtimeapi.ExecRequest{Cmd: []string{"nothing"}, Stdout: true})
		err = n.dial(address).StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: io.Discard})
		if err == nil || !strings.Contains(err.Error(), "not found in $PATH") {
			t.Errorf("%s: a command that is not there: %v", name, err)
		}
	}
}

// sizes gives one size to a terminal.
type sizes struct {
	once sync.Once
}

func (s *sizes) Next() *remotecommand.TerminalSize {
	var size *remotecommand.TerminalSize
	s.once.Do(func() { size = &remotecommand.TerminalSize{Width: 123, Height: 45} })
	return size
}

func TestExecWithTerminal(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("terminal"), n.probe()
	for name, user := range map[string]change{"root": args(), "plain": asUser(65532, 65532)} {
		c := p.run(name, image, user, args("sleep"))
		address := c.execAddress(&runtimeapi.ExecRequest{Cmd: []string{"probe", "tty"}, Stdin: true, Stdout: true, Tty: true})
		in, typing := io.Pipe()
		var out safeBuffer
		done := make(chan error, 1)
		go func() {
			done <- n.dial(address).StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: in, Stdout: &out, Tty: true, TerminalSizeQueue: &sizes{}})
		}()
		n.eventually("the terminal has the client's size", func() bool { return strings.Contains(out.String(), "terminal: true 45x123 controlling: true") })
		fmt.Fprintf(typing, "hello\r")
		n.eventually("the program hears", func() bool { return strings.Contains(out.String(), "you said hello") })
		typing.Close()
		if err := <-done; err != nil {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
}

// A client that goes away takes its command with it.
func TestExecEndsWithItsClient(t *testing.T) {
	n := startNode(t)
	c := n.pod("gone").run("main", n.probe(), args("sleep"))
	address := c.execAddress(&runtimeapi.ExecRequest{Cmd: []string{"probe", "tick"}, Stdout: true})
	ctx, cancel := context.WithCancel(t.Context())
	var out safeBuffer
	done := make(chan error, 1)
	go func() {
		done <- n.dial(address).StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out})
	}()
	n.eventually("it ticks", func() bool { return strings.Contains(out.String(), "tick 3") })
	cancel()
	<-done
	n.eventually("the command ends", func() bool {
		processes, _ := c.exec("probe", "ps")
		return !strings.Contains(processes, "tick")
	})
}

func TestAttach(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("attach"), n.probe()
	for name, terminal := range map[string]bool{"pipe": false, "terminal": true} {
		c := p.run(name, image, args("cat"), asUser(65532, 65532), func(c *runtimeapi.ContainerConfig) { c.Stdin, c.StdinOnce, c.Tty = true, true, terminal })
		answer, err := n.runtime.Attach(t.Context(), &runtimeapi.AttachRequest{ContainerId: c.id, Stdin: true, Stdout: true, Stderr: !terminal, Tty: terminal})
		if err != nil {
			t.Fatal(err)
		}
		in, typing := io.Pipe()
		var out safeBuffer
		done := make(chan error, 1)
		go func() {
			options := remotecommand.StreamOptions{Stdin: in, Stdout: &out, Stderr: io.Discard, Tty: terminal}
			if terminal {
				options.Stderr = nil
			}
			done <- n.dial(answer.GetUrl()).StreamWithContext(t.Context(), options)
		}()
		fmt.Fprintf(typing, "something\n")
		n.eventually("it comes back", func() bool { return strings.Contains(out.String(), "something") })
		if terminal {
			fmt.Fprintf(typing, "\x04") // end of input
		}
		typing.Close()
		if got := c.wait(); got.GetExitCode() != 0 {
			t.Errorf("%s: %v", name, got)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if lines := strings.Join(c.lines(), "\n"); !strings.Contains(lines, "stdout F something") {
			t.Errorf("%s: log %s", name, lines)
		}
	}
}

func TestContainerWithTerminal(t *testing.T) {
	n := startNode(t)
	c := n.pod("tty").run("main", n.probe(), args("tty"), func(c *runtimeapi.ContainerConfig) { c.Stdin, c.Tty = true, true })
	c.logged("controlling: true")
	if out, _ := c.exec("probe", "list", "/dev"); !strings.Contains(out, "console\n") {
		t.Errorf("devices: %s", out)
	}
	if _, err := os.Stat("/dev/pts"); err != nil {
		t.Fatal(err)
	}
}

func TestPortForward(t *testing.T) {
	n := startNode(t)
	p, image := n.pod("forward"), n.probe()
	p.run("four", image, args("serve", "127.0.0.1:8080"), asUser(65532, 65532)).logged("listening")
	p.run("six", image, args("serve", "[::1]:9090")).logged("listening")
	answer, err := n.runtime.PortForward(t.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: p.id})
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(answer.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.New(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address), []string{"0:8080", "0:9090", "0:7"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- forwarder.ForwardPorts() }()
	<-ready
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports[:2] {
		if got, err := say(port.Local, "neighbour"); err != nil || got != "hello neighbour\n" {
			t.Errorf("port %d: %q, %v", port.Remote, got, err)
		}
	}
	if got, _ := say(ports[2].Local, "nobody"); got != "" {
		t.Errorf("a closed port says %q", got)
	}
	close(stop)
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("the forwarding does not end")
	}
}
