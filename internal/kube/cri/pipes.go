package cri

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/m3o/platform/internal/kube/cri/output"
)

// pipes are the standard streams of a process: the ends that it gets and
// those that the runtime keeps. With a terminal there is one end for all.
type pipes struct {
	theirs         [3]*os.File
	stdin          *os.File
	stdout, stderr *os.File
	terminal       *os.File
}

// openPipes opens the streams that the container's config asks for.
func (c *container) openPipes() (*pipes, error) {
	if c.config.GetTty() {
		return openTerminal(c.path("pts"))
	}
	return openStreams(c.config.GetStdin())
}

func openStreams(withStdin bool) (*pipes, error) {
	p := &pipes{}
	var errs [3]error
	if withStdin {
		p.theirs[0], p.stdin, errs[0] = os.Pipe()
	}
	p.stdout, p.theirs[1], errs[1] = os.Pipe()
	p.stderr, p.theirs[2], errs[2] = os.Pipe()
	if err := errors.Join(errs[:]...); err != nil {
		p.closeTheirs()
		p.closeOurs()
		return nil, fmt.Errorf("open pipes: %w", err)
	}
	return p, nil
}

// openTerminal makes a new terminal of the container.
func openTerminal(pts string) (*pipes, error) {
	fd, err := unix.Open(filepath.Join(pts, "ptmx"), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	master := os.NewFile(uintptr(fd), "terminal")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		master.Close()
		return nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	slave, err := os.OpenFile(filepath.Join(pts, strconv.Itoa(number)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		master.Close()
		return nil, fmt.Errorf("open the terminal: %w", err)
	}
	return &pipes{theirs: [3]*os.File{slave, slave, slave}, stdin: master, stdout: master, terminal: master}, nil
}

func (p *pipes) closeTheirs() { closeAll(p.theirs[:]...) }

func (p *pipes) closeOurs() { closeAll(p.stdin, p.stdout, p.stderr) }

func closeAll(files ...*os.File) {
	for _, file := range files {
		if file != nil {
			file.Close() // a terminal is here more than once; closing again is harmless
		}
	}
}

// drain sends what comes out to the container's output.
func (p *pipes) drain(out *output.Output) {
	out.Drain(string(runtimeapi.Stdout), p.stdout)
	if p.stderr != nil {
		out.Drain(string(runtimeapi.Stderr), p.stderr)
	}
}

// finish is for when the process has ended: what it still printed is waited
// for, as long as that is little.
func (p *pipes) finish(out *output.Output) {
	p.expire()
	out.Wait()
	p.closeOurs()
}

// expire ends the reading of the streams after a time.
func (p *pipes) expire() {
	at := time.Now().Add(drainTimeout)
	for _, file := range []*os.File{p.stdout, p.stderr} {
		if file != nil {
			file.SetReadDeadline(at)
		}
	}
}
