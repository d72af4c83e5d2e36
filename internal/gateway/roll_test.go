package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/gateway/registry"
	"github.com/m3o/platform/internal/release"
)

// load calls a service from many sides until it is told to stop, and counts.
type load struct {
	stop         chan struct{}
	done         sync.WaitGroup
	sent, failed atomic.Int64
	first        atomic.Pointer[string]
}

func (w *world) load(callers int) *load {
	l := &load{stop: make(chan struct{})}
	for i := range callers {
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				l.sent.Add(1)
				if words := attempt(client, w.url, i+n); words != "" {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, &words)
				}
			}
		}()
	}
	return l
}

// attempt makes one call, a POST every other time, and says what was wrong.
func attempt(client http.Client, url string, n int) string {
	method, body := http.MethodGet, io.Reader(nil)
	if n%2 == 1 {
		method, body = http.MethodPost, strings.NewReader("some words")
	}
	r, err := http.NewRequest(method, url+"/hello/", body)
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if words, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Sprint(method, " ", resp.StatusCode, " ", string(words), " ", err)
	}
	return ""
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.done.Wait()
	t.Logf("%d requests, %d failed", l.sent.Load(), l.failed.Load())
	if words := l.first.Load(); words != nil {
		t.Errorf("%d of %d requests failed, the first: %s", l.failed.Load(), l.sent.Load(), *words)
	}
	if l.sent.Load() < 100 {
		t.Errorf("%d requests are too few to say that none is lost", l.sent.Load())
	}
}

// slow is a program whose answers take a moment, so that some are under way whenever it is stopped.
func slow(t *testing.T) *httptest.Server {
	return program(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(3 * time.Millisecond)
	})
}

func TestRollingUpdatesLoseNoRequest(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	type running struct {
		server *httptest.Server
		pod    *pod
	}
	start := func(number int) running {
		s := slow(t)
		return running{s, w.run(greet, number, address(s), public)}
	}
	pods := []running{start(1), start(1)}
	w.awaitReady()
	l := w.load(8)
	for number := 2; number < 14; number++ {
		fresh := start(number)
		pods[0].pod.unready()
		time.Sleep(50 * time.Millisecond) // the pod's preStop, much shortened
		pods[0].server.Close()            // ends what it is doing, then refuses connections
		pods[0].pod.remove()
		pods = append(pods[1:], fresh)
	}
	l.end(t)
}

func TestOneReplicaIsReplacedWithoutLoss(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	server := slow(t)
	p := w.run(greet, 1, address(server), public)
	w.awaitReady()
	l := w.load(4)
	for number := 2; number < 6; number++ { // the old one goes before the new one is there: requests wait
		p.unready()
		time.Sleep(30 * time.Millisecond)
		server.Close()
		p.remove()
		time.Sleep(300 * time.Millisecond)
		server = slow(t)
		p = w.run(greet, number, address(server), public)
		time.Sleep(100 * time.Millisecond)
	}
	l.end(t)
}

func TestPodThatIsDeletedTakesNoMoreRequests(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	going := w.run(greet, 1, address(hello(t, "going")), public)
	w.run(greet, 1, address(hello(t, "staying")), public)
	w.awaitReady()
	w.eventually("both are called", func() bool { return strings.HasPrefix(w.get("/hello/", "").body, "going") })
	// The slice still says that it is ready: only the pod is on its way out.
	if err := w.cluster.Tracker().Delete(podsResource, greet.Namespace(), going.name); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	for range 50 {
		if got := w.get("/hello/", ""); got.body != "staying /" {
			t.Fatalf("got %+v", got)
		}
	}
}

func TestNoEndpointAfterAWait(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.EndpointWait = 300 * time.Millisecond })
	w.service(greet, release.Public)
	w.awaitReady()
	began := time.Now()
	got := w.get("/hello/", "")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %+v", got)
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("answered after %s", took)
	}
}

// rude is a service that reads requests, counts them, and breaks the connection without a word.
func rude(t *testing.T, count *atomic.Int64) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					count.Add(1)
					_, _ = io.Copy(io.Discard, r.Body)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestOnlyWhatIsSafeIsSentAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.awaitReady()
	for i, c := range []struct {
		method, body string
		again        bool
	}{
		{http.MethodGet, "", true}, {http.MethodHead, "", true}, {http.MethodDelete, "", true}, {http.MethodPut, "", true},
		{http.MethodPost, "", false}, {http.MethodPost, "words", false}, {http.MethodPatch, "words", false}, {http.MethodPut, "words", false},
	} {
		key := release.Key{Project: "default", Name: fmt.Sprint("rude-", i)}
		w.service(key, release.Public)
		var calls atomic.Int64
		for range 5 {
			w.run(key, 1, rude(t, &calls), public)
		}
		w.eventually("all are known", func() bool { return len(w.endpoints(key)) == 5 })
		r, _ := http.NewRequest(c.method, w.url+"/"+key.Name+"/", strings.NewReader(c.body))
		got := w.do(r, "")
		want := int64(1)
		if c.again {
			want = 3
		}
		if calls.Load() != want || got.status != http.StatusBadGateway {
			t.Errorf("%s %q: the service saw it %d times, not %d; answered %+v", c.method, c.body, calls.Load(), want, got)
		}
	}
}

func TestRefusedConnectionsAreTriedElsewhere(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	var calls atomic.Int64
	up := program(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == "words" {
			calls.Add(1)
		}
	})
	w.run(greet, 1, address(up), public)
	for range 2 {
		dead, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.run(greet, 1, dead.Addr().String(), public)
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitReady()
	const n = 60
	for range n {
		r, _ := http.NewRequest(http.MethodPost, w.url+"/hello/", strings.NewReader("words"))
		if got := w.do(r, ""); got.status != http.StatusOK {
			t.Fatalf("got %+v", got)
		}
	}
	if calls.Load() != n {
		t.Errorf("%d requests were seen %d times", n, calls.Load())
	}
	scraped := w.scrape()
	if !strings.Contains(scraped, `m3o_gateway_requests_total{code="2xx",project="default",region="micro/lon1",service="hello"} 60`) {
		t.Errorf("metrics do not count:\n%s", scraped)
	}
}

func (w *world) scrape() string {
	w.t.Helper()
	resp, err := http.Get(w.metrics + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body)
}

// register writes into etcd what a go-micro service would.
// register makes a pod of the service's project, if there is none at the address yet, and registers it as it would itself.
func (w *world) register(service, id, address string, public bool) {
	w.t.Helper()
	key, _ := registry.Split(service, "default")
	w.stray(key.Namespace(), address)
	w.claim(service, id, address, public)
}

// stray makes a pod that no release of ours made.
func (w *world) stray(namespace, address string) {
	w.t.Helper()
	ip, _, err := net.SplitHostPort(address)
	if err != nil {
		w.t.Fatal(err)
	}
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "at-" + strings.ReplaceAll(ip, ":", "-"), Namespace: namespace, Annotations: public},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: ip}}}}
	if _, err := w.cluster.CoreV1().Pods(namespace).Create(w.t.Context(), object, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
}

// claim writes an entry into the registry, whatever is at its address.
func (w *world) claim(service, id, address string, public bool) {
	w.t.Helper()
	access := "key"
	if public {
		access = "public"
	}
	value := fmt.Sprintf(`{"name":%q,"version":"latest","metadata":{"access":%q},"endpoints":[],"nodes":[{"id":%q,"address":%q,"metadata":{"protocol":"http"}}]}`,
		service, access, id, address)
	if _, err := w.etcd.Client().Put(w.t.Context(), registry.Key(service, id), value); err != nil {
		w.t.Fatal(err)
	}
}

func TestServicesThatRegisterThemselvesAreRoutable(t *testing.T) {
	w := newWorld(t, nil)
	w.awaitReady()
	w.register("greeter", "greeter-1", address(hello(t, "plain")), true)
	w.register("shop.till", "till-1", address(hello(t, "shop")), true)
	w.register("vault", "vault-1", address(hello(t, "vault")), false)
	w.eventually("a name without a project is in the default one", func() bool { return w.get("/greeter/x", "").body == "plain /x" })
	w.eventually("a name may have a project", func() bool { return w.get("/till/", w.ticket("shop", "call:shop/till")).body == "shop /" })
	w.eventually("a key is the default", func() bool { return w.get("/vault/", "").status == http.StatusUnauthorized })
	if _, err := w.etcd.Client().Delete(t.Context(), registry.Key("greeter", "greeter-1")); err != nil {
		t.Fatal(err)
	}
	w.eventually("one that signs off is not ready", func() bool { return w.get("/greeter/", "").status == http.StatusServiceUnavailable })
}

func TestNobodyTakesAServiceOverByRegistering(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	w.run(greet, 1, address(hello(t, "real")), public)
	w.awaitReady()
	w.register("hello", "evil", address(hello(t, "evil")), true)
	w.register("default.hello", "evil", address(hello(t, "evil")), true)
	w.register("marker", "m", address(hello(t, "marker")), true)
	w.eventually("the registrations are seen", func() bool { return w.get("/marker/", "").status == http.StatusOK })
	for range 100 {
		if got := w.get("/hello/", ""); got.body != "real /" {
			t.Fatalf("got %+v", got)
		}
	}
}

// TestRegistrationsReachPodsOfTheirOwnProjectAlone: every project can write to etcd, and the gateway reaches what they cannot.
func TestRegistrationsReachPodsOfTheirOwnProjectAlone(t *testing.T) {
	w := newWorld(t, nil)
	w.awaitReady()
	victim := address(hello(t, "secret"))
	w.stray("project-bank", victim)
	w.claim("stolen", "a", victim, true)
	w.claim("named", "a", strings.Replace(victim, "127.0.0.1", "localhost", 1), true)
	forged := registry.Instance{Service: release.Key{Project: "default", Name: "forged"}, ID: "a", Address: victim, Access: release.Public, Mirrored: true}
	if _, err := w.etcd.Client().Put(t.Context(), forged.Key(), string(forged.Encode())); err != nil {
		t.Fatal(err)
	}
	w.register("shop.marker", "m", address(hello(t, "marker")), true)
	shop := w.ticket("shop", "call:shop/*")
	w.eventually("the registrations are seen", func() bool { return w.get("/marker/", shop).body == "marker /" })
	for _, name := range []string{"stolen", "named", "forged"} {
		if got := w.get("/"+name+"/", ""); got.status != http.StatusNotFound {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	w.stray("project-default", victim)
	w.eventually("a pod of the project is reached", func() bool { return w.get("/stolen/", "").body == "secret /" })
}

func TestRegisteredAddressesCannotReachTheGatewayItself(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AllowLoopback, c.EndpointWait = false, 50*time.Millisecond })
	w.awaitReady()
	for id, address := range map[string]string{"a": "127.0.0.1:1", "c": "169.254.169.254:80", "d": "0.0.0.0:1", "e": "[::1]:1"} {
		w.register("evil-"+id, id, address, true)
		w.eventually("it is known", func() bool { return w.get("/evil-"+id+"/", "").status != http.StatusNotFound })
		if got := w.get("/evil-"+id+"/", ""); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: got %+v", address, got)
		}
	}
}
