package build

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

// Where things lie in an image: the program in its working directory, with the files that it reads beside it, as "go run" has them in the
// current directory and an installed program beside itself.
const (
	workDir  = "/app"
	zoneInfo = "/usr/share/zoneinfo"
)

// leftOut are the files of a folder that no program reads, unless include names some: Go's own source, what speaks to tools, and at the
// folder's top what speaks to people.
var leftOut = []string{"*.go", "go.mod", "go.sum", "go.work", "go.work.sum", "testdata/", "m3o.yaml", "m3o.yml", ".m3o*", ".git*", ".dockerignore",
	".editorconfig", ".golangci.*", ".goreleaser.*", ".idea/", ".vscode/", ".DS_Store", "/README*", "/LICENSE*", "/Makefile", "/Dockerfile*"}

// beside lists the files that the image holds beside the program: those of the package's folder, and where that holds none, those of its
// module's folder, in which "go run ./cmd/api" is called.
func (b *Builder) beside(ctx context.Context, w *work, in Input, log io.Writer) ([]image.File, error) {
	for _, folder := range slices.Compact([]string{in.Package, moduleOf(w.source, in.Package)}) {
		s := newSelection(filepath.Join(w.source, folder), in.Build)
		if err := s.folder(ctx, ".", len(in.Build.Include) == 0); err != nil {
			return nil, fmt.Errorf("look for the files of %s: %w", folder, err)
		}
		for _, name := range s.outside {
			fmt.Fprintf(log, "%s is left out: it leads out of the folder whose files come along\n", path.Join(folder, name))
		}
		if len(s.files) == 0 {
			continue
		}
		if err := s.bounded(b.config.Limits); err != nil {
			return nil, err
		}
		fmt.Fprintf(log, "%s%s: %s\n", comeAlong(len(s.files)), from(folder), source.Largest(s.sizes))
		return s.files, nil
	}
	return nil, nil
}

func comeAlong(files int) string {
	if files == 1 {
		return "1 file comes along"
	}
	return fmt.Sprintf("%d files come along", files)
}

func from(folder string) string {
	if folder == "." {
		return ""
	}
	return ", from " + folder
}

// moduleOf is the folder of the module that a package of the source belongs to.
func moduleOf(dir, pkg string) string {
	for folder := pkg; folder != "."; folder = path.Dir(folder) {
		if info, err := os.Lstat(filepath.Join(dir, folder, "go.mod")); err == nil && info.Mode().IsRegular() {
			return folder
		}
	}
	return "."
}

// selection is what is chosen of one folder.
type selection struct {
	dir     string
	include source.Patterns
	exclude source.Patterns
	ours    bool // nothing was named: Go's own and vendored packages stay out

	files   []image.File
	sizes   map[string]int64 // by path in the folder
	total   int64
	outside []string // links that lead out of the folder
}

func newSelection(dir string, b release.Build) *selection {
	s := &selection{dir: dir, include: source.NewPatterns(b.Include), ours: len(b.Include) == 0, sizes: map[string]int64{}}
	exclude := b.Exclude
	if s.ours {
		exclude = slices.Concat(leftOut, b.Exclude)
	}
	s.exclude = source.NewPatterns(exclude)
	return s
}

// folder goes through a folder, which was included itself or not. It ends with ctx: a stranger's patterns can take long.
func (s *selection) folder(ctx context.Context, dir string, included bool) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := path.Join(dir, e.Name())
		if excluded, _ := s.exclude.Match(name, e.IsDir()); excluded || s.ours && e.IsDir() && s.vendored(name) {
			continue
		}
		takes := included
		if named, known := s.include.Match(name, e.IsDir()); known {
			takes = named
		}
		if e.IsDir() {
			err = s.folder(ctx, name, takes)
		} else if takes {
			err = s.add(name, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// vendored reports the folder of a module's copies of others, which web pages have folders of the name of, too.
func (s *selection) vendored(name string) bool {
	if path.Base(name) != "vendor" {
		return false
	}
	_, err := os.Lstat(filepath.Join(s.dir, name, "modules.txt"))
	return err == nil
}

func (s *selection) add(name string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	file := image.File{Path: path.Join(workDir, name), From: filepath.Join(s.dir, name), Exec: info.Mode()&0o100 != 0}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(file.From)
		if err != nil {
			return err
		}
		if !filepath.IsLocal(path.Join(path.Dir(name), target)) {
			s.outside = append(s.outside, name)
			return nil
		}
		file = image.File{Path: file.Path, Link: target}
	}
	s.files, s.sizes[name] = append(s.files, file), info.Size()
	s.total += info.Size()
	return nil
}

func (s *selection) bounded(l Limits) error {
	const help = "say in m3o.yaml which the program does not read (exclude), or which alone it reads (include)"
	switch {
	case len(s.files) > l.Files:
		return fault.New(fault.Failed, "%d files would come along with the program, more than %d; most are in %s: %s", len(s.files), l.Files,
			source.MostFiles(s.sizes), help)
	case s.total > l.FileBytes:
		return fault.New(fault.Failed, "the files that would come along with the program have %s, more than %s; the largest are %s: %s", source.Size(s.total),
			source.Size(l.FileBytes), source.Largest(s.sizes), help)
	}
	return nil
}

// programPath is where the program lies: beside its files, under a name that none of their folders has.
func programPath(files []image.File) string {
	name := path.Join(workDir, "main")
	for slices.ContainsFunc(files, func(f image.File) bool { return strings.HasPrefix(f.Path, name+"/") }) {
		name += "_"
	}
	return name
}

// readZones reads the time zones that belong to the toolchain, so that images do not depend on the machine: files by their path in an image.
func readZones(goroot string) (files map[string][]byte, err error) {
	archive, err := zip.OpenReader(filepath.Join(goroot, "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return nil, fault.Wrap(fault.Failed, err, "the Go toolchain in %q has no time zones (lib/time/zoneinfo.zip)", goroot)
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	files = map[string][]byte{}
	for _, f := range archive.File {
		if f.FileInfo().IsDir() {
			continue
		}
		if files[path.Join(zoneInfo, f.Name)], err = fs.ReadFile(archive, f.Name); err != nil {
			return nil, fmt.Errorf("read time zone %s: %w", f.Name, err)
		}
	}
	return files, nil
}
