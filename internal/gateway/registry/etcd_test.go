package registry

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/m3o/platform/internal/gateway/etcdtest"
	"github.com/m3o/platform/internal/release"
)

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// watch runs a watcher until the test ends.
func watch(t *testing.T, client *clientv3.Client) *Watcher {
	t.Helper()
	w := NewWatcher(client, "default", logger(t))
	background(t, w.Run)
	return w
}

func background(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !check(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s", what)
		}
	}
}

func ids(w *Watcher) string {
	var all []string
	for _, i := range w.Instances() {
		all = append(all, i.ID)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func register(t *testing.T, client *clientv3.Client, id string) {
	t.Helper()
	i := Instance{Service: till, ID: id, Address: "10.0.0.1:80"}
	if _, err := client.Put(t.Context(), i.Key(), string(i.Encode())); err != nil {
		t.Fatal(err)
	}
}

func TestWatcherFollowsTheRegistry(t *testing.T) {
	client := etcdtest.Start(t).Client()
	register(t, client, "a")
	w := watch(t, client)
	eventually(t, "what was there is seen", func() bool { return ids(w) == "a" })
	register(t, client, "b")
	eventually(t, "what comes is seen", func() bool { return ids(w) == "a b" })
	if _, err := client.Delete(t.Context(), Key(Name(till), "a")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what goes is gone", func() bool { return ids(w) == "b" })
	if _, err := client.Put(t.Context(), Prefix+"broken", "{"); err != nil {
		t.Fatal(err)
	}
	register(t, client, "c")
	eventually(t, "a broken value harms nothing", func() bool { return ids(w) == "b c" })
}

func TestWatcherReadsManyPages(t *testing.T) {
	client := etcdtest.Start(t).Client()
	const n = 2*pageSize + 7
	for i := 0; i < n; i += 100 {
		var ops []clientv3.Op
		for j := i; j < min(i+100, n); j++ {
			v := Instance{Service: till, ID: fmt.Sprintf("i%05d", j), Address: "10.0.0.1:80"}
			ops = append(ops, clientv3.OpPut(v.Key(), string(v.Encode())))
		}
		if _, err := client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	w := watch(t, client)
	eventually(t, "all are read", func() bool { return len(w.Instances()) == n })
}

// line is a TCP connection to etcd that can be cut.
type line struct {
	listener net.Listener
	to       string
	cut      atomic.Bool
	mu       sync.Mutex
	conns    []net.Conn
}

func newLine(t *testing.T, endpoint string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, to: strings.TrimPrefix(endpoint, "http://")}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(conn)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); l.disconnect() })
	return l
}

func (l *line) carry(near net.Conn) {
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		_ = near.Close()
		return
	}
	if !l.connect(near, far) {
		_, _ = near.Close(), far.Close()
		return
	}
	go pipe(near, far)
	pipe(far, near)
}

// connect keeps the connections for disconnect to find, unless the line is cut by now.
func (l *line) connect(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut.Load() {
		return false
	}
	l.conns = append(l.conns, conns...)
	return true
}

func pipe(from, to net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}

func (l *line) disconnect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut.Store(true)
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func TestWatcherReadsAnewAfterCompaction(t *testing.T) {
	etcd := etcdtest.Start(t)
	direct := etcd.Client()
	register(t, direct, "a")
	register(t, direct, "b")
	l := newLine(t, etcd.Endpoint)
	w := watch(t, etcdtest.Dial(t, "http://"+l.listener.Addr().String()))
	eventually(t, "the beginning is seen", func() bool { return ids(w) == "a b" })

	l.disconnect()
	if _, err := direct.Delete(t.Context(), Key(Name(till), "a")); err != nil {
		t.Fatal(err)
	}
	register(t, direct, "c")
	resp, err := direct.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Compact(t.Context(), resp.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is known that etcd is away", func() bool { _, away := w.Watched(); return !away.IsZero() })
	if ids(w) != "a b" {
		t.Errorf("while etcd is away, what was known is %q", ids(w))
	}
	l.cut.Store(false)
	eventually(t, "the deletion that was compacted away is seen", func() bool { return ids(w) == "b c" })
}

func TestWatcherOutlivesEtcdWithItsData(t *testing.T) {
	etcd := etcdtest.Start(t)
	register(t, etcd.Client(), "a")
	w := watch(t, etcd.Client())
	eventually(t, "the beginning is seen", func() bool { return ids(w) == "a" })
	etcd.Kill()
	etcd.Start()
	register(t, etcd.Client(), "b")
	eventually(t, "the registry is followed again", func() bool { return ids(w) == "a b" })
	if view, _ := w.View(); len(view) != 2 {
		t.Errorf("etcd holds %d entries, not 2", len(view))
	}
}

func TestWatcherRemembersWhatEtcdLost(t *testing.T) {
	etcd := etcdtest.Start(t)
	register(t, etcd.Client(), "a")
	register(t, etcd.Client(), "b")
	w := watch(t, etcd.Client())
	eventually(t, "the beginning is seen", func() bool { return ids(w) == "a b" })
	etcd.Kill()
	etcd.Lose()
	etcd.Start()
	for range 50 { // the new etcd's revision overtakes the old one's
		register(t, etcd.Client(), "b")
	}
	eventually(t, "the loss is noticed", func() bool { v, _ := w.View(); return len(v) == 1 })
	if ids(w) != "a b" {
		t.Errorf("remembered is %q", ids(w))
	}
	w.forget(time.Now().Add(grace + time.Second))
	if ids(w) != "b" {
		t.Errorf("after the grace there is %q", ids(w))
	}
}

// mirrorOf is what Kubernetes runs, as far as a registrar is concerned.
type mirrorOf struct {
	mu    sync.Mutex
	state []Instance
	known bool
}

func (m *mirrorOf) set(ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.known = nil, true
	for _, id := range ids {
		m.state = append(m.state, Instance{Service: till, ID: id, Address: "10.0.0.1:80", Access: release.Public, Mirrored: true})
	}
}

func (m *mirrorOf) get() ([]Instance, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.state), m.known
}

func startRegistrar(t *testing.T, etcd *etcdtest.Server, m *mirrorOf) (*Registrar, *Watcher) {
	t.Helper()
	client := etcd.Client()
	w := NewWatcher(client, "default", logger(t))
	r := NewRegistrar(client, w, m.get, logger(t))
	background(t, r.Run)
	background(t, w.Run)
	return r, w
}

func held(t *testing.T, client *clientv3.Client) string {
	resp, err := client.Get(t.Context(), Prefix, clientv3.WithPrefix())
	if err != nil {
		return "error"
	}
	var all []string
	for _, kv := range resp.Kvs {
		word := strings.TrimPrefix(string(kv.Key), Prefix+"shop.till/")
		if kv.Lease == int64(leaseID) {
			word += "*"
		}
		all = append(all, word)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestSeveralRegistrarsMirrorTheSame(t *testing.T) {
	etcd := etcdtest.Start(t)
	client := etcd.Client()
	register(t, client, "own")
	m := &mirrorOf{}
	one, w := startRegistrar(t, etcd, m)
	two, _ := startRegistrar(t, etcd, m)
	wake := func(ids ...string) { m.set(ids...); one.Wake(); two.Wake() }

	time.Sleep(300 * time.Millisecond)
	if got := held(t, client); got != "own" {
		t.Errorf("before Kubernetes is known etcd holds %q", got)
	}
	wake("a", "b")
	eventually(t, "the pods are mirrored under the shared lease", func() bool { return held(t, client) == "a* b* own" })
	wake("b", "c")
	eventually(t, "what is gone is taken out, and nothing else", func() bool { return held(t, client) == "b* c* own" })

	var before int64
	eventually(t, "both registrars have written what they had to", func() bool {
		last := before
		time.Sleep(300 * time.Millisecond)
		before = w.Revision()
		return before == last
	})
	one.Wake()
	two.Wake()
	time.Sleep(500 * time.Millisecond)
	if after := w.Revision(); after != before {
		t.Errorf("nothing changed, but %d writes were made", after-before)
	}
	if _, err := client.Delete(t.Context(), Key("shop.till", "b")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what somebody deleted is back", func() bool { return held(t, client) == "b* c* own" })
	if _, err := client.Revoke(t.Context(), leaseID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a lease that expired is made anew", func() bool { return held(t, client) == "b* c* own" })
}

func TestRegistrarWritesAgainWhatEtcdLost(t *testing.T) {
	etcd := etcdtest.Start(t)
	m := &mirrorOf{}
	m.set("a", "b")
	startRegistrar(t, etcd, m)
	eventually(t, "the pods are mirrored", func() bool { return held(t, etcd.Client()) == "a* b*" })
	etcd.Kill()
	etcd.Lose()
	m.set("b", "c")
	etcd.Start()
	client := etcd.Client()
	eventually(t, "they are mirrored again", func() bool { return held(t, client) == "b* c*" })
}
