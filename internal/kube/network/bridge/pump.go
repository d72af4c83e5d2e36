package bridge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/kube/network/wire"
)

const (
	// receiveBuffer is what the kernel keeps for us while we are busy. Whoever
	// may not have that much gets the machine's limit.
	receiveBuffer = 8 << 20
	// batchBytes go up the uplink in one write.
	batchBytes = 512 << 10
	readBuffer = 256 << 10
)

// openRaw opens an interface for whole frames with their offload headers.
func openRaw(name string) (*os.File, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	// Protocol 0 receives nothing until the socket is bound, so nothing from
	// other interfaces slips in.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	if err := prepareRaw(fd, link.Index); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("prepare the packet socket on %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func prepareRaw(fd, link int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("ask for offload headers: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("ignore what we send: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return fmt.Errorf("size the receive buffer: %w", err)
		}
	}
	all := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: link}
	if err := unix.Bind(fd, all); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// pump moves frames between the raw interface and the uplink.
type pump struct {
	raw     *os.File
	uplink  net.Conn
	log     *slog.Logger
	dropped atomic.Uint64
	closing atomic.Bool

	once sync.Once
	done chan struct{}
	err  error
}

func startPump(raw *os.File, uplink net.Conn, log *slog.Logger) *pump {
	p := &pump{raw: raw, uplink: uplink, log: log, done: make(chan struct{})}
	ended := make(chan error, 2)
	go func() { ended <- p.up(); p.stop() }()
	go func() { ended <- p.down(); p.stop() }()
	go func() {
		err := <-ended
		<-ended
		if !p.closing.Load() {
			p.err = fmt.Errorf("the uplink to the cluster ended: %w", err)
		}
		close(p.done)
	}()
	return p
}

func (p *pump) wait() error {
	<-p.done
	return p.err
}

func (p *pump) close() {
	p.closing.Store(true)
	p.stop()
}

func (p *pump) stop() {
	p.once.Do(func() {
		_ = p.raw.Close()
		_ = p.uplink.Close()
	})
}

// up reads frames of the node and sends them to the switch, as many at a time
// as there are.
func (p *pump) up() error {
	raw, err := p.raw.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, batchBytes)
	for {
		filled := 0
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			filled, readErr = p.fill(int(fd), buf)
			return filled > 0 || readErr != nil
		})
		if err = errors.Join(err, readErr); err != nil {
			return fmt.Errorf("read from %s: %w", wireName, err)
		}
		if _, err := p.uplink.Write(buf[:filled]); err != nil {
			return err
		}
	}
}

// fill reads what is there into buf, each frame behind its length.
func (p *pump) fill(fd int, buf []byte) (int, error) {
	filled := 0
	for len(buf)-filled >= wire.LengthSize+wire.MaxFrame {
		frame := buf[filled+wire.LengthSize:]
		n, err := unix.Read(fd, frame[:wire.MaxFrame])
		switch {
		case err == unix.EAGAIN:
			return filled, nil
		case err == unix.EINTR:
			continue
		case lossy(err):
			p.dropped.Add(1)
			continue
		case err != nil:
			return filled, err
		case !wire.Carried(frame[:n]):
			continue
		}
		binary.BigEndian.PutUint32(buf[filled:], uint32(n))
		filled += wire.LengthSize + n
	}
	return filled, nil
}

// down reads frames from the switch and gives them to the node.
func (p *pump) down() error {
	raw, err := p.raw.SyscallConn()
	if err != nil {
		return err
	}
	reader := bufio.NewReaderSize(p.uplink, readBuffer)
	for {
		frame, err := peekFrame(reader)
		if err != nil {
			return err
		}
		if err := p.inject(raw, frame); err != nil {
			return fmt.Errorf("write to %s: %w", wireName, err)
		}
		if _, err := reader.Discard(wire.LengthSize + len(frame)); err != nil {
			return err
		}
	}
}

// peekFrame returns the next frame without copying it; it is valid until the
// reader is used again.
func peekFrame(reader *bufio.Reader) ([]byte, error) {
	length, err := reader.Peek(wire.LengthSize)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length)
	if size < wire.MinFrame || size > wire.MaxFrame {
		return nil, fmt.Errorf("frame of %d bytes: want %d to %d", size, wire.MinFrame, wire.MaxFrame)
	}
	frame, err := reader.Peek(wire.LengthSize + int(size))
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return frame[wire.LengthSize:], nil
}

// inject writes one frame. A frame that the kernel does not take is lost, as on
// any wire.
func (p *pump) inject(raw syscall.RawConn, frame []byte) error {
	var writeErr error
	err := raw.Write(func(fd uintptr) bool {
		for {
			_, writeErr = unix.Write(int(fd), frame)
			if writeErr != unix.EINTR {
				break
			}
		}
		return writeErr != unix.EAGAIN
	})
	if err == nil && lossy(writeErr) {
		p.dropped.Add(1)
		return nil
	}
	return errors.Join(err, writeErr)
}

// lossy says whether an error of the raw interface concerns one frame only.
func lossy(err error) bool {
	switch err {
	case unix.EINVAL, unix.EMSGSIZE, unix.ENOBUFS, unix.ENETDOWN, unix.ENOMEM:
		return true
	}
	return false
}
