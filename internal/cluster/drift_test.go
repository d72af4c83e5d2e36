package cluster_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/region"
)

// What people do to a region by hand is found and named, and applying again puts it right.
func TestDriftIsFoundNamedAndPutRight(t *testing.T) {
	applyWhole(t)
	if drift, err := client.Drift(t.Context(), wholeRegion, images); err != nil || len(drift) != 0 {
		t.Fatalf("drift %q, %v before anything was changed", drift, err)
	}
	patch := func(do func([]byte) error, body string) {
		t.Helper()
		if err := do([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	patch(func(b []byte) error {
		_, err := admin.AppsV1().Deployments(cluster.NetworkNamespace).Patch(ctx, "gateway", types.StrategicMergePatchType, b, metav1.PatchOptions{})
		return err
	}, `{"spec":{"replicas":0,"template":{"spec":{"containers":[{"name":"gateway","image":"evil.example/m3o"}]}}}}`)
	patch(func(b []byte) error {
		_, err := admin.CoreV1().Namespaces().Patch(ctx, cluster.ControlNamespace, types.MergePatchType, b, metav1.PatchOptions{})
		return err
	}, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`)
	remove := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	remove(admin.CoreV1().ConfigMaps(cluster.ResourceNamespace).Delete(ctx, "nats", metav1.DeleteOptions{}))
	remove(admin.NetworkingV1().NetworkPolicies(cluster.ResourceNamespace).Delete(ctx, "deny", metav1.DeleteOptions{}))
	remove(admin.CoreV1().Secrets(cluster.ResourceNamespace).Delete(ctx, "cockroachdb-root", metav1.DeleteOptions{}))

	drift, err := client.Drift(ctx, wholeRegion, images)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(drift)
	want := []string{
		"deployment m3o-network/gateway: replicas 0, wanted 2",
		"deployment m3o-network/gateway: template.spec.containers[gateway].image evil.example/m3o, wanted " + images.Images[region.API],
		"missing: configmap m3o-resource/nats",
		"missing: networkpolicy m3o-resource/deny",
		"missing: secret m3o-resource/cockroachdb-root",
		"namespace m3o-control: labels.pod-security.kubernetes.io/enforce privileged, wanted restricted",
	}
	if !slices.Equal(drift, want) {
		t.Errorf("drift:\n%s\nwant:\n%s", strings.Join(drift, "\n"), strings.Join(want, "\n"))
	}
	applyWhole(t)
	if drift, err := client.Drift(ctx, wholeRegion, images); err != nil || len(drift) != 0 {
		t.Errorf("drift %q, %v after applying again", drift, err)
	}
}

// Looking for drift changes nothing, not even in a cluster that has nothing.
func TestDriftChangesNothing(t *testing.T) {
	applyWhole(t)
	changed, err := admin.AppsV1().Deployments(cluster.NetworkNamespace).Patch(t.Context(), "gateway", types.MergePatchType,
		[]byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer applyWhole(t)
	if _, err := client.Drift(t.Context(), wholeRegion, images); err != nil {
		t.Fatal(err)
	}
	if after := gateway(t); *after.Spec.Replicas != 0 || after.Generation != changed.Generation {
		t.Errorf("replicas %d after a look", *after.Spec.Replicas)
	}
}

func gateway(t *testing.T) *appsv1.Deployment {
	t.Helper()
	d, err := admin.AppsV1().Deployments(cluster.NetworkNamespace).Get(t.Context(), "gateway", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDriftNamesWhatIsLeftOver(t *testing.T) {
	applyWhole(t)
	less := wholeRegion
	less.Resource = []region.Part{region.Etcd, region.CockroachDB}
	drift, err := client.Drift(t.Context(), less, images)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"left over: statefulset m3o-resource/nats", "left over: service m3o-resource/nats-members"} {
		if !slices.Contains(drift, want) {
			t.Errorf("%q is missing in %q", want, drift)
		}
	}
	if slices.ContainsFunc(drift, func(s string) bool { return !strings.HasPrefix(s, "left over: ") || !strings.Contains(s, "nats") }) {
		t.Errorf("more than nats is said to be left over: %q", drift)
	}
}

// A foreign object among ours is no drift.
func TestDriftIgnoresOthers(t *testing.T) {
	applyWhole(t)
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}}
	maps := admin.CoreV1().ConfigMaps(cluster.NetworkNamespace)
	if _, err := maps.Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer maps.Delete(t.Context(), "theirs", metav1.DeleteOptions{})
	if drift, err := client.Drift(t.Context(), wholeRegion, images); err != nil || len(drift) != 0 {
		t.Errorf("drift %q, %v", drift, err)
	}
}
