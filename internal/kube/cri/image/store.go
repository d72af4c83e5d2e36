// Package image pulls container images and keeps them unpacked on disk, a
// folder for each layer, ready to be stacked by overlay. It mounts nothing and
// knows no containers; it is told which layers they still use. Only package cri
// may import it.
//
// What an ordinary user cannot have is left out of a layer: owners, device
// nodes, extended attributes, and the bits that would run a program as its
// owner. A layer is unpacked without regard to those below it.
//
// Words: an image's id is the digest of its configuration; a layer's diff id
// is the digest of its uncompressed archive, its folder the first part of that.
package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// Image is an image of the store.
type Image struct {
	ID      string
	Tags    []string
	Digests []string
	// Layers are the diff ids, lowest first.
	Layers []string
	Config v1.ConfigFile
}

// layer is an unpacked layer.
type layer struct {
	Bytes  int64
	Inodes int64
}

// index is the part of the store that is a file.
type index struct {
	// Boot is the run of the machine in which the layers were written.
	Boot   string
	Images map[string]*Image
	Layers map[string]layer
}

// bootFile names the machine's present run: it is another after a power cut.
var bootFile = "/proc/sys/kernel/random/boot_id"

// Store keeps the images below a folder. It is safe for concurrent use; one
// process at a time may have the folder.
type Store struct {
	root      string
	transport http.RoundTripper
	log       *slog.Logger
	flights   singleflight.Group
	downloads *semaphore.Weighted

	mu    sync.Mutex
	index index
	// pending counts the pulls that rely on a layer, in the index or not.
	pending map[string]int
}

// Open opens the store below root, making it if need be. What a pull that was
// cut off left behind is removed. A nil transport is the default one.
func Open(root string, transport http.RoundTripper, log *slog.Logger) (*Store, error) {
	if transport == nil {
		transport = http.DefaultTransport
	}
	s := &Store{root: root, transport: transport, log: log, downloads: semaphore.NewWeighted(4), pending: map[string]int{}}
	s.index = index{Boot: boot(), Images: map[string]*Image{}, Layers: map[string]layer{}}
	if err := os.RemoveAll(s.path("tmp")); err != nil {
		return nil, fmt.Errorf("clear unfinished layers: %w", err)
	}
	for _, dir := range []string{"tmp", "layers/" + emptyFolder} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return nil, fmt.Errorf("make the image store: %w", err)
		}
	}
	return s, s.load()
}

func boot() string {
	id, err := os.ReadFile(bootFile)
	if err != nil {
		return "" // no Linux as we know it: layers are believed
	}
	return strings.TrimSpace(string(id))
}

// load reads the index. One that a crash of the machine left unreadable is
// given up, and so are layers of another run of the machine: nobody waited
// until they were on the disk, which takes longer than to pull them again.
func (s *Store) load() error {
	raw, err := os.ReadFile(s.path("index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the image index: %w", err)
	}
	found := index{Images: map[string]*Image{}, Layers: map[string]layer{}}
	if err := json.Unmarshal(raw, &found); err != nil {
		s.log.Warn("the image index cannot be read, images will be pulled again", "error", err)
		return nil
	}
	if found.Boot != s.index.Boot {
		s.log.Info("the machine was started anew, images will be pulled again")
		return nil
	}
	s.index = found
	return nil
}

// emptyFolder is a layer with nothing in it, for images without layers and for
// mounts that need a second one.
const emptyFolder = "empty"

// Folder is the layer's name below LayersDir: short, because the kernel takes
// no more than a page of names for a mount.
func Folder(diffID string) string {
	_, hex, _ := strings.Cut(diffID, ":")
	return hex[:min(len(hex), 24)]
}

// Folders are the folders of the image's layers, highest first, and the empty
// one, as overlay wants them.
func (i *Image) Folders() []string {
	folders := []string{emptyFolder}
	for _, diffID := range i.Layers {
		folders = append(folders, Folder(diffID))
	}
	slices.Reverse(folders)
	return folders
}

// LayersDir has the layers' folders.
func (s *Store) LayersDir() string { return s.path("layers") }

func (s *Store) path(elem string) string { return filepath.Join(s.root, elem) }

// save writes the index. The caller holds the lock.
func (s *Store) save() error {
	raw, err := json.Marshal(s.index)
	if err != nil {
		return err
	}
	temporary := s.path("tmp/index.json")
	if err := os.WriteFile(temporary, raw, 0o644); err != nil {
		return fmt.Errorf("write the image index: %w", err)
	}
	return os.Rename(temporary, s.path("index.json"))
}

// Get finds an image by id, by the start of an id, by tag or by digest.
func (s *Store) Get(ref string) (*Image, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(ref)
}

func (s *Store) get(ref string) (*Image, bool) {
	if image, ok := s.index.Images[ref]; ok {
		return image, true
	}
	if image, ok := s.index.Images["sha256:"+ref]; ok {
		return image, true
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, false
	}
	for _, image := range s.index.Images {
		if slices.Contains(image.Tags, parsed.Name()) || slices.Contains(image.Digests, parsed.Name()) {
			return image, true
		}
	}
	return nil, false
}

// List returns all images, by id.
func (s *Store) List() []*Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	var images []*Image
	for _, id := range slices.Sorted(maps.Keys(s.index.Images)) {
		images = append(images, s.index.Images[id])
	}
	return images
}

// Size is the room that the image's layers take on disk.
func (s *Store) Size(image *Image) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var size int64
	for _, diffID := range image.Layers {
		size += s.index.Layers[diffID].Bytes
	}
	return size
}

// Usage is the room and the number of files that all layers take.
func (s *Store) Usage() (bytes, inodes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.index.Layers {
		bytes += l.Bytes
		inodes += l.Inodes
	}
	return bytes, inodes
}

// Remove forgets the image with all its names and deletes the layers that
// neither another image nor inUse needs. An unknown image is no error.
func (s *Store) Remove(ref string, inUse map[string]bool) error {
	s.mu.Lock()
	image, ok := s.get(ref)
	if !ok {
		s.mu.Unlock()
		return nil
	}
	delete(s.index.Images, image.ID)
	doomed, err := s.sweep(inUse)
	s.mu.Unlock()
	return errors.Join(err, s.discard(doomed))
}

// Sweep deletes the layers that nothing needs.
func (s *Store) Sweep(inUse map[string]bool) error {
	s.mu.Lock()
	doomed, err := s.sweep(inUse)
	s.mu.Unlock()
	return errors.Join(err, s.discard(doomed))
}

// sweep moves unneeded layers out of the way, so that a new pull of the same
// layer starts afresh, and returns where to.
func (s *Store) sweep(inUse map[string]bool) ([]string, error) {
	needed := map[string]bool{emptyFolder: true}
	for _, image := range s.index.Images {
		for _, diffID := range image.Layers {
			needed[Folder(diffID)] = true
		}
	}
	for diffID := range s.pending {
		needed[Folder(diffID)] = true
	}
	for diffID := range inUse {
		needed[Folder(diffID)] = true
	}
	maps.DeleteFunc(s.index.Layers, func(diffID string, _ layer) bool { return !needed[Folder(diffID)] })
	if err := s.save(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.LayersDir())
	if err != nil {
		return nil, fmt.Errorf("list the layers: %w", err)
	}
	var doomed []string
	for _, entry := range entries {
		if needed[entry.Name()] {
			continue
		}
		dir, err := os.MkdirTemp(s.path("tmp"), "gone-")
		if err != nil {
			return doomed, err
		}
		doomed = append(doomed, dir)
		if err := os.Rename(filepath.Join(s.LayersDir(), entry.Name()), filepath.Join(dir, "layer")); err != nil {
			return doomed, fmt.Errorf("remove a layer: %w", err)
		}
	}
	return doomed, nil
}

func (s *Store) discard(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
