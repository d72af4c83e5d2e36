package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/kube/node"
)

// ErrInUse means that another process runs the cluster of this directory.
var ErrInUse = errors.New("another m3o-kube runs on this directory")

const nodeSockets = "nodes"

// directory is DIR of the contract: everything a cluster keeps.
type directory struct {
	path    string
	lock    *os.File
	sockets *os.File
}

func (d *directory) spec() string              { return filepath.Join(d.path, "cluster.json") }
func (d *directory) status() string            { return filepath.Join(d.path, "status.json") }
func (d *directory) owner() string             { return filepath.Join(d.path, "owner") }
func (d *directory) token() string             { return filepath.Join(d.path, "admin.token") }
func (d *directory) kubeconfig() string        { return filepath.Join(d.path, "admin.kubeconfig") }
func (d *directory) authority() string         { return filepath.Join(d.path, "ca.crt") }
func (d *directory) port() string              { return filepath.Join(d.path, "api.port") }
func (d *directory) volumes() string           { return filepath.Join(d.path, "volumes") }
func (d *directory) controlPlane() string      { return filepath.Join(d.path, "control-plane") }
func (d *directory) nodes() string             { return filepath.Join(d.path, "nodes") }
func (d *directory) node(name string) string   { return filepath.Join(d.nodes(), name) }
func (d *directory) indexes() string           { return filepath.Join(d.path, "nodes.json") }
func (d *directory) socketDir() string         { return filepath.Join(d.path, "run") }
func (d *directory) nodeSocketDir() string     { return filepath.Join(d.socketDir(), nodeSockets) }
func (d *directory) socket(name string) string { return filepath.Join(d.shortSocketDir(), name) }

// nodeSocket is a socket that nodes connect to: those are in a folder by
// themselves, which is all that nodes see of the others.
func (d *directory) nodeSocket(name string) string {
	return filepath.Join(d.shortSocketDir(), nodeSockets, name)
}

// shortSocketDir names the folder of sockets by our open file, because a unix
// socket's name is limited to 107 bytes and DIR may be anywhere.
func (d *directory) shortSocketDir() string {
	return fmt.Sprintf("/proc/self/fd/%d", d.sockets.Fd())
}

// openDirectory takes the lock of path, which only one process can hold.
func openDirectory(path string) (*directory, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path) // nodes have other links than we
	}
	if err != nil {
		return nil, fmt.Errorf("the cluster's directory: %w", err)
	}
	d := &directory{path: path}
	d.lock, err = os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the cluster's directory: %w", err)
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, ErrInUse), d.lock.Close())
	}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

func (d *directory) prepare() error {
	if err := os.RemoveAll(d.socketDir()); err != nil {
		return fmt.Errorf("remove old sockets: %w", err)
	}
	for _, folder := range []string{d.socketDir(), d.nodeSocketDir(), d.volumes(), d.nodes()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("the cluster's directory: %w", err)
		}
	}
	// Nodes go through this folder to their pods' volumes; nobody else comes so far.
	if err := os.Chmod(d.volumes(), 0o711); err != nil {
		return fmt.Errorf("the cluster's directory: %w", err)
	}
	if err := node.Give(d.nodeSocketDir()); err != nil {
		return err
	}
	sockets, err := os.Open(d.socketDir())
	if err != nil {
		return fmt.Errorf("the cluster's directory: %w", err)
	}
	d.sockets = sockets
	return nil
}

func (d *directory) close() error {
	return errors.Join(d.sockets.Close(), d.lock.Close())
}

// adminToken returns the token made at the first start.
func (d *directory) adminToken() (string, error) {
	data, err := os.ReadFile(d.token())
	if err == nil && len(data) > 0 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the admin token: %w", err)
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("make the admin token: %w", err)
	}
	token := hex.EncodeToString(random)
	return token, replaceFile(d.token(), []byte(token))
}

// keptPort returns the port picked at an earlier start, or 0.
func (d *directory) keptPort() (int, error) {
	data, err := os.ReadFile(d.port())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the kept port: %w", err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("read the kept port: %w", err)
	}
	return port, nil
}

// replaceFile writes data so that a reader, or a kill, sees the old or the new.
func replaceFile(path string, data []byte) error {
	draft := path + ".new"
	if err := writeSynced(draft, data); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return errors.Join(err, file.Close())
	}
	return errors.Join(file.Sync(), file.Close())
}
