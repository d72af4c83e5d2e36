// Package image makes OCI images without Docker, moves them to and from registries, and is a registry on disk. It reads no more of
// what other registries send than bounds.go says.
//
// An image of ours is one program on a root of its own, in up to three layers: what surrounds every program (a nonroot user, a
// world-writable /tmp, the certificates of the public authorities), the files that it reads, and the program. All of it is root's but
// /tmp. The certificates come from a pinned module and not from the machine, times are zero and the compression level is fixed, so that
// equal programs make equal digests on every machine.
//
// The package does not compile (that is build) and does not run anything. It imports fault; build, cluster's callers and
// the wiring import it.
package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/m3o/platform/internal/fault"
)

// NonRoot is the user and group that programs run as.
const NonRoot = 65532

// Config is what a container of the image starts with. Path is where the program lies in the image; the rest may be left
// out.
type Config struct {
	Path       string // absolute
	Entrypoint []string
	Dir        string // working directory, absolute; "/" by default
	Env        []string
	Labels     map[string]string
	Port       int
	Surrounds  map[string][]byte // more regular files in the layer that programs share, by their absolute path in the image
	Files      []File            // what this program reads, in a layer of its own
}

// File is a regular file or a symbolic link.
type File struct {
	Path string // in the image, absolute
	From string // on this machine
	Link string // target of a link, in place of From
	Exec bool
}

// FromBinary makes the image of one program, a static Linux executable of this architecture. The layers are written into the
// folder scratch, once, and read from there until the image is pushed.
func FromBinary(scratch, binary, arch string, config Config) (v1.Image, error) {
	for _, name := range []string{config.Path, cmp.Or(config.Dir, "/")} {
		if !path.IsAbs(name) || path.Clean(name) != name {
			return nil, fault.New(fault.Invalid, "the path %q in an image is not absolute and clean", name)
		}
	}
	var layers []v1.Layer
	for _, l := range []struct {
		name  string
		items []item
	}{{"root", surroundings(config)}, {"files", besides(config)}, {"program", []item{{name: inTar(config.Path), mode: 0o755, file: binary}}}} {
		if len(l.items) == 0 {
			continue
		}
		layer, err := newLayer(filepath.Join(scratch, l.name+".tar.gz"), func(w io.Writer) error { return writeItems(w, l.items) })
		if err != nil {
			return nil, fmt.Errorf("make image layer %s of %s: %w", l.name, filepath.Base(binary), err)
		}
		layers = append(layers, layer)
	}
	file := &v1.ConfigFile{
		OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}, Config: runtimeConfig(config),
		Created: v1.Time{Time: time.Unix(0, 0).UTC()},
	}
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), file)
	if err != nil {
		return nil, fmt.Errorf("make image config: %w", err)
	}
	return mutate.AppendLayers(img, layers...)
}

func runtimeConfig(config Config) v1.Config {
	out := v1.Config{
		User:       fmt.Sprintf("%d:%d", NonRoot, NonRoot),
		Entrypoint: config.Entrypoint,
		Env:        append([]string{"PATH=" + path.Dir(config.Path), "HOME=/tmp", "SSL_CERT_FILE=" + certificates}, config.Env...),
		Labels:     config.Labels,
		WorkingDir: cmp.Or(config.Dir, "/"),
	}
	if len(out.Entrypoint) == 0 {
		out.Entrypoint = []string{config.Path}
	}
	if config.Port != 0 {
		out.ExposedPorts = map[string]struct{}{fmt.Sprintf("%d/tcp", config.Port): {}}
	}
	return out
}

const certificates = "/etc/ssl/certs/ca-certificates.crt"

// Base names what an image holds beside the program: it is part of a build's identity.
const Base = "m3o-root-2+" + certificatesVersion

// certificatesVersion changes with the pinned module, which a test compares.
const certificatesVersion = "20261030153154"

// item is one entry of a layer.
type item struct {
	name string
	mode int64
	dir  bool
	link string // target, for a link
	body []byte
	file string // path on this machine, in place of body
}

func inTar(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }

// surroundings are what every program finds.
func surroundings(config Config) []item {
	items := []item{
		{name: "etc/group", mode: 0o644, body: fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", NonRoot)},
		{name: "etc/passwd", mode: 0o644, body: fmt.Appendf(nil, "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:%d:%d:nonroot:/tmp:/sbin/nologin\n", NonRoot, NonRoot)},
		{name: inTar(certificates), mode: 0o644, body: publicAuthorities()},
		{name: "tmp", mode: 0o1777, dir: true},
	}
	if dir := inTar(config.Dir); dir != "" && dir != "." {
		items = append(items, item{name: dir, mode: 0o755, dir: true})
	}
	for name, body := range config.Surrounds {
		items = append(items, item{name: inTar(name), mode: 0o644, body: body})
	}
	return items
}

// besides are the files that the program reads.
func besides(config Config) []item {
	var items []item
	for _, f := range config.Files {
		i := item{name: inTar(f.Path), mode: 0o644, link: f.Link, file: f.From}
		if f.Exec {
			i.mode = 0o755
		}
		items = append(items, i)
	}
	return items
}

// writeItems writes them as a tar, with the folders that lead to them, sorted and without times.
func writeItems(w io.Writer, items []item) error {
	archive := tar.NewWriter(w)
	for _, i := range withFolders(items) {
		if err := i.write(archive); err != nil {
			return err
		}
	}
	return archive.Close()
}

// withFolders adds the folders that lead to the items, and sorts.
func withFolders(items []item) []item {
	have := map[string]bool{".": true}
	for _, i := range items {
		have[i.name] = true
	}
	for _, i := range slices.Clone(items) {
		for dir := path.Dir(i.name); !have[dir]; dir = path.Dir(dir) {
			have[dir] = true
			items = append(items, item{name: dir, mode: 0o755, dir: true})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.name, b.name) })
	return items
}

func (i item) write(archive *tar.Writer) (err error) {
	header := &tar.Header{Name: i.name, Typeflag: tar.TypeReg, Mode: i.mode, Size: int64(len(i.body)), ModTime: time.Unix(0, 0)}
	if i.dir {
		header.Name, header.Typeflag = i.name+"/", tar.TypeDir
		return archive.WriteHeader(header)
	}
	if i.link != "" {
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, i.link, 0o777
		return archive.WriteHeader(header)
	}
	var body io.Reader = bytes.NewReader(i.body)
	if i.file != "" {
		file, err := os.Open(i.file)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		header.Size, body = info.Size(), file
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, body)
	return err
}

// publicAuthorities is Mozilla's list, as the Go project publishes it, in PEM. Roots that browsers trust under conditions
// only are left out: a file cannot carry the conditions.
func publicAuthorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return b.Bytes()
}
