package cluster_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// applyWhole brings all parts to the test's cluster, as one call of the platform would.
func applyWhole(t *testing.T) {
	t.Helper()
	if err := client.ApplyFoundations(t.Context(), wholeRegion); err != nil {
		t.Fatal(err)
	}
	if err := client.ApplyParts(t.Context(), wholeRegion, images); err != nil {
		t.Fatal(err)
	}
	if err := client.PruneParts(t.Context(), wholeRegion); err != nil {
		t.Fatal(err)
	}
}

// The API server takes every part, its pods pass the namespaces' Pod Security, and a second apply changes nothing.
func TestPartsAreAcceptedAndStable(t *testing.T) {
	applyWhole(t)
	eventually(t, "pods of all parts", func() (bool, string) {
		made := podsByPart(t)
		for part, n := range map[string]int{"etcd": 3, "nats": 3, "cockroachdb": 4, "api": 2} {
			if made[part] != n {
				return false, strings.Join(refusals(t), "; ")
			}
		}
		return true, ""
	})
	before := ours(t)
	time.Sleep(1100 * time.Millisecond) // a write that only touched a time would show
	applyWhole(t)
	after := ours(t)
	if len(before) < 50 {
		t.Fatalf("only %d objects are ours", len(before))
	}
	for name, spec := range before {
		if after[name] != spec {
			t.Errorf("%s was changed by applying it again:\n%s\n%s", name, spec, after[name])
		}
	}
	if !slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
		t.Error("applying again made or removed objects")
	}
}

func podsByPart(t *testing.T) map[string]int {
	t.Helper()
	pods, err := admin.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{LabelSelector: cluster.LabelPart})
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]int{}
	for _, p := range pods.Items {
		made[p.Labels[cluster.LabelPart]]++
	}
	return made
}

// refusals are what the API server said to controllers that tried to make pods.
func refusals(t *testing.T) []string {
	t.Helper()
	events, err := admin.CoreV1().Events("").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=FailedCreate"})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range events.Items {
		said = append(said, e.InvolvedObject.Name+": "+e.Message)
	}
	return said
}

// ours is everything that carries our field manager's label, and what we own of it, without what controllers write.
func ours(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	lists, err := admin.Discovery().ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || r.Name == "events" || r.Name == "pods" {
				continue
			}
			body, err := admin.Discovery().RESTClient().Get().AbsPath(path(list.GroupVersion), r.Name).
				Param("labelSelector", "app.kubernetes.io/managed-by=m3o").Do(t.Context()).Raw()
			if err != nil {
				t.Fatalf("list %s: %v", r.Name, err)
			}
			var items struct {
				Items []struct{ Metadata metav1.ObjectMeta }
			}
			if err := json.Unmarshal(body, &items); err != nil {
				t.Fatal(err)
			}
			for _, item := range items.Items {
				found[r.Name+" "+item.Metadata.Namespace+"/"+item.Metadata.Name] = owned(t, item.Metadata)
			}
		}
	}
	return found
}

func path(groupVersion string) string {
	if strings.Contains(groupVersion, "/") {
		return "/apis/" + groupVersion
	}
	return "/api/" + groupVersion
}

// owned is our entry among the object's managers, with its time, and the generation.
func owned(t *testing.T, m metav1.ObjectMeta) string {
	t.Helper()
	for _, entry := range m.ManagedFields {
		if entry.Manager == "m3o" && entry.Subresource == "" {
			text, err := json.Marshal([]any{m.UID, m.Generation, entry.Time, entry.FieldsV1})
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
	return string(m.UID)
}

func TestPruneRemovesWhatIsNoLongerListed(t *testing.T) {
	applyWhole(t)
	defer applyWhole(t)
	less := wholeRegion
	less.Resource = []region.Part{region.Etcd}
	if err := client.PruneParts(t.Context(), less); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nats and cockroachdb are gone", func() (bool, string) {
		var left []string
		for name := range ours(t) {
			kind, _, _ := strings.Cut(name, " ")
			lasting := kind == "secrets" || kind == "persistentvolumeclaims" || kind == "networkpolicies"
			if !lasting && (strings.Contains(name, "nats") || strings.Contains(name, "cockroachdb")) {
				left = append(left, name)
			}
		}
		return len(left) == 0, strings.Join(left, ", ")
	})
	for _, name := range []string{"cockroachdb-authority", "cockroachdb-node", "cockroachdb-root"} {
		if _, err := admin.CoreV1().Secrets(cluster.ResourceNamespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("the secret of a removed part is kept: %v", err)
		}
	}
	if _, err := admin.AppsV1().StatefulSets(cluster.ResourceNamespace).Get(t.Context(), "etcd", metav1.GetOptions{}); err != nil {
		t.Errorf("etcd is still listed: %v", err)
	}
	if _, err := admin.AppsV1().Deployments(cluster.NetworkNamespace).Get(t.Context(), "gateway", metav1.GetOptions{}); err != nil {
		t.Errorf("the gateway is still listed: %v", err)
	}
}

// The size of a quorum is decided when it is made: nodes that come or go later do not change it.
func TestMembersAreDecidedOnce(t *testing.T) {
	applyWhole(t)
	smaller := wholeRegion
	smaller.Kubernetes.Nodes.Count = 1
	if err := client.ApplyParts(t.Context(), smaller, images); err != nil {
		t.Fatal(err)
	}
	defer applyWhole(t)
	set := statefulSet(t, "etcd")
	if *set.Spec.Replicas != 3 {
		t.Errorf("etcd has %d replicas after the region shrank, and had 3", *set.Spec.Replicas)
	}
	if !strings.Contains(strings.Join(set.Spec.Template.Spec.Containers[0].Args, " "), "etcd-2=http://etcd-2.etcd-members.m3o-resource.svc:2380") {
		t.Error("the third member is missing from the initial cluster")
	}
}

func statefulSet(t *testing.T, name string) *appsv1.StatefulSet {
	t.Helper()
	set, err := admin.AppsV1().StatefulSets(cluster.ResourceNamespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// CockroachDB's certificates are made once, verify under their authority for the names that are called, and are found
// again; a leaf that is about to end is renewed and its pods are rolled, while the authority stays.
func TestCockroachCertificates(t *testing.T) {
	applyWhole(t)
	authority, node, root := secret(t, "cockroachdb-authority"), secret(t, "cockroachdb-node"), secret(t, "cockroachdb-root")
	verify(t, authority, node, "node", "cockroachdb-2.cockroachdb-members.m3o-resource.svc", x509.ExtKeyUsageServerAuth)
	verify(t, authority, node, "node", "cockroachdb.m3o-resource.svc.cluster.local", x509.ExtKeyUsageClientAuth)
	verify(t, authority, root, "client.root", "", x509.ExtKeyUsageClientAuth)
	rolled := statefulSet(t, "cockroachdb").Spec.Template.Annotations[cluster.AnnotationConfig]

	expired := []byte(`{"data":{"node.crt":"` + base64Of(soonOver(t)) + `"}}`)
	if _, err := admin.CoreV1().Secrets(cluster.ResourceNamespace).Patch(t.Context(), "cockroachdb-node", types.MergePatchType, expired, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	drift, err := client.Drift(t.Context(), wholeRegion, images)
	if err != nil || !slices.ContainsFunc(drift, func(s string) bool {
		return strings.HasPrefix(s, "secret m3o-resource/cockroachdb-node: node.crt ends on ")
	}) {
		t.Errorf("drift %q, %v says nothing of the certificate that ends", drift, err)
	}
	applyWhole(t)
	renewed := secret(t, "cockroachdb-node")
	verify(t, authority, renewed, "node", "cockroachdb.m3o-resource.svc", x509.ExtKeyUsageServerAuth)
	if string(renewed.Data["node.crt"]) == string(node.Data["node.crt"]) {
		t.Error("the node's certificate was not renewed")
	}
	if string(secret(t, "cockroachdb-authority").Data["ca.crt"]) != string(authority.Data["ca.crt"]) {
		t.Error("the authority was made anew")
	}
	if statefulSet(t, "cockroachdb").Spec.Template.Annotations[cluster.AnnotationConfig] == rolled {
		t.Error("the pods do not learn of the new certificate")
	}
}

func secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	found, err := admin.CoreV1().Secrets(cluster.ResourceNamespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func verify(t *testing.T, authority, holder *corev1.Secret, file, host string, usage x509.ExtKeyUsage) {
	t.Helper()
	pair, err := tls.X509KeyPair(holder.Data[file+".crt"], holder.Data[file+".key"])
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority.Data["ca.crt"]) || string(holder.Data["ca.crt"]) != string(authority.Data["ca.crt"]) {
		t.Fatal("the authority's certificate is not the one that is handed out")
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		t.Errorf("%s for %q: %v", file, host, err)
	}
}

func TestImagesThatAreMissingAreNamed(t *testing.T) {
	err := client.ApplyParts(t.Context(), wholeRegion, cluster.Parts{})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Message(err), "images.api") {
		t.Errorf("got %v", err)
	}
}

// Without nodes nothing gets ready, and the state says so in the scheduler's words; the gateway has its address
// already.
func TestPartsStateSaysWhatWaits(t *testing.T) {
	applyWhole(t)
	eventually(t, "the scheduler's words", func() (bool, string) {
		state, err := client.PartsState(t.Context(), wholeRegion)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Join(state.Waiting, "\n")
		ok := !state.Ready && strings.HasPrefix(state.Gateway, "http://127.19.7.")
		for _, line := range []string{"etcd: 0 of 3 ready: no node takes it: ", "nats: 0 of 3 ready", "cockroachdb: 0 of 3 ready", "api: 0 of 2 ready"} {
			ok = ok && strings.Contains(said, line)
		}
		return ok, said
	})
}

func TestAnImageThatIsNotPinnedIsRefused(t *testing.T) {
	loose := cluster.Parts{Images: map[region.Part]string{region.Etcd: "quay.io/coreos/etcd:v3.7.0", region.API: images.Images[region.API]}}
	err := client.ApplyParts(t.Context(), wholeRegion, loose)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Message(err), `images.etcd: "quay.io/coreos/etcd:v3.7.0" is not pinned`) {
		t.Errorf("got %v", err)
	}
}
