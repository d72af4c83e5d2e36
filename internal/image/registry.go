package image

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Registry is an OCI registry on disk, for one machine and the nodes of clusters beside it: it answers callers on the
// loopback and in the networks that it is told. The first part of a repository's path is a project; blobs are shared on the disk,
// and have to be sent by each project that wants them. Whoever knows a digest may read
// what it names, as nodes do; writing, tags and lists take the password, so that a service that reaches it can neither
// replace images nor find others'. Everything it has said yes to is on the disk by then: a kill at any moment loses uploads
// in progress, which clients begin again, and nothing else. (go-containerregistry's own registry keeps manifests and uploads
// in memory and hashes a blob at every look; this one speaks the same protocol.)
//
// On disk: blobs/sha256/<hex>, repos/<project>/_blobs/<hex> (empty: the project has the blob), repos/<repository>/_manifests/<hex>
// (media type, newline, manifest) and repos/<repository>/_tags/<tag> (a digest).
type Registry struct {
	dir     string
	config  RegistryConfig
	stored  atomic.Int64 // bytes of blobs and uploads
	sweeps  sync.RWMutex // held alone while garbage is collected, and together while what is there is promised to somebody
	mu      sync.Mutex   // guards uploads
	uploads map[string]*upload
}

// RegistryConfig is what a Registry demands, and its bounds. A zero bound means the default.
type RegistryConfig struct {
	Password string         // of writers; empty: anybody on this machine writes
	Networks []netip.Prefix // answered beside the loopback; this takes a password
	Blob     int64          // one blob; 2 GiB
	Manifest int64          // one manifest; 4 MiB
	Total    int64          // all blobs; 64 GiB
	Uploads  int            // at one time; 64
}

func (l RegistryConfig) withDefaults() RegistryConfig {
	if l.Blob <= 0 {
		l.Blob = 2 << 30
	}
	if l.Manifest <= 0 {
		l.Manifest = 4 << 20
	}
	if l.Total <= 0 {
		l.Total = 64 << 30
	}
	if l.Uploads <= 0 {
		l.Uploads = 64
	}
	return l
}

var _ http.Handler = (*Registry)(nil)

// NewRegistry opens, and makes if need be, the registry in dir. One process at a time may hold it.
func NewRegistry(dir string, config RegistryConfig) (*Registry, error) {
	if len(config.Networks) > 0 && config.Password == "" {
		return nil, errors.New("open registry: one that answers other machines needs a password")
	}
	r := &Registry{dir: dir, config: config.withDefaults(), uploads: map[string]*upload{}}
	// Uploads belong to the process that took them.
	if err := os.RemoveAll(r.path("uploads")); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	for _, sub := range []string{"uploads", "blobs/sha256", "repos"} {
		if err := os.MkdirAll(r.path(sub), 0o700); err != nil {
			return nil, fmt.Errorf("open registry: %w", err)
		}
	}
	if err := r.sweep(); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	blobs, err := os.ReadDir(r.path("blobs/sha256"))
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	for _, b := range blobs {
		if info, err := b.Info(); err == nil {
			r.stored.Add(info.Size())
		}
	}
	return r, nil
}

// sweep removes what a kill left half-written.
func (r *Registry) sweep() error {
	return filepath.WalkDir(r.path("repos"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), tempPrefix) {
			return os.Remove(name)
		}
		return err
	})
}

func (r *Registry) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

const (
	repositoryForm = `([a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)`
	digestForm     = `sha256:[0-9a-f]{64}`
	tagForm        = `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
	maxRepository  = 255
)

// call is a request with what its path names.
type call struct {
	*http.Request
	repository string
	target     string // digest, tag or upload id
}

type route struct {
	path    *regexp.Regexp
	methods map[string]func(*Registry, http.ResponseWriter, call) error
}

var routes = []route{
	{regexp.MustCompile(`^/v2/?$`), methods{"GET": (*Registry).ping, "HEAD": (*Registry).ping}},
	{regexp.MustCompile(`^/v2/_catalog$`), methods{"GET": (*Registry).listRepositories}},
	{regexp.MustCompile(`^/v2/` + repositoryForm + `/tags/list$`), methods{"GET": (*Registry).listTags}},
	{regexp.MustCompile(`^/v2/` + repositoryForm + `/blobs/uploads/?$`), methods{"POST": (*Registry).startUpload}},
	{regexp.MustCompile(`^/v2/` + repositoryForm + `/blobs/uploads/([A-Z0-9]{26})$`), methods{"GET": (*Registry).uploadStatus,
		"PATCH": (*Registry).patchUpload, "PUT": (*Registry).finishUpload, "DELETE": (*Registry).cancelUpload}},
	{regexp.MustCompile(`^/v2/` + repositoryForm + `/blobs/(` + digestForm + `)$`), methods{"GET": (*Registry).getBlob, "HEAD": (*Registry).getBlob}},
	{regexp.MustCompile(`^/v2/` + repositoryForm + `/manifests/(` + digestForm + `|` + tagForm + `)$`), methods{"GET": (*Registry).getManifest,
		"HEAD": (*Registry).getManifest, "PUT": (*Registry).putManifest, "DELETE": (*Registry).deleteManifest}},
}

type methods = map[string]func(*Registry, http.ResponseWriter, call) error

// ServeHTTP speaks the OCI distribution protocol.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if err := r.serve(w, req); err != nil {
		writeProblem(w, req, err)
	}
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) error {
	if from, ok := r.answers(req.RemoteAddr); !ok {
		where := "on its own machine alone"
		if len(r.config.Networks) > 0 {
			where = fmt.Sprintf("on its own machine and in %v alone", r.config.Networks)
		}
		return problem{http.StatusForbidden, "DENIED", fmt.Sprintf("this registry answers callers %s, not %s", where, from)}
	}
	if !r.allows(req) {
		w.Header().Set("WWW-Authenticate", `Basic realm="m3o"`)
		return problem{http.StatusUnauthorized, "UNAUTHORIZED", "this takes the registry's password"}
	}
	for _, route := range routes {
		m := route.path.FindStringSubmatch(req.URL.Path)
		if m == nil {
			continue
		}
		handle, ok := route.methods[req.Method]
		if !ok {
			return problem{http.StatusMethodNotAllowed, "UNSUPPORTED", "this method is not allowed here"}
		}
		m = append(m, "", "")
		if len(m[1]) > maxRepository {
			break
		}
		return handle(r, w, call{Request: req, repository: m[1], target: m[2]})
	}
	return problem{http.StatusNotFound, "NAME_INVALID", "there is no such route, or the name is not one of a repository, tag or sha256 digest"}
}

// open is what a digest's knower may read, and the protocol's greeting.
var open = regexp.MustCompile(`^/v2/(?:.*/(?:blobs|manifests)/` + digestForm + `)?$`)

// allows compares hashes, which have one length, so that the time it takes tells nothing.
func (r *Registry) allows(req *http.Request) bool {
	reads := req.Method == http.MethodGet || req.Method == http.MethodHead
	if r.config.Password == "" || reads && open.MatchString(req.URL.Path) {
		return true
	}
	_, password, _ := req.BasicAuth()
	got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(r.config.Password))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// answers says where a caller is, and whether such callers are answered.
func (r *Registry) answers(caller string) (from netip.Addr, ok bool) {
	at, err := netip.ParseAddrPort(caller)
	if err != nil {
		return from, false
	}
	from = at.Addr().Unmap().WithZone("")
	return from, from.IsLoopback() || slices.ContainsFunc(r.config.Networks, func(n netip.Prefix) bool { return n.Contains(from) })
}

func (r *Registry) ping(w http.ResponseWriter, _ call) error {
	w.WriteHeader(http.StatusOK)
	return nil
}

// problem is an error in the protocol's words.
type problem struct {
	status  int
	code    string
	message string
}

func (p problem) Error() string { return p.message }

func writeProblem(w http.ResponseWriter, req *http.Request, err error) {
	var p problem
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
	case errors.As(err, &large):
		p = problem{http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("more than %d bytes", large.Limit)}
	default:
		slog.ErrorContext(req.Context(), "registry request failed", "method", req.Method, "path", req.URL.Path, "error", err)
		p = problem{http.StatusInternalServerError, "UNKNOWN", "the registry failed"}
	}
	writeJSON(w, p.status, map[string]any{"errors": []map[string]string{{"code": p.code, "message": p.message}}})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		slog.Debug("registry answer was not taken", "error", err)
	}
}
