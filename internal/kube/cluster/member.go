package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/kube/controlplane"
	"github.com/m3o/platform/internal/kube/node"
)

const (
	restartWaitMin = 500 * time.Millisecond
	restartWaitMax = 20 * time.Second
	// A node that ran this long had no trouble starting.
	restartReset = time.Minute
	// nodeStopLimit is how long a node may take to end: its pods' grace, which is
	// eight seconds, and a little.
	nodeStopLimit = 11 * time.Second
)

// member is one node's process, restarted until its context ends.
type member struct {
	config    node.Config
	authority *controlplane.Authority
	logger    *slog.Logger
}

// run keeps the node's process running until ctx ends, and then stops it.
func (m *member) run(ctx context.Context) {
	wait := restartWaitMin
	for ctx.Err() == nil {
		start := time.Now()
		err := m.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > restartReset {
			wait = restartWaitMin
		}
		m.logger.Error("node: ended, starting it again", "node", m.config.Name, "error", err, "wait", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(wait*2, restartWaitMax)
	}
}

// once runs the process to its end, or stops it when ctx ends.
func (m *member) once(ctx context.Context) error {
	if err := m.prepare(); err != nil {
		return err
	}
	cmd, err := node.Command(m.config)
	if err != nil {
		return err
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- node.Run(cmd, started) }()
	<-started
	if cmd.Process == nil {
		return <-ended
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		return err
	case <-time.After(nodeStopLimit):
		m.logger.Warn("node: did not stop in time, killing it", "node", m.config.Name)
		_ = cmd.Process.Kill()
		return <-ended
	}
}

// prepare writes what the process reads: its configuration and credentials. The
// node's directory is the node's own, so nothing in it is trusted: no link in it
// leads us out of it.
func (m *member) prepare() error {
	files, err := m.credentials()
	if err != nil {
		return err
	}
	if files[node.File(m.config.Dir)], err = json.Marshal(m.config); err != nil {
		return fmt.Errorf("write the configuration of node %s: %w", m.config.Name, err)
	}
	if err := os.MkdirAll(m.config.Dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of node %s: %w", m.config.Name, err)
	}
	if err := node.Give(m.config.Dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(m.config.Dir)
	if err != nil {
		return fmt.Errorf("open the directory of node %s: %w", m.config.Name, err)
	}
	defer root.Close()
	for path, data := range files {
		name, err := filepath.Rel(m.config.Dir, path)
		if err == nil {
			err = handOver(root, name, data)
		}
		if err != nil {
			return fmt.Errorf("write for node %s: %w", m.config.Name, err)
		}
	}
	return nil
}

// handOver writes a file below root that belongs to the nodes' user. A reader, or
// a kill, sees the old or the new.
func handOver(root *os.Root, name string, data []byte) error {
	uid, gid, _ := node.Owner()
	draft := name + ".new"
	if folder := filepath.Dir(name); folder != "." {
		if err := root.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if err := root.Lchown(folder, uid, gid); err != nil {
			return err
		}
	}
	if err := root.Remove(draft); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := root.OpenFile(draft, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, file.Chown(uid, gid), file.Sync(), file.Close()); err != nil {
		return err
	}
	return root.Rename(draft, name)
}

// credentials are the node's certificates and keys, by their files.
func (m *member) credentials() (map[string][]byte, error) {
	client, err := m.authority.Issue(controlplane.Identity{
		User: "system:node:" + m.config.Name, Groups: []string{"system:nodes"},
	})
	if err != nil {
		return nil, err
	}
	server, err := m.authority.Issue(controlplane.Identity{
		User: "system:node:" + m.config.Name, Groups: []string{"system:nodes"},
		Names: []string{m.config.Name}, IPs: []net.IP{m.config.Address().AsSlice()},
	})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		m.config.AuthorityCert(): m.authority.CertPEM,
		m.config.ClientCert():    client.Cert, m.config.ClientKey(): client.Key,
		m.config.ServerCert(): server.Cert, m.config.ServerKey(): server.Key,
	}, nil
}
