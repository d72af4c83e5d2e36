package cluster

import (
	"context"
	"encoding/json"
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
	cmd := node.Command(m.config.Dir)
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

// prepare writes what the process reads: its configuration and credentials.
func (m *member) prepare() error {
	if err := os.MkdirAll(filepath.Join(m.config.Dir, "pki"), 0o700); err != nil {
		return fmt.Errorf("make the directory of node %s: %w", m.config.Name, err)
	}
	data, err := json.Marshal(m.config)
	if err != nil {
		return fmt.Errorf("write the configuration of node %s: %w", m.config.Name, err)
	}
	if err := replaceFile(node.File(m.config.Dir), data); err != nil {
		return err
	}
	if err := replaceFile(m.config.AuthorityCert(), m.authority.CertPEM); err != nil {
		return err
	}
	return m.issueCredentials()
}

func (m *member) issueCredentials() error {
	client, err := m.authority.Issue(controlplane.Identity{
		User: "system:node:" + m.config.Name, Groups: []string{"system:nodes"},
	})
	if err != nil {
		return err
	}
	server, err := m.authority.Issue(controlplane.Identity{
		User: "system:node:" + m.config.Name, Groups: []string{"system:nodes"},
		Names: []string{m.config.Name}, IPs: []net.IP{m.config.Address().AsSlice()},
	})
	if err != nil {
		return err
	}
	for path, data := range map[string][]byte{
		m.config.ClientCert(): client.Cert, m.config.ClientKey(): client.Key,
		m.config.ServerCert(): server.Cert, m.config.ServerKey(): server.Key,
	} {
		if err := replaceFile(path, data); err != nil {
			return err
		}
	}
	return nil
}
