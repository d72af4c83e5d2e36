package cluster_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/m3o/platform/internal/kube/cluster"
)

func TestStopsWithoutOwner(t *testing.T) {
	t.Parallel()
	const limit = 5 * time.Second
	dir := t.TempDir()
	writeSpec(t, dir, cluster.Spec{
		Name: "lon1", Version: "1.37", LoadBalancerCIDR: "127.18.6.0/28", Nodes: []cluster.NodeSpec{member("node-a")},
	})
	p := start(t, dir, "--owner-timeout", limit.String())
	p.waitReady(t, "node-a")
	for begin := time.Now(); time.Since(begin) < 2*limit; time.Sleep(poll) {
		touchOwner(t, dir)
		select {
		case err := <-p.ended:
			p.ended <- err
			t.Fatalf("it ended under its owner's eyes: %v", err)
		default:
		}
	}
	if err := p.wait(t, soon); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("the processes %v are left", left)
	}
	if status, err := p.status(); err != nil || status.Ready || status.Error != "" {
		t.Errorf("the status is %+v, %v", status, err)
	}
}

// A cluster that is on its way down to start again is told to stop: it does not start again.
func TestStopsOnItsWayToAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spec := cluster.Spec{Name: "lon1", Version: "1.36", LoadBalancerCIDR: "127.18.7.0/28", Nodes: []cluster.NodeSpec{member("node-a")}}
	writeSpec(t, dir, spec)
	p := start(t, dir)
	p.waitReady(t, "node-a")
	spec.Version = "1.37"
	writeSpec(t, dir, spec)
	for begin := time.Now(); len(processesOf(t, filepath.Join(dir, "nodes", "node-a"))) > 0; time.Sleep(poll / 10) {
		if time.Since(begin) > soon {
			t.Fatal("the node does not end")
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t, soon); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func touchOwner(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "owner")
	now := time.Now()
	err := os.Chtimes(path, now, now)
	if errors.Is(err, os.ErrNotExist) {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
