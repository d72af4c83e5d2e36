package cluster_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/m3o/platform/internal/kube/cluster"
	"github.com/m3o/platform/internal/kube/controlplane"
	"github.com/m3o/platform/internal/kube/node"
)

// noNamespaces is the name under which the test binary takes the right to make
// user namespaces away from itself before it becomes m3o-kube.
const noNamespaces = "m3o-kube-without-namespaces"

func becomeWithoutNamespaces() error {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", append([]string{node.Program}, os.Args[1:]...), os.Environ())
}

func TestRefusedNamespaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeSpec(t, dir, cluster.Spec{Name: "lon1", Version: "1.37", LoadBalancerCIDR: "127.18.5.0/28"})
	cmd := exec.Command("/proc/self/exe", "cluster", "--dir", dir)
	cmd.Args[0] = noNamespaces
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("it ended with %v:\n%s", err, output)
	}
	if !strings.Contains(string(output), "this machine refuses what a node needs: user namespaces") {
		t.Errorf("it said:\n%s", output)
	}
	data, err := os.ReadFile(filepath.Join(dir, "status.json"))
	if err != nil {
		t.Fatal(err)
	}
	var status cluster.Status
	if err := json.Unmarshal(data, &status); err != nil || status.Ready || !strings.Contains(status.Error, "user namespaces") {
		t.Errorf("the status is %s", data)
	}
}

func TestBadWantedState(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := cluster.Spec{Name: "lon1", Version: "1.37", LoadBalancerCIDR: "127.18.5.0/28"}
	twice, ported := good, good
	twice.Nodes = []cluster.NodeSpec{member("node-a"), member("node-a")}
	ported.APIPort = taken.Addr().(*net.TCPAddr).Port
	for name, test := range map[string]struct {
		spec cluster.Spec
		says []string
	}{
		"everything wrong": {
			cluster.Spec{Name: "Lon_1", Version: "1.33", APIPort: -1, LoadBalancerCIDR: "10.0.0.0/8", Nodes: []cluster.NodeSpec{{Name: "a b"}},
				InsecureRegistries: []string{"192.0.2.2"}, OpenPorts: []uint16{0}, Authenticator: "http://192.0.2.2:80/review"},
			[]string{"openPorts: 1 ports", `authenticator "http://192.0.2.2:80/review" is not an address of the machine's loopback`, `"192.0.2.2" is not host:port`, `name "Lon_1"`, "1.37, 1.36, 1.35, 1.34", "apiPort -1", "loadBalancerCIDR", `node name "a b"`, "0 CPUs"},
		},
		"a node twice": {twice, []string{`"node-a" is listed twice`}},
		"a taken port": {ported, []string{"address already in use"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeSpec(t, dir, test.spec)
			p := start(t, dir)
			if err := p.wait(t, soon); err == nil {
				t.Fatal("it ended well")
			}
			status, err := p.status()
			if err != nil {
				t.Fatal(err)
			}
			for _, say := range test.says {
				if !strings.Contains(status.Error, say) || !strings.Contains(p.log.String(), say) {
					t.Errorf("%q is not said: %s", say, status.Error)
				}
			}
		})
	}
}

func TestVersions(t *testing.T) {
	for version, presented := range map[string]string{"1.34": "v1.34.0", "1.36": "v1.36.0"} {
		if err := controlplane.CheckVersion(version); err != nil {
			t.Error(err)
		}
		if got := controlplane.PresentedVersion(version); got != presented {
			t.Errorf("%s is presented as %s", version, got)
		}
	}
	for _, version := range []string{"", "1.33", "1.38", "1.3", "v1.36", "1.36.0", "2.36"} {
		if controlplane.CheckVersion(version) == nil {
			t.Errorf("version %q is taken", version)
		}
	}
}
