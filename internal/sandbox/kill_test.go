package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"github.com/m3o/platform/internal/sandbox"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

const (
	childCommand = "run-the-sandbox"
	// kills is how often the sandbox is killed while it is used.
	kills = 25
)

// TestMain lets this binary stand in for m3o-kube, and be a sandbox that can be killed.
func TestMain(m *testing.M) {
	if clusterstest.IsStandIn(os.Args) {
		os.Exit(clusterstest.StandIn(os.Args))
	}
	if len(os.Args) == 4 && os.Args[1] == childCommand {
		os.Exit(runChild(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

// runChild is the process that the tests kill.
func runChild(dir, port string) int {
	base, err := strconv.Atoi(port)
	if err == nil {
		err = sandbox.Run(context.Background(), sandbox.Config{Dir: dir, BasePort: base, TimeScale: 0.002, KubeBinary: os.Args[0],
			DropletLimit: 200, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), LeaseTimeout: time.Minute})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// victim is a sandbox in a process of its own.
type victim struct {
	*started
	dir  string
	port int
	cmd  *exec.Cmd
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{started: &started{t: t}, dir: filepath.Join(shortDir(t), "sandbox"), port: freePorts(t)}
	v.launch()
	t.Cleanup(v.end)
	v.do = sdk(t, v.dir, v.endpoints.Providers["digitalocean"])
	return v
}

// freePorts finds as many ports in a row as a sandbox has, below those that the machine gives to clients.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + 10*rand.IntN(1000)
		s := start(t, sandbox.Config{Dir: t.TempDir(), RunDir: t.TempDir(), BasePort: port, Clusters: clusterstest.New(1)})
		s.stop()
		return port
	}
	return 0
}

// launch starts the sandbox and waits until it answers.
func (v *victim) launch() {
	v.t.Helper()
	binary, err := os.Executable()
	must(v.t, err)
	v.cmd = exec.Command(binary, childCommand, v.dir, strconv.Itoa(v.port))
	v.cmd.Stderr = os.Stderr
	must(v.t, v.cmd.Start())
	control := fmt.Sprintf("http://127.0.0.1:%d", v.port)
	v.endpoints = sandbox.Endpoints{Control: control, Providers: map[string]string{"digitalocean": fmt.Sprintf("http://127.0.0.1:%d", v.port+1)}}
	deadline := time.Now().Add(30 * time.Second)
	for {
		answer, err := http.Get(control + "/healthz")
		if err == nil {
			_ = answer.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("the sandbox does not answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// kill ends the sandbox as a power cut would, and starts it again.
func (v *victim) kill() {
	v.t.Helper()
	must(v.t, v.cmd.Process.Kill())
	_ = v.cmd.Wait() // it was killed
	v.launch()
}

// end kills the sandbox and its clusters.
func (v *victim) end() {
	must(v.t, v.cmd.Process.Signal(syscall.SIGKILL))
	_ = v.cmd.Wait()
	entries, err := os.ReadDir(filepath.Join(v.dir, "clusters"))
	must(v.t, err)
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(v.dir, "clusters", entry.Name(), "status.json"))
		var status struct{ PID int }
		if err == nil && json.Unmarshal(data, &status) == nil && status.PID > 0 {
			_ = syscall.Kill(status.PID, syscall.SIGKILL)
		}
	}
}

// TestKilledSandbox kills the sandbox again and again while several users make, scale and delete clusters as our product
// does: they look before they create, and ask again when there is no answer. In the end nothing was made twice, nothing is
// left over, and the ledger says exactly that.
func TestKilledSandbox(t *testing.T) {
	v := newVictim(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var users sync.WaitGroup
	rounds := make([]int, 3)
	for i := range rounds {
		users.Go(func() {
			for ctx.Err() == nil {
				v.useOnce(fmt.Sprintf("region-%d", i))
				rounds[i]++
			}
		})
	}
	for range kills {
		time.Sleep(time.Duration(50+rand.IntN(700)) * time.Millisecond)
		v.kill()
	}
	stop()
	users.Wait()
	t.Logf("%d kills while %v rounds of create, scale and delete", kills, rounds)
	for i, n := range rounds {
		if n == 0 {
			t.Errorf("user %d did not finish a round", i)
		}
	}
	v.checkLedger()
	left, err := os.ReadDir(filepath.Join(v.dir, "clusters"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%d clusters' folders are left", len(left))
	}
}

// useOnce makes a network and a cluster in it, scales it, and deletes both, whatever happens meanwhile.
func (v *victim) useOnce(name string) {
	ctx := context.Background()
	network := insist(v, name+": network", func() (*godo.VPC, error) { return v.ensureVPC(ctx, name) })
	cluster := insist(v, name+": cluster", func() (*godo.KubernetesCluster, error) { return v.ensureCluster(ctx, name, network.ID) })
	insist(v, name+": running", func() (any, error) { return nil, v.expect(ctx, cluster.ID, godo.KubernetesClusterStatusRunning) })
	insist(v, name+": scale", func() (any, error) {
		count := 2
		_, _, err := v.do.Kubernetes.UpdateNodePool(ctx, cluster.ID, cluster.NodePools[0].ID, &godo.KubernetesNodePoolUpdateRequest{Count: &count})
		return nil, err
	})
	insist(v, name+": delete", func() (any, error) {
		response, err := v.do.Kubernetes.Delete(ctx, cluster.ID)
		if response != nil && response.StatusCode == http.StatusNotFound {
			return nil, nil
		}
		if err == nil {
			err = errors.New("not gone yet")
		}
		return nil, err
	})
	insist(v, name+": network's end", func() (any, error) {
		response, err := v.do.VPCs.Delete(ctx, network.ID)
		if response != nil && response.StatusCode == http.StatusNotFound {
			return nil, nil
		}
		return nil, err
	})
}

func (v *victim) ensureVPC(ctx context.Context, name string) (*godo.VPC, error) {
	all, _, err := v.do.VPCs.List(ctx, &godo.ListOptions{PerPage: 200})
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Name == name {
			return one, nil
		}
	}
	made, _, err := v.do.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: name, RegionSlug: "lon1"})
	return made, err
}

func (v *victim) ensureCluster(ctx context.Context, name, network string) (*godo.KubernetesCluster, error) {
	all, _, err := v.do.Kubernetes.List(ctx, &godo.ListOptions{PerPage: 200})
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Name == name {
			return one, nil
		}
	}
	made, _, err := v.do.Kubernetes.Create(ctx, &godo.KubernetesClusterCreateRequest{Name: name, RegionSlug: "lon1", VersionSlug: "1.34", VPCUUID: network,
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "s-2vcpu-4gb", Count: 1}}})
	return made, err
}

func (v *victim) expect(ctx context.Context, id string, state godo.KubernetesClusterStatusState) error {
	cluster, _, err := v.do.Kubernetes.Get(ctx, id)
	if err == nil && cluster.Status.State != state {
		err = fmt.Errorf("it is %s: %s", cluster.Status.State, cluster.Status.Message)
	}
	return err
}

// insist asks again until there is an answer that pleases.
func insist[T any](v *victim, what string, ask func() (T, error)) T {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		got, err := ask()
		if err == nil {
			return got
		}
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("%s: %v", what, err)) // not in the test's goroutine
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// checkLedger checks that everything was created once and deleted once, and that nothing exists.
func (v *victim) checkLedger() {
	v.t.Helper()
	created, deleted := map[string]int{}, map[string]int{}
	last := int64(0)
	for _, e := range v.effects() {
		if e.Seq != last+1 {
			v.t.Errorf("line %d follows line %d", e.Seq, last)
		}
		last = e.Seq
		switch e.Kind {
		case world.Created:
			created[e.Resource+"/"+e.ID]++
		case world.Deleted:
			deleted[e.Resource+"/"+e.ID]++
		}
	}
	for id, n := range created {
		if n != 1 || deleted[id] != 1 {
			v.t.Errorf("%s was created %d times and deleted %d times", id, n, deleted[id])
		}
	}
	if len(created) != len(deleted) || len(created) == 0 {
		v.t.Errorf("%d things were created, %d deleted", len(created), len(deleted))
	}
	var state struct {
		Providers map[string]map[string][]struct {
			Name    string
			Default bool
		}
	}
	must(v.t, json.Unmarshal(v.ask(http.MethodGet, "/_sandbox/state", nil, http.StatusOK), &state))
	for kind, all := range state.Providers["digitalocean"] {
		for _, one := range all {
			if !one.Default { // the default VPCs were there before
				v.t.Errorf("left over: %s %s", kind, one.Name)
			}
		}
	}
	v.t.Logf("%d lines in the ledger, %d things created once and deleted once", last, len(created))
}

// TestRestartedSandboxKeepsItsClusters kills the sandbox while a cluster runs: the cluster goes on, and is found again.
func TestRestartedSandboxKeepsItsClusters(t *testing.T) {
	v := newVictim(t)
	network, err := v.ensureVPC(t.Context(), "net")
	must(t, err)
	cluster, err := v.ensureCluster(t.Context(), "lon1", network.ID)
	must(t, err)
	v.kill() // while it is being made
	v.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	pidFile := filepath.Join(filepath.Dir(v.dir), "run", "cluster-lon1.pid")
	before := readPID(t, pidFile)
	v.kill()
	v.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	time.Sleep(1500 * time.Millisecond)
	if after := readPID(t, pidFile); after != before || v.state(cluster.ID) != godo.KubernetesClusterStatusRunning {
		t.Errorf("process %d runs the cluster instead of %d", after, before)
	}
	for _, e := range v.effects() {
		if strings.Contains(e.State, "degraded") {
			t.Errorf("the cluster was taken for ill: %+v", e)
		}
	}
}
