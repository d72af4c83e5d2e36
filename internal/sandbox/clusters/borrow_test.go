package clusters_test

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/sandbox/clusters"
)

// apiServer is a cluster that somebody else made, as far as namespaces go. Everything else can be applied to it and is
// forgotten.
type apiServer struct {
	*httptest.Server
	mu     sync.Mutex
	spaces map[string]corev1.Namespace
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{spaces: map[string]corev1.Namespace{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces", s.list)
	mux.HandleFunc("PATCH /api/v1/namespaces/{name}", s.apply)
	mux.HandleFunc("DELETE /api/v1/namespaces/{name}", s.delete)
	mux.HandleFunc("PATCH /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, r.Body)
	})
	s.Server = httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) list(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, corev1.NamespaceList{TypeMeta: metav1.TypeMeta{Kind: "NamespaceList", APIVersion: "v1"}, Items: slices.Collect(maps.Values(s.spaces))})
}

func (s *apiServer) apply(w http.ResponseWriter, r *http.Request) {
	var space corev1.Namespace
	if err := json.NewDecoder(r.Body).Decode(&space); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.add(space.Name, space.Labels)
	answer(w, space)
}

func (s *apiServer) delete(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.spaces, r.PathValue("name"))
	answer(w, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func (s *apiServer) add(name string, labels map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spaces[name] = corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, UID: types.UID("uid-" + name)}}
}

func (s *apiServer) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.spaces))
}

// TestBorrowedClusterKeepsWhatIsNotOurs puts into a shared cluster what colleagues have there, and sees that the end of the
// sandbox's cluster takes along what the platform made for this very region, and nothing else.
func TestBorrowedClusterKeepsWhatIsNotOurs(t *testing.T) {
	server, ours := newAPIServer(t), region.Key{Platform: "micro", Name: "lon1"}
	server.add("default", nil)
	server.add("before", labelled("micro", "lon1"))
	file := kubeconfig(t, map[string]string{"shared": server.URL}, certificate(server))
	borrowed, err := clusters.NewContexts(file, nil, t.TempDir())
	must(t, err)
	must(t, borrowed.Apply(t.Context(), clusters.Wanted{ID: id, Name: "m3o-micro-lon1", Place: "shared", Tags: []string{"m3o", ours.Owner()}}))

	config, err := os.ReadFile(file)
	must(t, err)
	text := strings.Replace(string(config), `current-context: ""`, "current-context: shared", 1)
	client, err := cluster.Connect([]byte(text), nil)
	must(t, err)
	must(t, client.ApplyFoundations(t.Context(), region.Spec{Platform: ours.Platform, Name: ours.Name}))
	made := []string{cluster.ControlNamespace, cluster.NetworkNamespace, cluster.ResourceNamespace}
	if names := server.names(); len(names) != 2+len(made) {
		t.Fatalf("the platform made of the cluster %v", names)
	}
	server.add("colleague", nil)
	server.add("helm", map[string]string{"app.kubernetes.io/managed-by": "Helm", cluster.LabelPlatform: "micro", cluster.LabelRegion: "lon1"})
	server.add("their-platform", labelled("macro", "lon1"))
	server.add("other-region", labelled("micro", "nyc3"))

	if err := borrowed.Remove(t.Context(), id); err == nil || !strings.Contains(err.Error(), "3 namespaces are still ending") {
		t.Errorf("at first: %v", err)
	}
	must(t, borrowed.Remove(t.Context(), id))
	if got, want := server.names(), []string{"before", "colleague", "default", "helm", "other-region", "their-platform"}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
}

// TestBorrowedClustersAskNobody: what a cloud says of tokens, a cluster that somebody brought does not hear, so its region says so.
func TestBorrowedClustersAskNobody(t *testing.T) {
	there := newAPIServer(t)
	borrowed, err := clusters.NewContexts(kubeconfig(t, map[string]string{"kind-a": there.URL}, certificate(there)), nil, t.TempDir())
	must(t, err)
	must(t, borrowed.Apply(t.Context(), clusters.Wanted{ID: "c1", Name: "c1", Place: "kind-a", Authenticator: "http://127.0.0.1:1/review"}))
	status, err := borrowed.Status(t.Context(), "c1")
	must(t, err)
	if status.Ready || !strings.Contains(status.Failed, "context kind-a") || !strings.Contains(status.Failed, "digitalocean alone") {
		t.Errorf("it is %+v", status)
	}
	must(t, borrowed.Remove(t.Context(), "c1"))
}

func labelled(platform, name string) map[string]string {
	return map[string]string{"app.kubernetes.io/managed-by": "m3o", cluster.LabelPlatform: platform, cluster.LabelRegion: name}
}

// certificate is the server's own, in PEM.
func certificate(s *apiServer) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
