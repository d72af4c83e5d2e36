package gateway

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/release"
)

// TestASuspendedProjectIsRefused follows the mark on the project's namespace, both ways; other projects are left alone.
func TestASuspendedProjectIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	cart, other := release.Key{Project: "shop", Name: "cart"}, release.Key{Project: "default", Name: "hello"}
	for _, key := range []release.Key{cart, other} {
		w.run(key, 1, address(hello(t, "here is "+key.Name)), map[string]string{release.LabelAccess: string(release.Public)})
	}
	ticket := w.ticket("shop", "call:shop/cart", "logs:shop/cart")
	w.eventually("both answer", func() bool {
		return w.get("/cart/", ticket).status == http.StatusOK && w.get("/hello/", "").status == http.StatusOK
	})
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: cart.Namespace(), Labels: map[string]string{release.LabelSuspended: "true"}}}
	if _, err := w.cluster.CoreV1().Namespaces().Create(t.Context(), space, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the suspended project is refused", func() bool {
		r := w.get("/cart/", ticket)
		return r.status == http.StatusForbidden && strings.Contains(r.body, `"shop\" is suspended`)
	})
	if r := w.get("/-/logs/shop/cart", ticket); r.status != http.StatusForbidden {
		t.Errorf("its logs are answered with %d", r.status)
	}
	if r := w.get("/hello/", ""); r.status != http.StatusOK {
		t.Errorf("another project is answered with %d", r.status)
	}
	space.Labels = nil
	if _, err := w.cluster.CoreV1().Namespaces().Update(t.Context(), space, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("it answers again", func() bool { return w.get("/cart/", ticket).status == http.StatusOK })
}

// suspend marks the namespace of a project.
func (w *world) suspend(key release.Key) {
	w.t.Helper()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: key.Namespace(), Labels: map[string]string{release.LabelSuspended: "true"}}}
	if _, err := w.cluster.CoreV1().Namespaces().Create(context.Background(), space, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// open begins a request whose answer goes on, and returns what its first line is and whatever ends the rest.
func (w *world) open(path, token string) (first string, ended <-chan struct{}) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Scan()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer resp.Body.Close()
		for lines.Scan() {
		}
	}()
	return lines.Text(), done
}

// TestWhatRunsEndsWhenItsProjectIsSuspended: a stream, and a call that waits for its answer. Another project's go on.
func TestWhatRunsEndsWhenItsProjectIsSuspended(t *testing.T) {
	w := newWorld(t, nil)
	cart, other := release.Key{Project: "shop", Name: "cart"}, release.Key{Project: "default", Name: "hello"}
	server := program(t, func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/slow") {
			rw.Header().Set("Content-Type", "text/event-stream")
			_, _ = rw.Write([]byte("data: 1\n"))
			_ = http.NewResponseController(rw).Flush()
		}
		if !strings.HasSuffix(r.URL.Path, "/short") {
			<-r.Context().Done()
		}
	})
	for _, key := range []release.Key{cart, other} {
		w.run(key, 1, address(server), map[string]string{release.LabelAccess: string(release.Public)})
	}
	ticket := w.ticket("shop", "call:shop/cart")
	w.eventually("both answer", func() bool {
		return w.get("/cart/short", ticket).status == http.StatusOK && w.get("/hello/short", "").status == http.StatusOK
	})
	slow := make(chan reply, 1)
	go func() { slow <- w.get("/cart/slow", ticket) }()
	first, ended := w.open("/cart/", ticket)
	_, goesOn := w.open("/hello/", w.ticket("default", "call:default/hello"))
	if first != "data: 1" {
		t.Fatalf("the stream begins with %q", first)
	}
	w.suspend(cart)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
	select {
	case r := <-slow:
		if r.status != http.StatusForbidden || !strings.Contains(r.body, "is suspended") {
			t.Errorf("the call that waited is answered with %d: %s", r.status, r.body)
		}
	case <-time.After(10 * time.Second):
		t.Error("a call goes on waiting")
	}
	select {
	case <-goesOn:
		t.Error("another project's stream ended, too")
	default:
	}
}

func TestAFollowedLogEndsWhenItsProjectIsSuspended(t *testing.T) {
	w, k := newLogWorld(t)
	w.logPod("a", 1)
	k.write("a", logStart, "0")
	w.eventually("the pod is known", func() bool { return len(w.logs("")) == 1 })
	first, ended := w.open("/-/logs/default/hello?follow", w.ticket("default", "logs:default/hello"))
	if first == "" {
		t.Fatal("nothing is followed")
	}
	w.suspend(release.Key{Project: "default", Name: "hello"})
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the log goes on")
	}
}
