package gateway

import (
	"net/http"
	"strings"
	"testing"

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
