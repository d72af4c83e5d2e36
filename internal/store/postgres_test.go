//go:build postgres

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

// server is one PostgreSQL for all tests: its data in a folder of its own, reachable through a socket there alone.
type server struct {
	dir     string
	process *exec.Cmd
	log     *os.File
}

var (
	startOnce sync.Once
	running   *server
	startErr  error
	databases atomic.Int64
)

// database returns the URL of a new, empty database.
func database(t *testing.T) string {
	t.Helper()
	startOnce.Do(func() { running, startErr = startServer() })
	if startErr != nil {
		t.Fatalf("these tests need PostgreSQL (Debian: apt-get install postgresql): %v", startErr)
	}
	name := fmt.Sprintf("test_%d", databases.Add(1))
	admin, err := sql.Open("pgx", running.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return running.url(name)
}

func TestAServerThatGoesAwayIsUnavailable(t *testing.T) {
	own, err := startServer()
	must(t, err)
	defer own.stop()
	s := open(t, own.url("postgres"))
	must(t, s.Migrate(t.Context()))
	must(t, s.RecordRegion(t.Context(), lon1()))
	own.stop()
	wantFault(t, s.Ping(t.Context()), fault.Unavailable)
	wantFault(t, s.EnsureProject(t.Context(), "web"), fault.Unavailable)
	_, err = store.Open(t.Context(), own.url("postgres"))
	wantFault(t, err, fault.Unavailable, "does not answer")
}

func stopServers() {
	if running != nil {
		running.stop()
	}
}

func (s *server) url(name string) string {
	u := url.URL{Scheme: "postgres", User: url.User("m3o"), Path: "/" + name, RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return u.String()
}

func startServer() (*server, error) {
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	postgres, err := program("postgres")
	if err != nil {
		return nil, err
	}
	// Not t.TempDir: the path of a socket is at most 107 bytes long, and the server's user must be able to reach it.
	dir, err := os.MkdirTemp("/tmp", "m3o-pg-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	if err := s.start(initdb, postgres); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *server) start(initdb, postgres string) error {
	who, err := unprivileged()
	if err != nil {
		return err
	}
	if who != nil {
		if err := os.Chown(s.dir, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	data := filepath.Join(s.dir, "data")
	create := s.command(who, initdb, "-D", data, "-U", "m3o", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	s.process = s.command(who, postgres, "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+s.dir,
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "default_transaction_isolation=read committed")
	s.process.Stdout, s.process.Stderr = s.log, s.log
	// Without the test that started it the server must not live on.
	s.process.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	if err := s.process.Start(); err != nil {
		return err
	}
	return s.await()
}

func (s *server) command(who *syscall.Credential, name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.dir
	c.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	return c
}

func (s *server) await() error {
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			log, _ := os.ReadFile(s.log.Name())
			return fmt.Errorf("postgres does not answer: %w\n%s", err, log)
		}
	}
}

func (s *server) stop() {
	if s.process != nil && s.process.ProcessState == nil && s.process.Process != nil {
		_ = s.process.Process.Signal(syscall.SIGINT) // fast shutdown
		_ = s.process.Wait()
	}
	if s.log != nil {
		_ = s.log.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// program finds a program of PostgreSQL in the path or where Debian keeps it.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		return "", errors.Join(err, fmt.Errorf("%s is neither in the path nor in /usr/lib/postgresql/*/bin", name))
	}
	return found[len(found)-1], nil
}

// unprivileged is whom the server runs as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
