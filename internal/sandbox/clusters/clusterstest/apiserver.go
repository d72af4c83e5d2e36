package clusterstest

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/m3o/platform/internal/sandbox/clusters"
)

// apiServer is a stand-in for a cluster's API server: HTTPS on the loopback, bearer tokens, and objects of any kind that are read,
// listed, applied and deleted. Nothing runs there: what a controller would bring about is so at once. It checks no schema.
type apiServer struct {
	server        *httptest.Server
	token         string // the administrator's
	authenticator string // the webhook that knows other tokens, see clusters.Wanted
	calls         *atomic.Int64

	mu      sync.Mutex
	version string
	objects map[string]map[string]any // by key
	written int
}

// maxObject bounds what is read of a request.
const maxObject = 4 << 20

// key is where an object is: "group/version", its resource, its namespace if it has one, and its name.
type key struct{ group, resource, namespace, name string }

func (k key) String() string {
	return strings.Join([]string{k.group, k.resource, k.namespace, k.name}, "|")
}

func newAPIServer(w clusters.Wanted, calls *atomic.Int64) *apiServer {
	a := &apiServer{token: "token-of-" + w.ID, authenticator: w.Authenticator, calls: calls, version: w.Version, objects: map[string]map[string]any{}}
	a.put(key{group: "storage.k8s.io/v1", resource: "storageclasses", name: "standard"}, map[string]any{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
		"provisioner": "stand-in", "metadata": map[string]any{"name": "standard", "annotations": map[string]any{"storageclass.kubernetes.io/is-default-class": "true"}}})
	a.server = httptest.NewTLSServer(a)
	return a
}

// authority is the certificate that its own is signed by.
func (a *apiServer) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.calls.Add(1)
	if !a.known(r) {
		refuse(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized")
		return
	}
	if r.URL.Path == "/version" {
		reply(w, http.StatusOK, map[string]any{"major": "1", "gitVersion": "v" + a.version + ".0", "platform": "stand/in"})
		return
	}
	at, sub, ok := parse(r.URL.Path)
	if !ok {
		refuse(w, http.StatusNotFound, "NotFound", "the stand-in has no "+r.URL.Path)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxObject))
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && at.name == "":
		a.list(w, at, r.URL.Query().Get("labelSelector"))
	case r.Method == http.MethodGet:
		a.get(w, at)
	case r.Method == http.MethodPost && sub == "token":
		reply(w, http.StatusCreated, map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "status": map[string]any{"token": a.token, "expirationTimestamp": "2100-01-01T00:00:00Z"}})
	case r.Method == http.MethodDelete:
		a.delete(w, at)
	default:
		a.write(w, r, at, body)
	}
}

// known reports whether the caller is let in.
func (a *apiServer) known(r *http.Request) bool {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == a.token {
		return true
	}
	if a.authenticator == "" || token == "" {
		return false
	}
	question, err := json.Marshal(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": map[string]any{"token": token}})
	if err != nil {
		return false
	}
	resp, err := http.Post(a.authenticator, "application/json", bytes.NewReader(question))
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var review struct {
		Status struct{ Authenticated bool }
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxObject)).Decode(&review) == nil && review.Status.Authenticated
}

// parse reads /api/v1/… and /apis/GROUP/VERSION/…, with or without a namespace.
func parse(path string) (at key, sub string, ok bool) {
	words := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(words) >= 3 && words[0] == "api":
		at.group, words = words[1], words[2:]
	case len(words) >= 4 && words[0] == "apis":
		at.group, words = words[1]+"/"+words[2], words[3:]
	default:
		return at, "", false
	}
	if len(words) > 2 && words[0] == "namespaces" {
		at.namespace, words = words[1], words[2:]
	}
	words = append(words, "", "")
	at.resource, at.name, sub = words[0], words[1], words[2]
	return at, sub, true
}

func (a *apiServer) get(w http.ResponseWriter, at key) {
	found, there := a.objects[at.String()]
	if !there {
		refuse(w, http.StatusNotFound, "NotFound", fmt.Sprintf("%s %q not found", at.resource, at.name))
		return
	}
	reply(w, http.StatusOK, found)
}

func (a *apiServer) list(w http.ResponseWriter, at key, selector string) {
	selects, err := labels.Parse(selector)
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	items := []any{}
	for _, name := range slices.Sorted(maps.Keys(a.objects)) {
		words, o := strings.Split(name, "|"), a.objects[name]
		if words[0] != at.group || words[1] != at.resource || at.namespace != "" && words[2] != at.namespace || !selects.Matches(labelsOf(o)) {
			continue
		}
		items = append(items, o)
	}
	reply(w, http.StatusOK, map[string]any{"apiVersion": at.group, "kind": kinds[at.resource] + "List", "metadata": map[string]any{"resourceVersion": fmt.Sprint(a.written)}, "items": items})
}

// kinds are what typed clients want an empty list to say that it is of.
var kinds = map[string]string{"clusterrolebindings": "ClusterRoleBinding", "clusterroles": "ClusterRole", "rolebindings": "RoleBinding", "roles": "Role",
	"serviceaccounts": "ServiceAccount", "services": "Service", "configmaps": "ConfigMap", "secrets": "Secret", "namespaces": "Namespace", "pods": "Pod",
	"nodes": "Node", "events": "Event", "deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "jobs": "Job",
	"poddisruptionbudgets": "PodDisruptionBudget", "persistentvolumeclaims": "PersistentVolumeClaim", "persistentvolumes": "PersistentVolume",
	"storageclasses": "StorageClass", "networkpolicies": "NetworkPolicy", "resourcequotas": "ResourceQuota", "limitranges": "LimitRange"}

func labelsOf(o map[string]any) labels.Set {
	set := labels.Set{}
	about, _ := o["metadata"].(map[string]any)
	given, _ := about["labels"].(map[string]any)
	for name, value := range given {
		set[name] = fmt.Sprint(value)
	}
	return set
}

func (a *apiServer) delete(w http.ResponseWriter, at key) {
	if _, there := a.objects[at.String()]; !there {
		refuse(w, http.StatusNotFound, "NotFound", fmt.Sprintf("%s %q not found", at.resource, at.name))
		return
	}
	delete(a.objects, at.String())
	if at.resource == "namespaces" {
		maps.DeleteFunc(a.objects, func(name string, _ map[string]any) bool { return strings.Split(name, "|")[2] == at.name })
	}
	reply(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Success"})
}

// write makes, replaces or merges into an object. A dry run answers as if it did.
func (a *apiServer) write(w http.ResponseWriter, r *http.Request, at key, body []byte) {
	var given map[string]any
	if err := json.Unmarshal(body, &given); err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	if at.name == "" {
		about, _ := given["metadata"].(map[string]any)
		at.name = fmt.Sprint(about["name"])
	}
	before, there := a.objects[at.String()]
	if r.Method == http.MethodPost && there {
		refuse(w, http.StatusConflict, "AlreadyExists", fmt.Sprintf("%s %q already exists", at.resource, at.name))
		return
	}
	if r.Method == http.MethodPatch && there {
		given = merged(before, given)
	}
	if r.URL.Query().Get("dryRun") == "" {
		given = a.put(at, given)
	}
	reply(w, http.StatusOK, given)
}

// put keeps an object, and says of workloads that they run.
func (a *apiServer) put(at key, o map[string]any) map[string]any {
	about := maps.Clone(asMap(o["metadata"]))
	if at.namespace != "" {
		about["namespace"] = at.namespace
	}
	if about["uid"] == nil {
		about["uid"], about["creationTimestamp"] = fmt.Sprintf("uid-%d", a.written), "2026-01-01T00:00:00Z"
	}
	if about["generation"] == nil {
		about["generation"] = 1
	}
	o = maps.Clone(o)
	o["metadata"] = about
	if at.resource == "statefulsets" || at.resource == "deployments" {
		n := asMap(o["spec"])["replicas"]
		if n == nil {
			n = 1
		}
		o["status"] = map[string]any{"observedGeneration": 1, "replicas": n, "updatedReplicas": n, "readyReplicas": n, "availableReplicas": n, "currentRevision": "1", "updateRevision": "1"}
	}
	a.written++
	about["resourceVersion"] = fmt.Sprint(a.written)
	a.objects[at.String()] = o
	return o
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	if m == nil {
		return map[string]any{}
	}
	return m
}

// merged is what is with what is wanted written over it. Lists are replaced.
func merged(is, wanted map[string]any) map[string]any {
	out := maps.Clone(is)
	for name, value := range wanted {
		inner, both := value.(map[string]any)
		was, had := out[name].(map[string]any)
		if both && had {
			value = merged(was, inner)
		}
		out[name] = value
	}
	return out
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller has gone
}

func refuse(w http.ResponseWriter, status int, reason, message string) {
	reply(w, status, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status})
}
