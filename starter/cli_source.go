package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

// programSource is the source of a program, open to be sent.
type programSource struct {
	root    string // the folder that is sent
	listing *source.Listing
	program source.Program
	chosen  string // the program's folder below the one that was named, where nobody has named it; empty: somebody has
}

func (p *programSource) close() { p.listing.Close() }

// openSource finds the program in the folder dir, or below it at pkg, and holds its source to what builds it, so that nothing is sent that
// cannot become the program of the service. The source may be larger than dir: its workspace or module. Without a pkg the only program
// below will do.
func (s *session) openSource(name, dir, pkg string, tags []string) (*programSource, error) {
	builders, err := s.api.Builders(s.ctx())
	if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Denied) { // an older API, and whoever may not ask, leave it to the builder
		return nil, err
	}
	return openProgram(name, dir, pkg, wanted(builders, tags))
}

// wanted is what is asked of a source: a program for one of the builders, as far as they are known.
func wanted(builders []release.Builder, tags []string) source.Wanted {
	w := source.Wanted{Tags: tags}
	for _, b := range builders {
		w.Architectures = append(w.Architectures, b.Arch)
	}
	w.Go = release.NewestGo(builders)
	return w
}

func openProgram(name, dir, pkg string, w source.Wanted) (*programSource, error) {
	place, err := source.Locate(dir, pkg)
	if err != nil {
		return nil, err
	}
	listing, err := source.Open(place, source.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shortPath(place.Root), err)
	}
	p := &programSource{root: place.Root, listing: listing}
	w.Package, w.Choose = place.Package, pkg == ""
	if p.program, err = listing.Check(w); err != nil {
		p.close()
		return nil, explained(place, name, err)
	}
	if p.program.Package != place.Package {
		p.chosen, err = filepath.Rel(filepath.FromSlash(place.Package), filepath.FromSlash(p.program.Package))
	}
	return p, err
}

// explained says where a source is wrong, and for one that needs its neighbours the command that takes them along.
func explained(place source.Place, name string, err error) error {
	err = fmt.Errorf("%s: %w", shortPath(place.Root), err)
	var outside *source.Outside
	if !errors.As(err, &outside) {
		return err
	}
	return fmt.Errorf("%w: run the folder that holds both: m3o run %s --package %s --name %s", err, quoteWord(shortPath(outside.Parent)),
		quoteWord("./"+outside.Package), name)
}

// shortPath is a path as somebody in the working directory would write it.
func shortPath(whole string) string {
	here, err := os.Getwd()
	if err != nil {
		return whole
	}
	if real, err := filepath.EvalSymlinks(here); err == nil {
		here = real
	}
	if short, err := filepath.Rel(here, whole); err == nil && len(short) < len(whole) {
		return short
	}
	return whole
}

// quoteWord quotes what a shell would split.
func quoteWord(word string) string {
	if strings.ContainsAny(word, " \t'\"\\$&;()*?[]<>|#~`!") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// folderName is a folder's own name, which its service has unless somebody names it.
func folderName(dir string) (string, error) {
	whole, err := filepath.Abs(dir)
	return filepath.Base(whole), err
}

// sentSource is what was packed.
type sentSource struct {
	Digest string `json:"digest"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"` // packed
}

// note says something of how a source was read, once: it may be read more than once on the way.
func (s *session) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if slices.Contains(s.notes, text) {
		return
	}
	s.notes = append(s.notes, text)
	fmt.Fprintln(s.err, text)
}

// tell says what was found that nobody has named, and what may be missed.
func (p *programSource) tell(s *session, dir string) {
	if p.chosen != "" {
		in := dir
		if filepath.Clean(dir) == "." {
			in = "this folder"
		}
		s.note("Builds ./%s, the only main package in %s.", filepath.ToSlash(p.chosen), in)
	}
	if whole, err := filepath.Abs(dir); err == nil {
		if real, err := filepath.EvalSymlinks(whole); err == nil && real != p.root {
			s.note("Sends %s, which package ./%s belongs to.", shortPath(p.root), p.program.Package)
		}
	}
	for _, note := range p.program.Notes {
		s.note("Note: %s.", printable(note))
	}
}

// upload packs a source and sends it, unless the API has it already. It returns the source's digest.
func (s *session) upload(p *programSource) (string, error) {
	file, err := os.CreateTemp("", "m3o-source-*.tar.gz")
	if err != nil {
		return "", fmt.Errorf("pack the source: %w", err)
	}
	defer os.Remove(file.Name())
	stats, err := p.listing.Pack(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	s.sent = &sentSource{Digest: stats.Digest, Files: stats.Files, Bytes: stats.Packed}
	fmt.Fprintf(s.err, "Packed %d files, %d kB, %s.\n", stats.Files, (stats.Packed+999)/1000, stats.Digest[:19])
	if err := s.api.PutSource(s.ctx(), stats.Digest, file.Name()); err != nil {
		return "", fmt.Errorf("upload the source: %w", err)
	}
	return stats.Digest, nil
}

// mayReplace says why a source that nobody has named is not the next release of the service with its folder's name: that one runs another
// program.
func (s *session) mayReplace(name, program string) error {
	r, found, err := s.runningProgram(name)
	if err != nil || !found {
		return err
	}
	other := r.Origin.Module
	if r.Origin.Image != "" {
		other = "the image " + r.Origin.Image
	}
	if other == "" || other == program {
		return nil
	}
	return fault.New(fault.Conflict, "service %q runs %s, and this is %s: name the service that it is to be; --name %s replaces the other one",
		name, other, program, name)
}

// maxRollbacks is how far the release is looked for that another repeats.
const maxRollbacks = 20

// runningProgram is the release that brought what the service runs. Whoever may not know is not asked to.
func (s *session) runningProgram(name string) (release.Release, bool, error) {
	v, err := s.api.Service(s.ctx(), name)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) || err == nil && (v.Status == release.Killed || v.Latest == 0) {
		return release.Release{}, false, nil
	}
	if err != nil {
		return release.Release{}, false, err
	}
	number := v.Current
	if number == 0 {
		number = v.Latest
	}
	for range maxRollbacks {
		r, err := s.api.Release(s.ctx(), name, number)
		if err != nil {
			return r, false, err
		}
		if r.RollsBack == 0 {
			return r, v.Current != 0 || !r.Status.Ended(), nil
		}
		number = r.RollsBack
	}
	return release.Release{}, false, nil
}

// sourceManifest reads the manifest that counts for the program in pkg, below dir: the one beside it, else the one in dir. Without a pkg
// the one in dir may name it.
func (s *session) sourceManifest(dir, pkg string) (manifest, error) {
	m, err := readManifest(dir)
	if err != nil {
		return m, err
	}
	if pkg == "" {
		pkg = m.Package
	}
	if beside := filepath.Join(dir, pkg); beside != filepath.Clean(dir) && isFolder(beside) {
		inside, err := readManifest(beside)
		if err != nil {
			return m, err
		}
		if hasManifest(beside) {
			if hasManifest(dir) {
				s.note("%s counts, as it is beside the package; %s does not.", filepath.Join(beside, manifestFile), filepath.Join(dir, manifestFile))
			}
			m = inside
		}
	}
	m.Package = pkg
	return m, nil
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func hasManifest(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, manifestFile))
	return err == nil
}

// checkManifestName refuses a manifest that has nearly the right name: it would count for nothing.
func checkManifestName(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // who reads the source says so
	}
	for _, e := range entries {
		nearly := slices.Contains([]string{manifestFile, "m3o.yml", ".m3o.yaml", ".m3o.yml"}, strings.ToLower(e.Name()))
		if nearly && e.Name() != manifestFile && !e.IsDir() {
			return fault.New(fault.Invalid, "%s is not read: name it %s", filepath.Join(dir, e.Name()), manifestFile)
		}
	}
	return nil
}
