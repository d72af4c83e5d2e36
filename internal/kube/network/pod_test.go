package network_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Ports that every pod serves.
const (
	echoPort  = "7000" // TCP and UDP
	hashPort  = "7001" // reads to the end, then answers with count and hash
	floodPort = "7002" // reads a number of bytes (uint64), then sends as many
	namePort  = "7003" // TCP and UDP: answers with the pod's name
)

type pod struct{ name string }

func runPod() error { return serve(&pod{}) }

// Open starts the pod's servers.
func (p *pod) Open(name string, _ *struct{}) error {
	p.name = name
	go echoStreams(":" + echoPort)
	go acceptLoop(":"+hashPort, hashStream)
	go acceptLoop(":"+floodPort, floodStream)
	go acceptLoop(":"+namePort, func(c *net.TCPConn) { _, _ = io.WriteString(c, name) })
	go datagramLoop(":"+echoPort, func(b []byte) []byte { return b })
	go datagramLoop(":"+namePort, func([]byte) []byte { return []byte(name) })
	return nil
}

func acceptLoop(at string, handle func(*net.TCPConn)) {
	listener, err := net.Listen("tcp4", at)
	if err != nil {
		panic(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			handle(conn.(*net.TCPConn))
		}()
	}
}

func datagramLoop(at string, answer func([]byte) []byte) {
	conn, err := net.ListenPacket("udp4", at)
	if err != nil {
		panic(err)
	}
	buf := make([]byte, 65535)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			continue
		}
		_, _ = conn.WriteTo(answer(buf[:n]), from)
	}
}

func echoStreams(at string) {
	acceptLoop(at, func(c *net.TCPConn) {
		_, _ = io.Copy(c, c)
		_ = c.CloseWrite()
	})
}

func hashStream(c *net.TCPConn) {
	hash := sha256.New()
	n, err := io.CopyBuffer(hash, struct{ io.Reader }{c}, make([]byte, 1<<20))
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(c, "%d %s", n, hex.EncodeToString(hash.Sum(nil)))
}

func floodStream(c *net.TCPConn) {
	var want [8]byte
	if _, err := io.ReadFull(c, want[:]); err != nil {
		return
	}
	left := int(binary.BigEndian.Uint64(want[:]))
	chunk := make([]byte, 256<<10)
	for left > 0 {
		n, err := c.Write(chunk[:min(left, len(chunk))])
		if err != nil {
			return
		}
		left -= n
	}
}

// Exchange says what a client shall do.
type Exchange struct {
	Network, Address string
	Bytes, Parallel  int
	// Hash sends to hashPort and ends its direction before it reads.
	Hash bool
	// Text reads what the server says instead.
	Text bool
}

// Result says how it went. An error of the network is a result, too.
type Result struct {
	Err  string
	Text string
	Took time.Duration
}

// Exchange sends bytes to a server and compares what comes back.
func (p *pod) Exchange(args Exchange, result *Result) error {
	start := time.Now()
	text, err := exchange((&net.Dialer{Timeout: 20 * time.Second}).DialContext, args)
	*result = Result{Text: text, Took: time.Since(start)}
	if err != nil {
		result.Err = err.Error()
	}
	return nil
}

// Download reads bytes from floodPort.
func (p *pod) Download(args Exchange, result *Result) error {
	start := time.Now()
	conn, err := net.Dial("tcp4", args.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := download(conn, args.Bytes); err != nil {
		return err
	}
	result.Took = time.Since(start)
	return nil
}

func download(conn net.Conn, size int) error {
	if err := binary.Write(conn, binary.BigEndian, uint64(size)); err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 1<<20))
	if err == nil && n != int64(size) {
		err = fmt.Errorf("got %d of %d bytes", n, size)
	}
	return err
}

// Lookup asks the cluster's name server with Go's resolver.
func (p *pod) Lookup(name string, addrs *[]string) error {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "10.96.0.10:53")
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	found, err := resolver.LookupHost(ctx, name)
	slices.Sort(found)
	*addrs = found
	return err
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// exchange runs args.Parallel exchanges at once.
func exchange(dial dialer, args Exchange) (string, error) {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		text  string
		errs  []error
	)
	for range max(args.Parallel, 1) {
		group.Go(func() {
			got, err := exchangeOnce(dial, args)
			mu.Lock()
			defer mu.Unlock()
			text = got
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	group.Wait()
	return text, errors.Join(errs...)
}

func exchangeOnce(dial dialer, args Exchange) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	conn, err := dial(ctx, args.Network, args.Address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	switch {
	case args.Network == "udp":
		return datagram(conn, args)
	case args.Text:
		text, err := io.ReadAll(conn)
		return string(text), err
	case args.Hash:
		return "", sendHashed(conn, args.Bytes)
	}
	return "", echo(conn, args.Bytes)
}

func noise(size int) []byte {
	b := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = source.Read(b)
	return b
}

func datagram(conn net.Conn, args Exchange) (string, error) {
	// Datagrams may be lost: three tries.
	want, buf := noise(args.Bytes), make([]byte, 65535)
	for range 3 {
		if _, err := conn.Write(want); err != nil {
			return "", err
		}
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := conn.Read(buf)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			continue
		}
		if err != nil {
			return "", err
		}
		if !args.Text && !bytes.Equal(buf[:n], want) {
			return "", fmt.Errorf("a datagram of %d bytes came back changed", len(want))
		}
		return string(buf[:min(n, 64)]), nil
	}
	return "", fmt.Errorf("no answer from udp %s", args.Address)
}

// sendHashed ends its own direction first; the answer comes on the other.
func sendHashed(conn net.Conn, size int) error {
	data := noise(size)
	if _, err := conn.Write(data); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return fmt.Errorf("close write: %w", err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	hash := sha256.Sum256(data)
	if want := fmt.Sprintf("%d %s", size, hex.EncodeToString(hash[:])); string(answer) != want {
		return fmt.Errorf("the server got %q, want %q", answer, want)
	}
	return nil
}

func echo(conn net.Conn, size int) error {
	want := noise(size)
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(want)
		if err == nil {
			err = conn.(interface{ CloseWrite() error }).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(conn)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("sent %d bytes, %d came back, or changed", len(want), len(got))
	}
	return nil
}

func echoBack(c *net.TCPConn) error {
	_, err := io.Copy(c, c)
	return errors.Join(err, c.CloseWrite())
}

// hashFree reads to the end and answers, as cheaply as possible: it is there
// to measure the way to it.
func hashFree(c *net.TCPConn) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 1<<20)); err == nil {
		_, _ = io.WriteString(c, "done")
	}
}

// Upload sends bytes and waits until they were read.
func (p *pod) Upload(args Exchange, _ *Result) error {
	conn, err := net.Dial("tcp4", args.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	return upload(conn, args.Bytes)
}

func upload(conn net.Conn, size int) error {
	chunk := make([]byte, 256<<10)
	for size > 0 {
		n, err := conn.Write(chunk[:min(size, len(chunk))])
		if err != nil {
			return err
		}
		size -= n
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	_, err := io.ReadAll(conn)
	return err
}

// Segments sends ten datagrams in one call, as QUIC does, and counts what comes
// back.
func (p *pod) Segments(address string, count *int) error {
	conn, err := net.Dial("udp4", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	const size = 1000
	var optionErr error
	if err := raw.Control(func(fd uintptr) {
		optionErr = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size)
	}); err != nil || optionErr != nil {
		return errors.Join(err, optionErr)
	}
	want := noise(10 * size)
	if _, err := conn.Write(want); err != nil {
		return err
	}
	buf := make([]byte, 65535)
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	for *count < 10 {
		n, err := conn.Read(buf)
		if err != nil {
			return nil
		}
		if n == size && bytes.Contains(want, buf[:n]) {
			*count++
		}
	}
	return nil
}
