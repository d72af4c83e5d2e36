package gateway

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/m3o/platform/internal/gateway/etcdtest"
	"github.com/m3o/platform/internal/gateway/mirror"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/ticket"
)

// world is a region for a test: a real etcd, a cluster's API without a cluster, and a gateway on a loopback port.
type world struct {
	t       testing.TB
	etcd    *etcdtest.Server
	cluster *fake.Clientset
	signer  *ticket.Signer
	keys    string
	url     string
	metrics string
	stop    func() error
}

// newWorld starts a gateway. change may alter its configuration.
func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	w := newRegion(t)
	w.start(change)
	return w
}

// newRegion is a world whose gateway has not been started, and whose etcd has further flags.
func newRegion(t testing.TB, flags ...string) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, etcd: etcdtest.Start(t, flags...), cluster: fake.NewClientset(), signer: ticket.NewSigner(key), keys: filepath.Join(t.TempDir(), "keys.json")}
	if err := os.WriteFile(w.keys, w.signer.Document(), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// rotate replaces the signing key and its public half.
func (w *world) rotate() {
	w.t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.signer = ticket.NewSigner(key)
	if err := os.WriteFile(w.keys, w.signer.Document(), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) config() Config {
	return Config{Region: "micro/lon1", Domain: "example.com", Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Etcd: []string{w.etcd.Endpoint}, Keys: w.keys,
		Kubernetes: w.cluster, AllowLoopback: true, DrainDelay: 10 * time.Millisecond, Drain: 5 * time.Second, Logger: testLogger(w.t)}
}

// start starts a gateway and makes it the one that requests go to.
func (w *world) start(change func(*Config)) {
	w.t.Helper()
	config := w.config()
	addresses := make(chan [2]string, 1)
	config.Listening = func(requests, metrics net.Addr) { addresses <- [2]string{requests.String(), metrics.String()} }
	if change != nil {
		change(&config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	var once atomic.Bool
	stop := func() error {
		cancel()
		if once.Swap(true) {
			return nil
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			return fmt.Errorf("the gateway does not end")
		}
	}
	w.stop = stop
	w.t.Cleanup(func() {
		if err := stop(); err != nil {
			w.t.Errorf("gateway: %v", err)
		}
	})
	select {
	case a := <-addresses:
		w.url, w.metrics = "http://"+a[0], "http://"+a[1]
	case err := <-ended:
		w.t.Fatalf("gateway: %v", err)
	}
}

func (w *world) awaitReady() {
	w.t.Helper()
	w.eventually("the gateway is ready", func() bool { return w.get("/-/readyz", "").status == http.StatusOK })
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (w *world) get(path, token string) reply {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(r, token)
}

func (w *world) do(r *http.Request, token string) reply {
	w.t.Helper()
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("read the answer to %s: %v", r.URL, err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

func (w *world) eventually(what string, check func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !check() {
		if time.Now().After(deadline) {
			w.t.Fatalf("it never happens that %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ticket signs a ticket of the project with the scopes.
func (w *world) ticket(project string, scopes ...string) string {
	w.t.Helper()
	token, err := w.signer.Sign(ticket.Grant{Subject: "ada", Project: project, Regions: []string{"micro/lon1"}, Scopes: scopes})
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// service makes an empty EndpointSlice, as Kubernetes does for a new Service.
func (w *world) service(key release.Key, access release.Access) {
	w.t.Helper()
	slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, ObjectMeta: metav1.ObjectMeta{Name: key.Name + "-abc", Namespace: key.Namespace(),
		Labels: map[string]string{release.LabelManaged: "true", release.LabelProject: key.Project, release.LabelService: key.Name, release.LabelAccess: string(access)}}}
	if _, err := w.cluster.DiscoveryV1().EndpointSlices(key.Namespace()).Create(w.t.Context(), slice, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// pod is a pod of a service with its own address. Ports differ, where in a cluster addresses would: so each has a slice.
type pod struct {
	w       *world
	key     release.Key
	name    string
	address string
}

var podNumber atomic.Int64

// run makes a ready pod that answers at the address.
func (w *world) run(key release.Key, number int, address string, marks map[string]string) *pod {
	w.t.Helper()
	name := key.Name + "-" + strconv.FormatInt(podNumber.Add(1), 10)
	labels := map[string]string{release.LabelManaged: "true", release.LabelProject: key.Project, release.LabelService: key.Name, release.LabelRelease: strconv.Itoa(number)}
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: key.Namespace(), UID: types.UID(name + "-uid"), Labels: labels, Annotations: marks},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "service", Image: "irrelevant"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	ctx := w.t.Context()
	if _, err := w.cluster.CoreV1().Pods(key.Namespace()).Create(ctx, object, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	p := &pod{w: w, key: key, name: name, address: address}
	if _, err := w.cluster.DiscoveryV1().EndpointSlices(key.Namespace()).Create(ctx, p.slice(true), metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (p *pod) slice(ready bool) *discoveryv1.EndpointSlice {
	host, word, _ := net.SplitHostPort(p.address)
	n, _ := strconv.Atoi(word)
	port, name := int32(n), mirror.PortName
	return &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
		ObjectMeta: metav1.ObjectMeta{Name: p.name, Namespace: p.key.Namespace(),
			Labels: map[string]string{release.LabelManaged: "true", release.LabelProject: p.key.Project, release.LabelService: p.key.Name}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{host}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: p.name, UID: types.UID(p.name + "-uid")}}},
		Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}}}
}

// unready takes the pod out of the ready ones, as the start of its end does.
func (p *pod) unready() {
	p.w.t.Helper()
	if _, err := p.w.cluster.DiscoveryV1().EndpointSlices(p.key.Namespace()).Update(p.w.t.Context(), p.slice(false), metav1.UpdateOptions{}); err != nil {
		p.w.t.Fatal(err)
	}
}

// remove takes pod and slice away.
func (p *pod) remove() {
	p.w.t.Helper()
	ctx, ns := p.w.t.Context(), p.key.Namespace()
	if err := p.w.cluster.DiscoveryV1().EndpointSlices(ns).Delete(ctx, p.name, metav1.DeleteOptions{}); err != nil {
		p.w.t.Fatal(err)
	}
	if err := p.w.cluster.CoreV1().Pods(ns).Delete(ctx, p.name, metav1.DeleteOptions{}); err != nil {
		p.w.t.Fatal(err)
	}
}

// program is an HTTP server on loopback, HTTP/1.1 and HTTP/2 without TLS.
func program(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func address(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

func hello(t testing.TB, words string) *httptest.Server {
	return program(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", words, r.URL.RequestURI()) })
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var greet = release.Key{Project: "default", Name: "hello"}
