package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of one layer, against archives that are bombs.
const (
	maxLayerBytes   = 32 << 30
	maxLayerEntries = 2 << 20
)

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	opaqueXattr    = "user.overlay.opaque"
)

// unpackLayer unpacks an archive aside, checks its digest, and moves it to its
// place in one step.
func (s *Store) unpackLayer(ctx context.Context, diffID string, archive io.Reader) (layer, error) {
	dir, err := os.MkdirTemp(s.path("tmp"), "layer-")
	if err != nil {
		return layer{}, err
	}
	defer os.RemoveAll(dir)
	target := filepath.Join(dir, "fs")
	if err := os.Mkdir(target, 0o755); err != nil {
		return layer{}, err
	}
	sum := sha256.New()
	size, err := unpack(ctx, target, io.TeeReader(archive, sum))
	if err != nil {
		return layer{}, err
	}
	if _, err := io.Copy(sum, io.LimitReader(archive, maxLayerBytes)); err != nil {
		return layer{}, err
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != diffID {
		return layer{}, fmt.Errorf("the content is %s", got)
	}
	place := filepath.Join(s.LayersDir(), Folder(diffID))
	if err := os.RemoveAll(place); err != nil {
		return layer{}, err
	}
	return size, os.Rename(target, place)
}

// unpacker writes the entries of one layer. Every name is resolved by the
// kernel with the layer's folder as the root, so neither dots nor links lead
// outside of it.
type unpacker struct {
	root int
	size layer
	// whiteouts are the names that hide something of a lower layer.
	whiteouts map[string]bool
}

func unpack(ctx context.Context, dir string, archive io.Reader) (layer, error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return layer{}, fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(root)
	u := &unpacker{root: root, whiteouts: map[string]bool{}}
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return u.size, nil
		}
		if err != nil {
			return layer{}, fmt.Errorf("read the archive: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return layer{}, err
		}
		if err := u.write(header, reader); err != nil {
			return layer{}, fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

func (u *unpacker) write(header *tar.Header, content io.Reader) error {
	u.size.Inodes++
	u.size.Bytes += max(header.Size, 0)
	if u.size.Inodes > maxLayerEntries || u.size.Bytes > maxLayerBytes {
		return fmt.Errorf("the layer is larger than %d files or %d bytes", maxLayerEntries, int64(maxLayerBytes))
	}
	name := path.Clean("/" + header.Name)
	if name == "/" {
		return nil // the root stays as it is
	}
	parent, err := u.openParent(path.Dir(name))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	entry := entry{u: u, parent: parent, base: path.Base(name), name: name, header: header}
	if strings.HasPrefix(entry.base, whiteoutPrefix) {
		return entry.whiteout()
	}
	return entry.make(content)
}

// openParent opens a folder inside the layer, making what is missing.
func (u *unpacker) openParent(dir string) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(u.root, dir, how)
	if !errors.Is(err, unix.ENOENT) || dir == "/" {
		return fd, err
	}
	upper, err := u.openParent(path.Dir(dir))
	if err != nil {
		return -1, err
	}
	defer unix.Close(upper)
	err = unix.Mkdirat(upper, path.Base(dir), 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	return unix.Openat2(u.root, dir, how)
}
