package image

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// BuildTag begins the tags of images that builds made: those can be made again, and so are the ones that are collected.
const BuildTag = "build-"

// Collected is what a collection of garbage removed.
type Collected struct {
	Images int
	Blobs  int
	Bytes  int64
}

// Used tells how much room the blobs take, and how much there is.
func (r *Registry) Used() (bytes, total int64) { return r.stored.Load(), r.config.Total }

// Collect removes images that builds made, whose digests are not kept, and then the blobs that no image needs. Nothing is
// removed that was stored, asked for or found by a push after before: whoever was told that something is there has so long
// to use it. Pushes wait meanwhile. A kill leaves blobs that nothing needs, for the next collection.
func (r *Registry) Collect(kept map[string]bool, before time.Time) (Collected, error) {
	r.sweeps.Lock()
	defer r.sweeps.Unlock()
	var done Collected
	repositories, err := r.repositories()
	if err != nil {
		return done, err
	}
	needed := map[string]bool{}
	for _, repository := range repositories {
		n, err := r.collectImages(repository, kept, before, needed)
		done.Images += n
		if err != nil {
			return done, err
		}
	}
	return done, r.collectBlobs(needed, before, &done)
}

// collectImages removes a repository's garbage, and notes the blobs that what stays needs.
func (r *Registry) collectImages(repository string, kept map[string]bool, before time.Time, needed map[string]bool) (removed int, err error) {
	built, err := r.built(repository)
	if err != nil {
		return 0, err
	}
	for digest, tags := range built {
		if kept[digest] || !olderOrGone(r.manifestPath(repository, digest), before) {
			continue
		}
		if err := r.removeImage(repository, digest, tags); err != nil {
			return removed, err
		}
		removed++
	}
	entries, err := os.ReadDir(r.path("repos", repository, "_manifests"))
	if err != nil {
		return removed, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if err := r.noteBlobs(repository, "sha256:"+e.Name(), needed); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// built lists the images that have tags of builds and no others, with their tags.
func (r *Registry) built(repository string) (map[string][]string, error) {
	tags, err := r.tags(repository)
	if err != nil {
		return nil, err
	}
	built, others := map[string][]string{}, map[string]bool{}
	for _, tag := range tags {
		digest, err := os.ReadFile(r.tagPath(repository, tag))
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(tag, BuildTag) {
			built[string(digest)] = append(built[string(digest)], tag)
		} else {
			others[string(digest)] = true
		}
	}
	for digest := range others {
		delete(built, digest)
	}
	return built, nil
}

// removeImage takes the tags last: while one is there, a collection that was killed is finished by the next.
func (r *Registry) removeImage(repository, digest string, tags []string) error {
	gone := []string{r.manifestPath(repository, digest)}
	for _, tag := range tags {
		gone = append(gone, r.tagPath(repository, tag))
	}
	for _, name := range gone {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// noteBlobs fails on what it cannot read: nothing is removed then, as nobody knows what is needed.
func (r *Registry) noteBlobs(repository, digest string, needed map[string]bool) error {
	m, err := r.find(repository, digest)
	if err != nil {
		return err
	}
	if !types.MediaType(m.mediaType).IsImage() {
		return nil // an index names images, which are noted by themselves
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(m.body))
	if err != nil {
		return err
	}
	for _, d := range append(parsed.Layers, parsed.Config) {
		needed[d.Digest.String()] = true
	}
	return nil
}

func (r *Registry) collectBlobs(needed map[string]bool, before time.Time, done *Collected) error {
	blobs, err := os.ReadDir(r.path("blobs", "sha256"))
	if err != nil {
		return err
	}
	spaces, err := os.ReadDir(r.path("repos"))
	if err != nil {
		return err
	}
	for _, b := range blobs {
		info, err := b.Info()
		if err != nil || needed["sha256:"+b.Name()] || !info.ModTime().Before(before) {
			continue
		}
		for _, space := range spaces { // before the blob: whoever sends it again gets a link of its own
			if err := os.Remove(r.linkPath(space.Name(), b.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := os.Remove(r.blobPath(b.Name())); err != nil {
			return err
		}
		r.stored.Add(-info.Size())
		done.Blobs, done.Bytes = done.Blobs+1, done.Bytes+info.Size()
	}
	return nil
}

func olderOrGone(name string, before time.Time) bool {
	info, err := os.Stat(name)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.ModTime().Before(before)
}

// promise reports whether the file is there, and has it count as new: whoever asks means to use it.
func (r *Registry) promise(name string) bool {
	r.sweeps.RLock()
	defer r.sweeps.RUnlock()
	return renew(name)
}

// promised finds an image and promises it.
func (r *Registry) promised(repository, target string) (manifest, error) {
	r.sweeps.RLock()
	defer r.sweeps.RUnlock()
	m, err := r.find(repository, target)
	if err == nil {
		renew(r.manifestPath(repository, m.digest))
	}
	return m, err
}

func renew(name string) bool {
	now := time.Now()
	return os.Chtimes(name, now, now) == nil
}
