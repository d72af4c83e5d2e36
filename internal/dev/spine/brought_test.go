//go:build embedded

package spine

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refusing runs a program as a machine does that refuses user namespaces.
var refusing = []string{"unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"`, "sh"}

// TestClustersBroughtAlong is for whoever cannot have the built-in clusters: the region is a cluster that somebody else runs,
// and sources are compiled without a jail. Its nodes are on this machine and find the registry on the loopback: nothing here
// listens anywhere else.
func TestClustersBroughtAlong(t *testing.T) {
	offset := freeOffset(t)
	p := start(t, settings{offset: offset, scale: 0.01, poll: "200ms", more: []string{"--unjailed", "--kubeconfig", bringCluster(t, 5001+offset)}, within: refusing})
	file := p.file("lon1")
	p.must("apply", "-f", file, "--yes")
	r := decode[ran](t, p.must("run", hello, "--name", "hello", "--json"))
	if len(r.Regions) != 1 || r.Regions[0].Status != "ready" {
		t.Fatalf("run ends with %+v", r)
	}
	if body := get(t, r.Regions[0].URL); !strings.Contains(body, "lon1") {
		t.Errorf("the service answers %q", body)
	}
	if out := p.must("call", "hello", "/greet", `{"name":"Ada"}`); !strings.Contains(out, "Ada") {
		t.Errorf("call prints %q", out)
	}
	if !strings.Contains(p.tail(), "--unjailed") {
		t.Errorf("m3o dev does not warn: %s", p.tail())
	}
	p.must("kill", "hello", "--yes")
	p.must("destroy", "-f", file, "--yes")
	p.nothingLeft()
	p.once(1, true)
}

// bringCluster runs a cluster that nothing of the platform knows, whose nodes reach the registry, and returns the path of its
// kubeconfig.
func bringCluster(t *testing.T, registry int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "brought-")
	if err != nil {
		t.Fatal(err)
	}
	spec := map[string]any{"name": "brought", "version": "1.34", "loadBalancerCIDR": "127.19.9.0/28", "openPorts": []int{registry},
		"nodes": []map[string]any{{"name": "only", "pool": "only", "cpu": 2, "memoryMiB": 4096}}}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cluster.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "kube.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(program(t)), "m3o-kube"), "cluster", "--dir", dir)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		log.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	eventually(t, time.Minute, func() error { return nodeReady(dir) })
	return filepath.Join(dir, "admin.kubeconfig")
}

// nodeReady says what the cluster in dir still waits for.
func nodeReady(dir string) error {
	var status struct {
		Nodes []struct{ Ready bool } `json:"nodes"`
		Error string                 `json:"error"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "status.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &status); err != nil {
		return err
	}
	if len(status.Nodes) == 0 || !status.Nodes[0].Ready {
		return fmt.Errorf("the node is not ready: %s", status.Error)
	}
	return nil
}
