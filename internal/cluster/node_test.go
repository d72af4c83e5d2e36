package cluster_test

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// imagesDir holds the programs of the parts, as make build leaves them.
var imagesDir = "../../bin/images"

// oneNode is a region whose cluster has a real kubelet, which runs what the tests apply.
type oneNode struct {
	client     *cluster.Client
	admin      kubernetes.Interface
	registry   string // host:port
	gateway    string // base URL
	spec       region.Spec
	parts      cluster.Parts
	app, empty string // references of the tests' service, and of an image that is not there
}

// TestOnANode runs the parts and services on a real kubelet: what comes up, what does not, and what is said of it.
func TestOnANode(t *testing.T) {
	n := startNode(t)
	if !t.Run("the parts come up", n.bringsPartsUp) {
		return
	}
	t.Run("a member comes back to its data", n.replacesMembers)
	t.Run("a service runs, rolls and goes", n.lives)
	t.Run("a service listens on a port of the system", n.usesSystemPort)
	t.Run("what enforces NetworkPolicy is recognised", n.enforces)
	for _, c := range []struct {
		name, behaviour, health, image string
		failed                         bool
		words                          []string
	}{
		{name: "crashes", behaviour: "crash", failed: true, words: []string{"exit code 3", "its last words:\nthe database is not configured"}},
		{name: "elsewhere", behaviour: "elsewhere", words: []string{"nothing answers on port 9090: its log names port 1234: listen on $PORT", "its last words:\nlistens on :1234"}},
		{name: "unwell", behaviour: "unwell", health: "/healthz", words: []string{"/healthz on port 9090 answers with status 503"}},
		{name: "imageless", image: n.empty, failed: true, words: []string{"cannot be pulled"}},
		{name: "registryless", image: "127.0.0.1:1/app:1", words: []string{"cannot be pulled", "refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := n.release(c.name, 1)
			r.Spec.Args, r.Spec.Health = []string{c.behaviour}, c.health
			r.Image = cmp.Or(c.image, n.app)
			n.explains(t, r, c.failed, c.words)
		})
	}
}

func startNode(t *testing.T) *oneNode {
	t.Helper()
	n := &oneNode{spec: wholeRegion}
	n.fillRegistry(t)
	_, port, _ := strings.Cut(n.registry, ":")
	dir, stop, err := startCluster(`{"name":"node","version":"1.34","apiPort":0,"loadBalancerCIDR":"127.19.7.16/28","openPorts":[` + port + `],"nodes":[{"name":"pool-1","pool":"pool","cpu":4,"memoryMiB":4096}]}`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	kubeconfig, err := os.ReadFile(filepath.Join(dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	n.client = connected(t, kubeconfig)
	if n.admin, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	n.spec.Resource = []region.Part{region.Etcd, region.NATS} // CockroachDB's program is not ours to make
	return n
}

// fillRegistry makes images of the parts' programs and of testdata/app, in a registry on the loopback.
func (n *oneNode) fillRegistry(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	n.registry = strings.TrimPrefix(server.URL, "http://")
	app := filepath.Join(t.TempDir(), "app")
	build := exec.Command("go", "build", "-o", app, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the app: %v\n%s", err, output)
	}
	n.app, n.empty = n.push(t, app, "/app"), n.registry+"/app@sha256:"+strings.Repeat("0", 64)
	n.parts.Images = map[region.Part]string{}
	for part, at := range map[region.Part][2]string{region.Etcd: {"etcd", "/usr/local/bin/etcd"}, region.NATS: {"nats-server", "/nats-server"}, region.API: {"m3o", "/m3o"}} {
		n.parts.Images[part] = n.push(t, filepath.Join(imagesDir, at[0]), at[1])
	}
	n.parts.Gateway.Keys = []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"test","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
}

func (n *oneNode) push(t *testing.T, binary, path string) string {
	t.Helper()
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%s is not there: run make build", binary)
	}
	packed, err := image.FromBinary(t.TempDir(), binary, runtime.GOARCH, image.Config{Path: path, Entrypoint: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := image.Client{}.Push(t.Context(), n.registry+"/"+filepath.Base(path), "", packed)
	if err != nil {
		t.Fatal(err)
	}
	return reference
}

// bringsPartsUp applies a region's parts, three members each, and waits until the gateway answers from outside.
func (n *oneNode) bringsPartsUp(t *testing.T) {
	begin := time.Now()
	if err := n.client.ApplyFoundations(t.Context(), n.spec); err != nil {
		t.Fatal(err)
	}
	if err := n.client.ApplyParts(t.Context(), n.spec, n.parts); err != nil {
		t.Fatal(err)
	}
	state := n.awaitParts(t)
	n.gateway = state.Gateway
	t.Logf("etcd, NATS and the gateway are ready after %s", time.Since(begin))
	if drift, err := n.client.Drift(t.Context(), n.spec, n.parts); err != nil || len(drift) != 0 {
		t.Errorf("drift %q, %v", drift, err)
	}
	if status, body := get(t, state.Gateway+"-/readyz"); status != http.StatusOK || !strings.Contains(body, "lon1") {
		t.Errorf("the gateway at %s answers %d: %s", state.Gateway, status, body)
	}
	eventually(t, "NATS is a cluster of three", func() (bool, string) { // a member is ready before it has found all others
		members, meta := strings.Count(n.monitor(t, "routez"), `"remote_name": "nats-`), n.monitor(t, "jsz")
		return members >= 2 && strings.Contains(meta, `"cluster_size": 3`), fmt.Sprintf("routes to %d others, JetStream: %s", members, meta)
	})
}

func (n *oneNode) awaitParts(t *testing.T) cluster.State {
	t.Helper()
	var state cluster.State
	eventually(t, "the parts are ready", func() (bool, string) {
		var err error
		state, err = n.client.PartsState(t.Context(), n.spec)
		return err == nil && state.Ready, fmt.Sprintf("%q, %v", state.Waiting, err)
	})
	return state
}

func (n *oneNode) monitor(t *testing.T, page string) string {
	t.Helper()
	answer, err := n.admin.CoreV1().Services(cluster.ResourceNamespace).ProxyGet("http", "nats-members", "monitor", page, nil).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// replacesMembers removes a member's pod; the one that follows takes up its volume and its place.
func (n *oneNode) replacesMembers(t *testing.T) {
	for _, name := range []string{"etcd-1", "nats-1"} {
		pods := n.admin.CoreV1().Pods(cluster.ResourceNamespace)
		old, err := pods.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is another pod", func() (bool, string) {
			now, err := pods.Get(t.Context(), name, metav1.GetOptions{})
			return err == nil && now.UID != old.UID, fmt.Sprint(err)
		})
	}
	n.awaitParts(t)
}

func (n *oneNode) release(name string, number int) release.Release {
	return release.Release{Service: release.Key{Project: "default", Name: name}, Number: number, Image: n.app,
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

// ask calls the service through the region's gateway.
func (n *oneNode) ask(t *testing.T, name, want string) {
	t.Helper()
	eventually(t, "the gateway reaches "+name, func() (bool, string) {
		status, body := get(t, n.gateway+name+"/")
		return status == http.StatusOK && body == want, fmt.Sprintf("%d: %s", status, body)
	})
}

// lives deploys a service, rolls it to a release on another port under requests, none of which is lost, and kills it.
func (n *oneNode) lives(t *testing.T) {
	first := n.release("hello", 1)
	first.Spec.Replicas = 2
	begin := time.Now()
	n.deploy(t, first)
	t.Logf("release 1 done after %s", time.Since(begin))
	n.ask(t, "hello", "release 1 in lon1 as 65532")

	second := n.release("hello", 2)
	second.Spec.Replicas, second.Spec.Port = 2, 9091
	stop := callAllTheTime(n.gateway + "hello/")
	begin = time.Now()
	n.deploy(t, second)
	t.Logf("release 2 done after %s", time.Since(begin))
	n.ask(t, "hello", "release 2 in lon1 as 65532")
	made, lost := stop()
	if made < 50 || len(lost) > 0 {
		t.Errorf("%d of %d requests were lost: %q", len(lost), made, lost)
	}
	if err := n.client.DeleteService(t.Context(), first.Service); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the service is gone", func() (bool, string) {
		gone, err := n.client.ServiceGone(t.Context(), first.Service)
		return gone && err == nil, fmt.Sprint(err)
	})
}

// callAllTheTime sends one request after the other until it is stopped, and says how many there were and which were lost.
func callAllTheTime(url string) (stop func() (made int, lost []string)) {
	end, ended := make(chan struct{}), make(chan struct{})
	made, lost := 0, []string(nil)
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
			made++
			response, err := http.Get(url)
			if err != nil {
				lost = append(lost, err.Error())
				continue
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				lost = append(lost, response.Status)
			}
		}
	}()
	return func() (int, []string) {
		close(end)
		<-ended
		return made, lost
	}
}

// A program on port 80 runs without root.
func (n *oneNode) usesSystemPort(t *testing.T) {
	r := n.release("system", 1)
	r.Spec.Port = 80
	n.deploy(t, r)
	n.ask(t, "system", "release 1 in lon1 as 65532")
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
