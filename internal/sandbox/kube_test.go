package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/sandbox"
)

// kubeBinary is the m3o-kube that make build makes.
func kubeBinary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/m3o-kube")
	must(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("there is no %s: run make build", path)
	}
	return path
}

// shortDir is a temporary directory with a short name: below it are unix sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// logsOnFailure shows what the clusters of a sandbox have to say, if the test fails.
func logsOnFailure(t *testing.T, dir string) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, name := range []string{"cluster.json", "status.json", "log"} {
			files, err := filepath.Glob(filepath.Join(dir, "clusters", "*", name))
			must(t, err)
			for _, file := range files {
				data, err := os.ReadFile(file)
				t.Logf("%s: %v\n%s", file, err, data[max(0, len(data)-20_000):])
			}
		}
	})
}

// TestRealCluster makes a cluster with the official SDK, uses it with the official client, loses the sandbox's process
// and the cluster's, scales, and deletes it.
func TestRealCluster(t *testing.T) {
	config := sandbox.Config{Dir: shortDir(t), RunDir: t.TempDir(), BasePort: sandbox.AnyPort, TimeScale: 0.01, KubeBinary: kubeBinary(t)}
	s := start(t, config)
	logsOnFailure(t, config.Dir)
	cluster, _, err := s.do.Kubernetes.Create(t.Context(), &godo.KubernetesClusterCreateRequest{Name: "lon1", RegionSlug: "lon1", VersionSlug: "1.34",
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "s-2vcpu-4gb", Count: 1, Labels: map[string]string{"team": "blue"}}}})
	must(t, err)
	s.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	client := s.kubernetes(cluster.ID)
	nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	checkNodes(t, nodes.Items, cluster.ID)
	version, err := client.Discovery().ServerVersion()
	must(t, err)
	if !strings.HasPrefix(version.GitVersion, "v1.34.") {
		t.Errorf("the API server says it is %s", version.GitVersion)
	}
	s.balancerFollowsService(client, cluster.ID)
	s.standsInForAnother(cluster.ID)
	s.scalesAndUpgrades(client, cluster)
	s.survivesKilledCluster(cluster.ID, filepath.Join(config.RunDir, "cluster-lon1.pid"))
	_, err = s.do.Kubernetes.Delete(t.Context(), cluster.ID)
	must(t, err)
	s.waitGone(cluster.ID)
	if left, err := os.ReadDir(filepath.Join(config.Dir, "clusters")); err != nil || len(left) > 0 {
		t.Errorf("left of the cluster: %v %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(config.RunDir, "cluster-lon1.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is left: %v", err)
	}
	s.stop()
	if out, err := exec.Command("pgrep", "-f", config.Dir).Output(); err == nil {
		t.Errorf("processes are left: %s", out)
	}
}

func checkNodes(t *testing.T, nodes []corev1.Node, id string) {
	t.Helper()
	if len(nodes) != 1 {
		t.Fatalf("the cluster has %d nodes", len(nodes))
	}
	for key, want := range map[string]string{"team": "blue", "doks.digitalocean.com/node-pool": "main",
		"topology.kubernetes.io/region": "lon1", "node.kubernetes.io/instance-type": "s-2vcpu-4gb"} {
		if got := nodes[0].Labels[key]; got != want {
			t.Errorf("the node of %s has label %s=%q, want %q", id, key, got, want)
		}
	}
}

// kubernetes is a client with the kubeconfig that the cloud gives.
func (s *started) kubernetes(id string) kubernetes.Interface {
	s.t.Helper()
	file, _, err := s.do.Kubernetes.GetKubeConfig(s.t.Context(), id, nil)
	must(s.t, err)
	config, err := clientcmd.RESTConfigFromKubeConfig(file.KubeconfigYAML)
	must(s.t, err)
	client, err := kubernetes.NewForConfig(config)
	must(s.t, err)
	return client
}

// balancerFollowsService sees that a Service of type LoadBalancer makes one in the account, and takes it along.
func (s *started) balancerFollowsService(client kubernetes.Interface, id string) {
	s.t.Helper()
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 8765}}}}
	_, err := client.CoreV1().Services("default").Create(s.t.Context(), service, metav1.CreateOptions{})
	must(s.t, err)
	s.eventually("a load balancer with an address", func() bool {
		all, _, err := s.do.LoadBalancers.List(s.t.Context(), nil)
		must(s.t, err)
		return len(all) == 1 && strings.HasPrefix(all[0].IP, "127.") && all[0].ForwardingRules[0].EntryPort == 8765
	})
	associated, _, err := s.do.Kubernetes.ListAssociatedResourcesForDeletion(s.t.Context(), id)
	must(s.t, err)
	if len(associated.LoadBalancers) != 1 {
		s.t.Errorf("associated with the cluster: %+v", associated)
	}
	must(s.t, client.CoreV1().Services("default").Delete(s.t.Context(), "web", metav1.DeleteOptions{}))
	s.eventually("the load balancer is gone", func() bool {
		all, _, err := s.do.LoadBalancers.List(s.t.Context(), nil)
		must(s.t, err)
		return len(all) == 0
	})
}

// standsInForAnother gives the cluster's kubeconfig to another sandbox, which takes it for the clusters it is asked for.
func (s *started) standsInForAnother(id string) {
	s.t.Helper()
	file, _, err := s.do.Kubernetes.GetKubeConfig(s.t.Context(), id, nil)
	must(s.t, err)
	path := filepath.Join(s.t.TempDir(), "kubeconfig")
	must(s.t, os.WriteFile(path, file.KubeconfigYAML, 0o600))
	config := sandbox.Config{Dir: s.t.TempDir(), RunDir: s.t.TempDir(), BasePort: sandbox.AnyPort, TimeScale: 0.001, Kubeconfig: path}
	other := start(s.t, config)
	request := &godo.KubernetesClusterCreateRequest{Name: "borrowed", RegionSlug: "nyc3", VersionSlug: "1.36", Tags: []string{"m3o:micro:nyc3"},
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "main", Size: "c-2", Count: 1}}}
	borrowed, _, err := other.do.Kubernetes.Create(s.t.Context(), request)
	must(s.t, err)
	request.Name = "second"
	_, response, err := other.do.Kubernetes.Create(s.t.Context(), request)
	if response == nil || response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(err.Error(), "do-lon1-lon1") {
		s.t.Errorf("a second cluster on the only context: %v", err)
	}
	other.waitState(borrowed.ID, godo.KubernetesClusterStatusRunning)
	other.stop()
	other = start(s.t, config) // who has taken what is kept
	client := other.kubernetes(borrowed.ID)
	ours := map[string]string{"app.kubernetes.io/managed-by": "m3o", "m3o.dev/platform": "micro", "m3o.dev/region": "nyc3"}
	for name, labels := range map[string]map[string]string{"shop": ours, "colleague": nil} {
		space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		_, err = client.CoreV1().Namespaces().Create(s.t.Context(), space, metav1.CreateOptions{})
		must(s.t, err)
	}
	_, err = other.do.Kubernetes.Delete(s.t.Context(), borrowed.ID)
	must(s.t, err)
	other.waitGone(borrowed.ID)
	names, err := client.CoreV1().Namespaces().List(s.t.Context(), metav1.ListOptions{})
	must(s.t, err)
	for _, namespace := range names.Items {
		if namespace.Name == "shop" {
			s.t.Error("what was made in the borrowed cluster is left")
		}
	}
	if len(names.Items) < 5 {
		s.t.Errorf("too much was removed from the borrowed cluster: %d namespaces are left", len(names.Items))
	}
}

// scalesAndUpgrades sees that the real cluster follows.
func (s *started) scalesAndUpgrades(client kubernetes.Interface, cluster *godo.KubernetesCluster) {
	s.t.Helper()
	count := 2
	_, _, err := s.do.Kubernetes.UpdateNodePool(s.t.Context(), cluster.ID, cluster.NodePools[0].ID, &godo.KubernetesNodePoolUpdateRequest{Count: &count})
	must(s.t, err)
	s.eventually("two nodes run", func() bool {
		pool, _, err := s.do.Kubernetes.GetNodePool(s.t.Context(), cluster.ID, cluster.NodePools[0].ID)
		must(s.t, err)
		return len(pool.Nodes) == 2 && pool.Nodes[0].Status.State == "running" && pool.Nodes[1].Status.State == "running"
	})
	nodes, err := client.CoreV1().Nodes().List(s.t.Context(), metav1.ListOptions{})
	must(s.t, err)
	if len(nodes.Items) != 2 {
		s.t.Errorf("the API server has %d nodes", len(nodes.Items))
	}
	_, err = s.do.Kubernetes.Upgrade(s.t.Context(), cluster.ID, &godo.KubernetesClusterUpgradeRequest{VersionSlug: "1.35.1-do.0"})
	must(s.t, err)
	s.waitState(cluster.ID, godo.KubernetesClusterStatusUpgrading)
	s.waitState(cluster.ID, godo.KubernetesClusterStatusRunning)
	version, err := client.Discovery().ServerVersion()
	must(s.t, err)
	if !strings.HasPrefix(version.GitVersion, "v1.35.") {
		s.t.Errorf("after the upgrade, the API server says it is %s", version.GitVersion)
	}
}

// survivesKilledCluster kills the cluster's process: the cloud says so, and brings it back.
func (s *started) survivesKilledCluster(id, pidFile string) {
	s.t.Helper()
	killed := readPID(s.t, pidFile)
	process, err := os.FindProcess(killed)
	must(s.t, err)
	must(s.t, process.Kill())
	s.eventually("another process runs the cluster", func() bool {
		data, err := os.ReadFile(pidFile)
		return err == nil && strings.TrimSpace(string(data)) != "" && readPID(s.t, pidFile) != killed
	})
	s.eventually("the cluster is running again", func() bool {
		return s.state(id) == godo.KubernetesClusterStatusRunning && s.answers(id)
	})
}

// answers says whether the cluster's API server answers.
func (s *started) answers(id string) bool {
	_, response, err := s.do.Kubernetes.GetKubeConfig(s.t.Context(), id, nil)
	if err != nil || response.StatusCode != http.StatusOK {
		return false
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	_, err = s.kubernetes(id).CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
	return err == nil
}
