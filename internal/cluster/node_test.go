package cluster_test

import (
	"cmp"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/release"
)

// oneNode is a cluster with a real kubelet, which runs what the tests deploy.
type oneNode struct {
	client            *cluster.Client
	admin             kubernetes.Interface
	image, repository string
}

// TestServicesOnANode deploys to a real kubelet: what runs, what does not, and what a developer is told of it.
func TestServicesOnANode(t *testing.T) {
	n := startNode(t)
	t.Run("runs, rolls and goes", n.lives)
	t.Run("listens on a port of the system", n.usesSystemPort)
	for _, c := range []struct {
		name, behaviour, health, image string
		failed                         bool
		words                          []string
	}{
		{name: "crashes", behaviour: "crash", failed: true, words: []string{"exit code 3", "its last words:\nthe database is not configured"}},
		{name: "elsewhere", behaviour: "elsewhere", words: []string{"nothing answers on port 9090: listen on $PORT"}},
		{name: "unwell", behaviour: "unwell", health: "/healthz", words: []string{"/healthz on port 9090 answers with status 503"}},
		{name: "imageless", image: n.repository + "@sha256:" + strings.Repeat("0", 64), failed: true, words: []string{"cannot be pulled"}},
		{name: "registryless", image: "127.0.0.1:1/app:1", words: []string{"cannot be pulled", "refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := n.release(c.name, 1)
			r.Spec.Args, r.Spec.Health = []string{c.behaviour}, c.health
			r.Image = cmp.Or(c.image, n.image)
			n.explains(t, r, c.failed, c.words)
		})
	}
}

func startNode(t *testing.T) *oneNode {
	t.Helper()
	dir, stop, err := startCluster(`{"name":"node","version":"1.34","apiPort":0,"loadBalancerCIDR":"127.19.7.16/28","nodes":[{"name":"pool-1","pool":"pool","cpu":4,"memoryMiB":4096}]}`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	kubeconfig, err := os.ReadFile(filepath.Join(dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	n := &oneNode{client: connected(t, kubeconfig), image: pushApp(t)}
	n.repository, _, _ = strings.Cut(n.image, "@")
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if n.admin, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if err := n.client.ApplyFoundations(t.Context(), wholeRegion); err != nil {
		t.Fatal(err)
	}
	return n
}

// pushApp builds testdata/app and puts its image into a registry on the loopback.
func pushApp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "app"), "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the app: %v\n%s", err, output)
	}
	packed, err := image.FromBinary(dir, filepath.Join(dir, "app"), runtime.GOARCH, image.Config{Path: "/app", Entrypoint: []string{"/app"}})
	if err != nil {
		t.Fatal(err)
	}
	registry, err := image.NewRegistry(filepath.Join(dir, "registry"), image.RegistryLimits{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry)
	t.Cleanup(server.Close)
	reference, err := image.Client{}.Push(t.Context(), strings.TrimPrefix(server.URL, "http://")+"/app", "", packed)
	if err != nil {
		t.Fatal(err)
	}
	return reference
}

func (n *oneNode) release(name string, number int) release.Release {
	return release.Release{Service: release.Key{Project: "default", Name: name}, Number: number, Image: n.image,
		Spec: release.Spec{Access: release.Public, Port: 9090, Replicas: 1}}
}

// deploy applies the release and waits until it is done.
func (n *oneNode) deploy(t *testing.T, r release.Release) {
	t.Helper()
	if err := n.client.ApplyService(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	eventually(t, fmt.Sprintf("release %d of %s is done", r.Number, r.Service), func() (bool, string) {
		state, err := n.client.ServiceState(t.Context(), r.Service, r.Number)
		if err == nil && state.Failed {
			t.Fatalf("release %d failed: %s", r.Number, state.Reason)
		}
		return err == nil && state.Done, fmt.Sprintf("%+v, %v", state, err)
	})
}

// ask calls the service through the API server.
func (n *oneNode) ask(t *testing.T, key release.Key) string {
	t.Helper()
	answer, err := n.admin.CoreV1().Services(release.Namespace(key.Project)).ProxyGet("http", key.Name, "80", "/", nil).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func (n *oneNode) lives(t *testing.T) {
	for number := 1; number <= 2; number++ {
		r := n.release("hello", number)
		r.Spec.Replicas, r.Spec.Port = 2, 9089+number
		begin := time.Now()
		n.deploy(t, r)
		t.Logf("release %d done in %s", number, time.Since(begin))
		if got, want := n.ask(t, r.Service), fmt.Sprintf("release %d in lon1 as 65532", number); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	key := n.release("hello", 2).Service
	if err := n.client.DeleteService(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the service is gone", func() (bool, string) {
		gone, err := n.client.ServiceGone(t.Context(), key)
		return gone && err == nil, fmt.Sprint(err)
	})
}

// A program on port 80 runs without root.
func (n *oneNode) usesSystemPort(t *testing.T) {
	r := n.release("system", 1)
	r.Spec.Port = 80
	n.deploy(t, r)
	if got := n.ask(t, r.Service); got != "release 1 in lon1 as 65532" {
		t.Errorf("got %q", got)
	}
}

// explains waits until the state of a release that does not come up says all the words, given up or not.
func (n *oneNode) explains(t *testing.T, r release.Release, failed bool, words []string) {
	t.Helper()
	if err := n.client.ApplyService(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reason", func() (bool, string) {
		state, err := n.client.ServiceState(t.Context(), r.Service, r.Number)
		if err != nil {
			return false, err.Error()
		}
		if state.Done {
			t.Fatal("it is done")
		}
		said := !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(state.Reason, w) })
		return said && state.Failed == failed, fmt.Sprintf("failed %v: %s", state.Failed, state.Reason)
	})
	if err := n.client.DeleteService(t.Context(), r.Service); err != nil {
		t.Fatal(err)
	}
}
