// Package etcdtest runs a real etcd for tests: the binary that `make build` puts beside the images, or one built once from
// the module in which our Kubernetes lives. It is no fake and knows nothing of the registry. Only tests import it.
package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// startLimit is how long etcd may take to answer.
const startLimit = 30 * time.Second

// Server is one etcd on loopback addresses of its own, which it keeps when it is started again.
type Server struct {
	Endpoint string
	t        testing.TB
	peer     string
	dir      string
	flags    []string
	process  *exec.Cmd
}

// Start runs an etcd with an empty directory, and with further flags, until the test ends.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := &Server{t: t, flags: flags, Endpoint: "http://" + free(t), peer: "http://" + free(t), dir: filepath.Join(t.TempDir(), "etcd")}
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// Start starts the etcd after a Kill, and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	// Nothing here outlives the machine, so that waiting for the disk would only make tests slow.
	s.process = exec.Command(binary(s.t), append([]string{"--data-dir", s.dir, "--listen-client-urls", s.Endpoint, "--advertise-client-urls", s.Endpoint,
		"--listen-peer-urls", s.peer, "--initial-advertise-peer-urls", s.peer, "--initial-cluster", "default=" + s.peer,
		"--unsafe-no-fsync", "--log-level", "error", "--heartbeat-interval", "20", "--election-timeout", "200"}, s.flags...)...)
	if err := s.process.Start(); err != nil {
		s.t.Fatalf("start etcd: %v", err)
	}
	deadline := time.Now().Add(startLimit)
	// A client that is refused waits a second before it tries again: so we make one only when somebody listens.
	for err := s.knock(); err != nil; err = s.knock() {
		if time.Now().After(deadline) {
			s.t.Fatalf("etcd does not listen after %s: %v", startLimit, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if _, err := s.Client().Get(ctx, "health"); err != nil {
		s.t.Fatalf("etcd does not answer: %v", err)
	}
}

func (s *Server) knock() error {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.Endpoint, "http://"), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Kill ends the etcd at once, as a crash would. Its data stay.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill() // an etcd that is gone already is what we want
	_ = s.process.Wait()
	s.process = nil
}

// Lose throws the data away. Kill the etcd first.
func (s *Server) Lose() {
	s.t.Helper()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatalf("lose etcd's data: %v", err)
	}
}

// Quota is a flag for Start: an etcd that is soon full.
const Quota = "--quota-backend-bytes=8388608"

// fillKey begins the keys that Fill writes, which are nobody else's.
const fillKey = "/etcdtest/fill/"

// Fill writes until the etcd is full: from then on it refuses all writes, and raises the alarm NOSPACE. It was started with
// Quota.
func (s *Server) Fill() {
	s.t.Helper()
	client := s.Client()
	for i := range 100 {
		_, err := client.Put(s.t.Context(), fmt.Sprint(fillKey, i), strings.Repeat("x", 1<<20))
		if errors.Is(err, rpctypes.ErrNoSpace) {
			return
		}
		if err != nil {
			s.t.Fatalf("fill etcd: %v", err)
		}
	}
	s.t.Fatal("etcd cannot be filled")
}

// Empty takes out what Fill wrote, and makes the etcd take writes again.
func (s *Server) Empty() {
	s.t.Helper()
	client, ctx := s.Client(), s.t.Context()
	gone, err := client.Delete(ctx, fillKey, clientv3.WithPrefix())
	if err == nil {
		_, err = client.Compact(ctx, gone.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err == nil {
		_, err = client.Defragment(ctx, s.Endpoint)
	}
	if err == nil {
		_, err = client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	}
	if err != nil {
		s.t.Fatalf("empty etcd: %v", err)
	}
}

// Client is a client of the etcd, closed when the test ends.
func (s *Server) Client() *clientv3.Client {
	s.t.Helper()
	return Dial(s.t, s.Endpoint)
}

// Dial is a client of the etcd at an address, closed when the test ends.
func Dial(t testing.TB, endpoint string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 2 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatalf("make a client of etcd: %v", err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

var find = sync.OnceValues(func() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "..", "..", "..")
	if built := filepath.Join(root, "bin", "images", "etcd"); executable(built) {
		return built, nil
	}
	dir, err := os.MkdirTemp("", "m3o-etcdtest-")
	if err != nil {
		return "", err
	}
	// It is renamed once it is whole, since other tests may be about to run the one that was built before.
	path, done := filepath.Join(dir, "etcd"), filepath.Join(os.TempDir(), fmt.Sprintf("m3o-etcdtest-%d", os.Getuid()))
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", path, "go.etcd.io/etcd/server/v3")
	build.Dir = filepath.Join(root, "internal", "kube")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("no etcd: %s is not there (make build makes it), and building it in internal/kube failed: %w\n%s",
			filepath.Join("bin", "images", "etcd"), err, out)
	}
	return done, os.Rename(path, done)
})

func binary(t testing.TB) string {
	t.Helper()
	path, err := find()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
