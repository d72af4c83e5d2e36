package cri

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/utils/exec"

	"github.com/m3o/platform/internal/kube/cri/output"
	"github.com/m3o/platform/internal/kube/cri/process"
)

// Exec prepares a command with streams; the kubelet then comes to the address.
func (s *runtimeService) Exec(_ context.Context, r *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	if _, err := s.runningContainer(r.GetContainerId()); err != nil {
		return nil, err
	}
	return s.streams.GetExec(r)
}

// Attach prepares an attachment to a running container.
func (s *runtimeService) Attach(_ context.Context, r *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	if _, err := s.runningContainer(r.GetContainerId()); err != nil {
		return nil, err
	}
	return s.streams.GetAttach(r)
}

// PortForward prepares connections to ports of a pod.
func (s *runtimeService) PortForward(_ context.Context, r *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	b, ok := s.findSandbox(r.GetPodSandboxId())
	if !ok || !s.isReady(b) {
		return nil, status.Errorf(codes.NotFound, "no ready pod sandbox %q", r.GetPodSandboxId())
	}
	return s.streams.GetPortForward(r)
}

// streamRuntime is what the streaming server calls.
type streamRuntime struct {
	*Server
}

// Exec runs a command with the given streams until it ends.
func (s streamRuntime) Exec(ctx context.Context, id string, args []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	c, err := s.runningContainer(id)
	if err != nil {
		return err
	}
	var p *pipes
	if tty {
		p, err = openTerminal(c.path("pts"))
	} else {
		p, err = openStreams(in != nil)
	}
	if err != nil {
		return err
	}
	defer p.closeOurs()
	running, err := s.execute(ctx, c, args, p)
	if err != nil {
		return err
	}
	if tty {
		go follow(p.terminal, resize)
	}
	if in != nil {
		go feed(p.stdin, in, !tty)
	}
	copies := copyOut(p, out, errs, func() { killExec(running) })
	code, _ := running.Exit()
	p.expire()
	copies.Wait()
	if code != 0 {
		return exec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// feed copies input to a process; its end is the end of the process's input,
// unless that is a terminal.
func feed(stdin *os.File, in io.Reader, closing bool) {
	io.Copy(stdin, in)
	if closing {
		stdin.Close()
	}
}

// copyOut copies output to the client until it ends. A client that is gone
// calls lost: nobody is left to see what the command does.
func copyOut(p *pipes, out, errs io.Writer, lost func()) *sync.WaitGroup {
	var copies sync.WaitGroup
	for _, pair := range []struct {
		from *os.File
		to   io.Writer
	}{{p.stdout, out}, {p.stderr, errs}} {
		if pair.from == nil {
			continue
		}
		to := pair.to
		if to == nil {
			to = io.Discard
		}
		copies.Go(func() {
			if err := copyUntil(to, pair.from); err != nil {
				lost()
				io.Copy(io.Discard, pair.from)
			}
		})
	}
	return &copies
}

// copyUntil copies until reading ends; only an error of writing is returned.
func copyUntil(to io.Writer, from io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// follow gives the terminal each size that the client's has.
func follow(terminal *os.File, sizes <-chan remotecommand.TerminalSize) {
	for size := range sizes {
		raw, err := terminal.SyscallConn()
		if err != nil {
			return
		}
		raw.Control(func(fd uintptr) {
			unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
		})
	}
}

// Attach shows what a container prints from now on and gives it input, until
// the container ends.
func (s streamRuntime) Attach(_ context.Context, id string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	c, err := s.runningContainer(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	stdin, terminal, printed := c.stdin, c.terminal, c.output
	s.mu.Unlock()
	if terminal != nil {
		go follow(terminal, resize)
	}
	reader := printed.Attach()
	defer reader.Close()
	if in != nil && stdin != nil {
		go feed(stdin, in, c.config.GetStdinOnce() && terminal == nil)
	}
	return show(reader, out, errs)
}

func show(reader *output.Reader, out, errs io.Writer) error {
	for piece := range reader.Pieces() {
		to := out
		if piece.Stream == string(runtimeapi.Stderr) {
			to = errs
		}
		if to == nil {
			continue
		}
		if _, err := to.Write(piece.Data); err != nil {
			return nil // the client has gone
		}
	}
	return nil
}

// dialTimeout bounds a connection to a port of a pod.
const dialTimeout = 10 * time.Second

// PortForward connects the stream to a port on the pod's loopback.
func (s streamRuntime) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	b, ok := s.findSandbox(id)
	if !ok || !s.isReady(b) {
		return fmt.Errorf("no ready pod sandbox %q", id)
	}
	conn, err := dialInside(ctx, b, port)
	if err != nil {
		return fmt.Errorf("connect to port %d of pod %s: %w", port, podName(b), err)
	}
	defer conn.Close()
	defer stream.Close()
	ended := make(chan struct{}, 2)
	go func() {
		io.Copy(conn, stream)
		conn.(*net.TCPConn).CloseWrite()
		ended <- struct{}{}
	}()
	go func() {
		io.Copy(stream, conn)
		ended <- struct{}{}
		ended <- struct{}{} // the pod has nothing more to say: no need to wait for the client
	}()
	<-ended
	<-ended
	return nil
}

// dialInside tries both loopback addresses, as a program of the pod would.
func dialInside(ctx context.Context, b *sandbox, port int32) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	var conn net.Conn
	err := process.InNetwork(b.spaces.Net, func() error {
		var err error
		for _, host := range []string{"127.0.0.1", "::1"} {
			var failed error
			if conn, failed = dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port)))); failed == nil {
				return nil
			}
			if err == nil {
				err = failed
			}
		}
		return err
	})
	return conn, err
}
