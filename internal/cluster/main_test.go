package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/region"
)

// kubeBinary runs a real control plane; the tests fail without it.
var kubeBinary = "../../bin/m3o-kube"

// The cluster of this package's tests: an API server with its controllers and scheduler, and no nodes.
var (
	kubeconfig []byte
	client     *cluster.Client
	admin      kubernetes.Interface
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, stop, err := startCluster(`{"name":"test","version":"1.37","apiPort":0,"loadBalancerCIDR":"127.19.7.0/28","nodes":[]}`)
	if err == nil {
		defer stop()
		err = connect(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start a cluster for the tests:", err)
		return 1
	}
	return m.Run()
}

// startCluster runs a cluster on a folder of its own and returns when it is ready.
func startCluster(spec string) (dir string, stop func(), err error) {
	binary, err := filepath.Abs(kubeBinary)
	if err != nil {
		return "", nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return "", nil, fmt.Errorf("%s is not there: run make build", kubeBinary)
	}
	if dir, err = os.MkdirTemp("", "cluster-test-"); err != nil {
		return "", nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte(spec), 0o600); err != nil {
		return "", nil, err
	}
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		return "", nil, err
	}
	kube := exec.Command(binary, "cluster", "--dir", dir)
	kube.Stdout, kube.Stderr = output, output
	if err := kube.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		kube.Process.Signal(syscall.SIGTERM)
		kube.Wait()
		os.RemoveAll(dir)
	}
	if err := awaitCluster(dir); err != nil {
		said, _ := os.ReadFile(output.Name())
		stop()
		return "", nil, fmt.Errorf("%w\n%s", err, said)
	}
	return dir, stop, nil
}

func awaitCluster(dir string) error {
	deadline := time.Now().Add(90 * time.Second)
	for time.Now().Before(deadline) {
		var status struct {
			Ready bool
			Nodes []struct{ Ready bool }
		}
		data, err := os.ReadFile(filepath.Join(dir, "status.json"))
		if err == nil && json.Unmarshal(data, &status) == nil && status.Ready &&
			!slices.ContainsFunc(status.Nodes, func(n struct{ Ready bool }) bool { return !n.Ready }) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the cluster is not ready after 90 seconds")
}

func connect(dir string) (err error) {
	if kubeconfig, err = os.ReadFile(filepath.Join(dir, "admin.kubeconfig")); err != nil {
		return err
	}
	if client, err = cluster.Connect(kubeconfig, nil); err != nil {
		return err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst, config.WarningHandler = 200, 400, rest.NoWarnings{}
	if admin, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	return client.ApplyFoundations(context.Background(), wholeRegion)
}

// wholeRegion lists every part there is. All tests share its foundations; those that change its parts say so.
var wholeRegion = region.Spec{
	Platform: "micro", Domain: "micro.example", Name: "lon1", Provider: region.DigitalOcean, Location: "lon1",
	Kubernetes: region.Kubernetes{Version: "1.37", Nodes: region.Nodes{Count: 3, Size: "s-2vcpu-4gb"}},
	Resource:   []region.Part{region.Etcd, region.NATS, region.CockroachDB}, Network: []region.Part{region.API},
}

var images = cluster.Parts{
	Images:  map[region.Part]string{region.API: "registry.example/m3o@sha256:" + strings.Repeat("1", 64)},
	Gateway: cluster.Gateway{Keys: []byte(`{"keys":[]}`)},
}

// patience is generous: the machine may be doing something else, and a crash loop takes its time.
const patience = 2 * time.Minute

// eventually waits until the condition holds, or fails the test with what it said last.
func eventually(t *testing.T, what string, holds func() (bool, string)) {
	t.Helper()
	deadline, said := time.Now().Add(patience), ""
	for time.Now().Before(deadline) {
		var ok bool
		if ok, said = holds(); ok {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s: not within %s: %s", what, patience, said)
}
