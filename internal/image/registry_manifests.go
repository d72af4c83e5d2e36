package image

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// manifest is what a repository holds under a digest.
type manifest struct {
	mediaType string
	digest    string
	body      []byte
}

func (r *Registry) manifestPath(repository, digest string) string {
	return r.path("repos", repository, "_manifests", strings.TrimPrefix(digest, "sha256:"))
}

func (r *Registry) tagPath(repository, tag string) string {
	return r.path("repos", repository, "_tags", tag)
}

// find looks up a tag or digest.
func (r *Registry) find(repository, target string) (manifest, error) {
	unknown := problem{http.StatusNotFound, "MANIFEST_UNKNOWN", fmt.Sprintf("there is no %s in %s", target, repository)}
	digest := target
	if !wholeDigest.MatchString(target) {
		b, err := os.ReadFile(r.tagPath(repository, target))
		if errors.Is(err, fs.ErrNotExist) {
			return manifest{}, unknown
		}
		if err != nil {
			return manifest{}, err
		}
		digest = string(b)
	}
	b, err := os.ReadFile(r.manifestPath(repository, digest))
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, unknown
	}
	if err != nil {
		return manifest{}, err
	}
	mediaType, body, _ := bytes.Cut(b, []byte("\n"))
	return manifest{mediaType: string(mediaType), digest: digest, body: body}, nil
}

func (r *Registry) getManifest(w http.ResponseWriter, c call) error {
	m, err := r.promised(c.repository, c.target)
	if err != nil {
		return err
	}
	if c.Method == http.MethodHead { // whoever asks whether it is there relies on the whole of it
		if err := r.checkManifest(c.repository, m); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", m.digest)
	w.Header().Set("Content-Length", strconv.Itoa(len(m.body)))
	w.WriteHeader(http.StatusOK)
	if c.Method == http.MethodHead {
		return nil
	}
	_, _ = w.Write(m.body) // a caller that went away cannot be told
	return nil
}

// putManifest keeps a manifest once everything it speaks of is here. Its tag is written last.
func (r *Registry) putManifest(w http.ResponseWriter, c call) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, c.Body, r.config.Manifest))
	if err != nil {
		return err
	}
	hash := sha256.New()
	hash.Write(body)
	m := manifest{mediaType: c.Header.Get("Content-Type"), digest: sum(hash).String(), body: body}
	byDigest := wholeDigest.MatchString(c.target)
	if byDigest && c.target != m.digest {
		return problem{http.StatusBadRequest, "DIGEST_INVALID", "the manifest's digest is " + m.digest}
	}
	tag := c.target
	if byDigest {
		tag = ""
	}
	if err := r.keepManifest(c.repository, tag, m); err != nil {
		return err
	}
	w.Header().Set("Location", "/v2/"+c.repository+"/manifests/"+m.digest)
	w.Header().Set("Docker-Content-Digest", m.digest)
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (r *Registry) keepManifest(repository, tag string, m manifest) error {
	r.sweeps.RLock() // what it speaks of stays until it is kept itself
	defer r.sweeps.RUnlock()
	if err := r.checkManifest(repository, m); err != nil {
		return err
	}
	err := writeInto(r.manifestPath(repository, m.digest), append([]byte(m.mediaType+"\n"), m.body...))
	if err != nil || tag == "" {
		return err
	}
	return writeInto(r.tagPath(repository, tag), []byte(m.digest))
}

// writeInto writes the file durably, and the folders it needs.
func writeInto(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return writeDurably(name, content)
}

// checkManifest refuses what is no image or index, and what misses parts.
func (r *Registry) checkManifest(repository string, m manifest) error {
	mediaType := types.MediaType(m.mediaType)
	switch {
	case mediaType.IsImage():
		parsed, err := v1.ParseManifest(bytes.NewReader(m.body))
		if err != nil {
			return invalidManifest(err)
		}
		return r.checkBlobs(repository, append(parsed.Layers, parsed.Config))
	case mediaType.IsIndex():
		parsed, err := v1.ParseIndexManifest(bytes.NewReader(m.body))
		if err != nil {
			return invalidManifest(err)
		}
		return r.checkManifests(repository, parsed.Manifests)
	}
	return problem{http.StatusUnsupportedMediaType, "MANIFEST_INVALID", fmt.Sprintf("%.100q is not the type of an image or an index", m.mediaType)}
}

func invalidManifest(err error) error {
	return problem{http.StatusBadRequest, "MANIFEST_INVALID", "the manifest cannot be read: " + err.Error()}
}

func (r *Registry) checkBlobs(repository string, parts []v1.Descriptor) error {
	for _, d := range parts {
		// Layers with URLs of their own ("foreign") are fetched from there.
		if d.MediaType.IsDistributable() && !(wholeDigest.MatchString(d.Digest.String()) && r.has(repository, d.Digest.String())) {
			return problem{http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", fmt.Sprintf("the manifest speaks of %s, which %s does not have", d.Digest, space(repository))}
		}
	}
	return nil
}

func (r *Registry) checkManifests(repository string, parts []v1.Descriptor) error {
	for _, d := range parts {
		if !wholeDigest.MatchString(d.Digest.String()) {
			return problem{http.StatusBadRequest, "MANIFEST_INVALID", "digests are sha256 here"}
		}
		if _, err := r.find(repository, d.Digest.String()); err != nil {
			return err
		}
	}
	return nil
}

// deleteManifest removes a tag, or a manifest with the tags that name it. Its blobs stay: others may share them.
func (r *Registry) deleteManifest(w http.ResponseWriter, c call) error {
	m, err := r.find(c.repository, c.target)
	if err != nil {
		return err
	}
	gone := []string{r.tagPath(c.repository, c.target)}
	if wholeDigest.MatchString(c.target) {
		gone = []string{r.manifestPath(c.repository, m.digest)}
		tags, err := r.tags(c.repository)
		if err != nil {
			return err
		}
		for _, tag := range tags {
			if b, err := os.ReadFile(r.tagPath(c.repository, tag)); err == nil && string(b) == m.digest {
				gone = append(gone, r.tagPath(c.repository, tag))
			}
		}
	}
	slices.Reverse(gone) // tags before what they name
	for _, name := range gone {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// tags of a repository, sorted.
func (r *Registry) tags(repository string) ([]string, error) {
	entries, err := os.ReadDir(r.path("repos", repository, "_tags"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var tags []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			tags = append(tags, e.Name())
		}
	}
	return tags, nil
}

func (r *Registry) listTags(w http.ResponseWriter, c call) error {
	if _, err := os.Stat(r.path("repos", c.repository, "_manifests")); err != nil {
		return problem{http.StatusNotFound, "NAME_UNKNOWN", "there is no repository " + c.repository}
	}
	tags, err := r.tags(c.repository)
	if err != nil {
		return err
	}
	page := paged(w, c, tags)
	writeJSON(w, http.StatusOK, map[string]any{"name": c.repository, "tags": page})
	return nil
}

func (r *Registry) listRepositories(w http.ResponseWriter, c call) error {
	repositories, err := r.repositories()
	if err != nil {
		return err
	}
	page := paged(w, c, repositories)
	writeJSON(w, http.StatusOK, map[string]any{"repositories": page})
	return nil
}

// repositories that hold anything, sorted.
func (r *Registry) repositories() ([]string, error) {
	repositories := []string{}
	root := r.path("repos")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "_manifests" {
			repositories = append(repositories, strings.TrimPrefix(filepath.ToSlash(filepath.Dir(name)), filepath.ToSlash(root)+"/"))
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), "_") {
			return fs.SkipDir
		}
		return nil
	})
	slices.Sort(repositories)
	return repositories, err
}

const maxPage = 1000

// paged cuts a sorted list by the query's "last" and "n", and links to the next page.
func paged(w http.ResponseWriter, c call, list []string) []string {
	query := c.URL.Query()
	if last := query.Get("last"); last != "" {
		i, found := slices.BinarySearch(list, last)
		if found {
			i++
		}
		list = list[i:]
	}
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n <= 0 || n > maxPage {
		n = maxPage
	}
	if len(list) > n {
		list = list[:n]
		w.Header().Set("Link", fmt.Sprintf(`<%s?n=%d&last=%s>; rel="next"`, c.URL.Path, n, list[n-1]))
	}
	return append([]string{}, list...)
}
