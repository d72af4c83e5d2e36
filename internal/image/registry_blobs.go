package image

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// upload is a blob that comes in. Its hash is kept while it grows.
type upload struct {
	mu         sync.Mutex
	repository string
	file       *os.File
	hash       hash.Hash
	size       int64
	reserved   int64 // of the registry's total
	touched    time.Time
	broken     bool // what is in the file is not what was hashed
}

// uploadAge is after how long without a byte an upload makes room for another one.
const uploadAge = 10 * time.Minute

var wholeDigest = regexp.MustCompile(`^` + digestForm + `$`)

func (r *Registry) blobPath(digest string) string {
	return r.path("blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// space is the first part of a repository's path: the project whose it is. Blobs are shared on the disk and in a space, but
// not between spaces: whoever wants what another has must send it.
func space(repository string) string {
	first, _, _ := strings.Cut(repository, "/")
	return first
}

// linkPath is the file that says that a space has the blob.
func (r *Registry) linkPath(space, digest string) string {
	return r.path("repos", space, "_blobs", strings.TrimPrefix(digest, "sha256:"))
}

// has reports whether the repository's space has the blob.
func (r *Registry) has(repository, digest string) bool {
	_, err := os.Stat(r.linkPath(space(repository), digest))
	return err == nil && r.hasBlob(digest)
}

// promiseBlob reports whether the repository's space has the blob, and has it count as new.
func (r *Registry) promiseBlob(repository, digest string) bool {
	return r.has(repository, digest) && r.promise(r.blobPath(digest))
}

func (r *Registry) getBlob(w http.ResponseWriter, c call) error {
	unknown := problem{http.StatusNotFound, "BLOB_UNKNOWN", fmt.Sprintf("there is no blob %s in %s", c.target, c.repository)}
	if !r.has(c.repository, c.target) || c.Method == http.MethodHead && !r.promise(r.blobPath(c.target)) {
		return unknown
	}
	file, err := os.Open(r.blobPath(c.target))
	if errors.Is(err, fs.ErrNotExist) {
		return unknown
	}
	if err != nil {
		return err
	}
	defer file.Close()
	w.Header().Set("Docker-Content-Digest", c.target)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+c.target+`"`)
	http.ServeContent(w, c.Request, "", time.Time{}, file)
	return nil
}

// startUpload begins an upload, takes a whole blob in one request, or finds that the repository's own space has the blob. A
// mount from another space is an upload like any other.
func (r *Registry) startUpload(w http.ResponseWriter, c call) error {
	if mount := c.URL.Query().Get("mount"); wholeDigest.MatchString(mount) && r.promiseBlob(c.repository, mount) {
		created(w, c.repository, mount)
		return nil
	}
	id, u, err := r.newUpload(c.repository)
	if err != nil {
		return err
	}
	if digest := c.URL.Query().Get("digest"); digest != "" {
		c.target = id
		return r.finishUpload(w, c)
	}
	u.accepted(w, c.repository, id)
	return nil
}

func (r *Registry) hasBlob(digest string) bool {
	_, err := os.Stat(r.blobPath(digest))
	return err == nil
}

func (r *Registry) newUpload(repository string) (string, *upload, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropAbandoned()
	if len(r.uploads) >= r.config.Uploads {
		return "", nil, problem{http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many uploads at one time"}
	}
	id := rand.Text()
	file, err := os.OpenFile(r.path("uploads", id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", nil, err
	}
	u := &upload{repository: repository, file: file, hash: sha256.New(), touched: time.Now()}
	r.uploads[id] = u
	return id, u, nil
}

// dropAbandoned is called with r.mu held. An upload that is being written to is not waited for.
func (r *Registry) dropAbandoned() {
	for id, u := range r.uploads {
		if !u.mu.TryLock() {
			continue
		}
		if time.Since(u.touched) > uploadAge {
			delete(r.uploads, id)
			r.stored.Add(-u.reserved)
			u.file.Close()
			os.Remove(u.file.Name())
		}
		u.mu.Unlock()
	}
}

// take finds an upload and locks it. The caller unlocks.
func (r *Registry) take(c call) (*upload, error) {
	r.mu.Lock()
	u := r.uploads[c.target]
	r.mu.Unlock()
	unknown := problem{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "there is no such upload; begin it again"}
	if u == nil || u.repository != c.repository {
		return nil, unknown
	}
	u.mu.Lock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.uploads[c.target] != u { // it ended while we waited
		u.mu.Unlock()
		return nil, unknown
	}
	return u, nil
}

func (r *Registry) forget(id string, u *upload) error {
	r.mu.Lock()
	delete(r.uploads, id)
	r.mu.Unlock()
	r.stored.Add(-u.reserved)
	err := errors.Join(u.file.Close(), os.Remove(u.file.Name()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it became a blob
	}
	return err
}

func (u *upload) accepted(w http.ResponseWriter, repository, id string) {
	w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/"+id)
	w.Header().Set("Docker-Upload-UUID", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, u.size-1)))
	w.WriteHeader(http.StatusAccepted)
}

func created(w http.ResponseWriter, repository, digest string) {
	w.Header().Set("Location", "/v2/"+repository+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

func (r *Registry) uploadStatus(w http.ResponseWriter, c call) error {
	u, err := r.take(c)
	if err != nil {
		return err
	}
	defer u.mu.Unlock()
	w.Header().Set("Location", c.URL.Path)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, u.size-1)))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (r *Registry) cancelUpload(w http.ResponseWriter, c call) error {
	u, err := r.take(c)
	if err != nil {
		return err
	}
	defer u.mu.Unlock()
	if err := r.forget(c.target, u); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (r *Registry) patchUpload(w http.ResponseWriter, c call) error {
	u, err := r.take(c)
	if err != nil {
		return err
	}
	defer u.mu.Unlock()
	if err := r.receive(w, c, u); err != nil {
		return err
	}
	u.accepted(w, c.repository, c.target)
	return nil
}

var tooLarge = problem{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "the blob is larger than the registry takes"}

// full says why nothing more is taken: not for what is sent, but for what is there.
func (r *Registry) full() error {
	return problem{http.StatusInsufficientStorage, "REGISTRY_FULL", fmt.Sprintf("the registry is full: %d bytes are in use of %d", r.stored.Load(), r.config.Total)}
}

// reservation counts the bytes of an upload into the registry's total as they come: uploads at one time share it.
type reservation struct {
	r *Registry
	u *upload
}

func (v reservation) Write(p []byte) (int, error) {
	n := int64(len(p))
	if v.r.stored.Add(n) > v.r.config.Total {
		v.r.stored.Add(-n)
		return 0, v.r.full()
	}
	v.u.reserved += n
	return len(p), nil
}

// receive appends the request's body to the upload.
func (r *Registry) receive(w http.ResponseWriter, c call, u *upload) error {
	if from, _, ok := strings.Cut(c.Header.Get("Content-Range"), "-"); ok && from != fmt.Sprint(u.size) {
		return problem{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", fmt.Sprintf("the upload goes on at %d", u.size)}
	}
	room := r.config.Blob - u.size
	if c.ContentLength > room {
		return tooLarge
	}
	if c.ContentLength > r.config.Total-r.stored.Load() {
		return r.full() // before a byte of it is read
	}
	n, err := io.Copy(io.MultiWriter(reservation{r, u}, u.file, u.hash), http.MaxBytesReader(w, c.Body, room))
	u.size += n
	u.touched = time.Now()
	if err != nil {
		var disk *fs.PathError
		u.broken = u.broken || errors.As(err, &disk)
	}
	return err
}

// finishUpload takes the rest of the blob and keeps it under its digest, if that is what it has.
func (r *Registry) finishUpload(w http.ResponseWriter, c call) error {
	u, err := r.take(c)
	if err != nil {
		return err
	}
	defer u.mu.Unlock()
	digest := c.URL.Query().Get("digest")
	if err := r.receive(w, c, u); err != nil {
		return err
	}
	if got := sum(u.hash).String(); got != digest || u.broken {
		return errors.Join(problem{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("the blob's digest is %s", got)}, r.forget(c.target, u))
	}
	if err := r.keep(c.repository, u, digest); err != nil {
		return err
	}
	if err := r.forget(c.target, u); err != nil {
		return err
	}
	created(w, c.repository, digest)
	return nil
}

func (r *Registry) keep(repository string, u *upload, digest string) error {
	r.sweeps.RLock()
	defer r.sweeps.RUnlock()
	there := r.hasBlob(digest)
	if err := u.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(u.file.Name(), r.blobPath(digest)); err != nil {
		return err
	}
	if !there {
		u.reserved = 0 // it stays
	}
	if err := syncDir(r.path("blobs", "sha256")); err != nil {
		return err
	}
	if r.has(repository, digest) {
		return nil
	}
	return writeInto(r.linkPath(space(repository), digest), nil)
}
