package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/m3o/platform/internal/gateway/etcdtest"
	"github.com/m3o/platform/internal/gateway/registry"
	"github.com/m3o/platform/internal/release"
)

var podsResource = corev1.SchemeGroupVersion.WithResource("pods")

// held is how many mirrored entries etcd holds.
func (w *world) held() int {
	resp, err := w.etcd.Client().Get(w.t.Context(), registry.Prefix+"default.hello/", clientv3.WithPrefix())
	if err != nil {
		return -1
	}
	return len(resp.Kvs)
}

func TestRoutingOutlivesEtcd(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	p := w.run(greet, 1, address(hello(t, "one")), public)
	w.awaitReady()
	w.register("greeter", "greeter-1", address(hello(t, "own")), true)
	w.eventually("both are routable", func() bool { return w.get("/greeter/", "").body == "own /" && w.get("/hello/", "").body == "one /" })
	w.eventually("the pod is mirrored", func() bool { return w.held() == 1 })

	w.etcd.Kill()
	w.eventually("the gateway says that etcd is away, and is ready all the same", func() bool {
		got := w.get("/-/readyz", "")
		return got.status == http.StatusOK && strings.Contains(got.body, "away since")
	})
	if got := w.get("/greeter/", ""); got.body != "own /" {
		t.Errorf("a registered service without etcd: %+v", got)
	}
	w.run(greet, 2, address(hello(t, "two")), public)
	p.unready()
	w.eventually("a rolling update goes on without etcd", func() bool { return w.get("/hello/", "").body == "two /" })
	for range 30 {
		if got := w.get("/hello/", ""); got.body != "two /" {
			t.Fatalf("a pod that is not ready is called: %+v", got)
		}
	}

	w.etcd.Lose()
	w.etcd.Start()
	w.eventually("what etcd lost is mirrored again", func() bool { return w.held() == 1 })
	w.eventually("etcd is watched", func() bool { return strings.Contains(w.get("/-/readyz", "").body, `"etcd":"watched"`) })
	if got := w.get("/greeter/", ""); got.body != "own /" {
		t.Errorf("a registered service after the loss: %+v", got)
	}
	w.register("greeter", "greeter-2", address(hello(t, "new")), true)
	w.eventually("new registrations are seen", func() bool { return w.get("/greeter/", "").body == "new /" })
}

func TestGatewayThatRestartsServesWhatIsThere(t *testing.T) {
	w := newWorld(t, nil)
	w.service(greet, release.Public)
	w.run(greet, 1, address(hello(t, "one")), public)
	w.awaitReady()
	w.eventually("the pod is mirrored", func() bool { return w.held() == 1 })
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if w.held() != 1 {
		t.Error("the entries went with the gateway")
	}
	w.etcd.Kill()
	w.start(nil) // without etcd, from Kubernetes
	w.eventually("the pod is routable without etcd", func() bool { return w.get("/hello/", "").body == "one /" })
	if got := w.get("/-/readyz", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("ready without ever having seen etcd: %+v", got)
	}
	if got := w.get("/nope/", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("a service that etcd may know: %+v", got)
	}
	w.etcd.Start()
	w.awaitReady()
}

// TestGatewayStartsOnAFullEtcd: requests need only what can be read. What cannot be written is told, and written once there is
// room.
func TestGatewayStartsOnAFullEtcd(t *testing.T) {
	for name, before := range map[string]func(*world){
		"that no gateway has used": func(*world) {},
		"that a gateway has used": func(w *world) {
			w.start(nil)
			w.awaitReady()
			if err := w.stop(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRegion(t, etcdtest.Quota)
			before(w)
			w.service(greet, release.Public)
			w.register("greeter", "greeter-1", address(hello(t, "own")), true)
			w.etcd.Fill()
			w.start(nil)
			w.run(greet, 1, address(hello(t, "one")), public)
			w.awaitReady()
			w.eventually("what runs and what is registered is served", func() bool {
				return w.get("/hello/", "").body == "one /" && w.get("/greeter/", "").body == "own /"
			})
			w.eventually("the gateway says what etcd refuses", func() bool {
				body := w.get("/-/readyz", "").body
				return strings.Contains(body, `"etcd":"watched"`) && strings.Contains(body, `"registry":"refused since `) && strings.Contains(body, `: etcd is full"`)
			})
			if got := w.scrape(); !strings.Contains(got, "m3o_gateway_registry_written 0") {
				t.Errorf("the metrics say\n%s", got)
			}
			if n := w.held(); n != 0 {
				t.Errorf("etcd is full, and has %d of our entries", n)
			}
			w.etcd.Empty()
			w.eventually("the pod is mirrored", func() bool { return w.held() == 1 })
			w.eventually("the gateway says so", func() bool { return strings.Contains(w.get("/-/readyz", "").body, `"registry":"written"`) })
			w.eventually("the metrics say so", func() bool { return strings.Contains(w.scrape(), "m3o_gateway_registry_written 1") })
		})
	}
}

func TestDrainEndsWhatIsUnderWay(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.DrainDelay = 300 * time.Millisecond })
	w.service(greet, release.Public)
	begun, goOn := make(chan struct{}), make(chan struct{})
	w.run(greet, 1, address(program(t, func(rw http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-goOn
		_, _ = rw.Write([]byte("whole"))
	})), public)
	w.awaitReady()
	answer := make(chan reply, 1)
	go func() { answer <- w.get("/hello/", "") }()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- w.stop() }()
	w.eventually("readiness fails first", func() bool { return w.get("/-/readyz", "").status == http.StatusServiceUnavailable })
	if got := w.get("/-/healthz", ""); got.status != http.StatusOK {
		t.Errorf("requests are refused at once: %+v", got)
	}
	w.eventually("then connections are refused", func() bool { return w.get("/-/healthz", "").status == 0 })
	close(goOn)
	if got := <-answer; got.status != http.StatusOK || got.body != "whole" {
		t.Errorf("what was under way: %+v", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
