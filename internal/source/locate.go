package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/m3o/platform/internal/fault"
)

// Place is what of a developer's machine is sent for a folder that was named.
type Place struct {
	Root    string // the folder to pack
	Package string // the folder of the program, or of those to choose from, in Root; "" is "."
}

// Locate finds what must be sent to build the package in pkg, a path below the folder dir: the folder of the go.work in force, if it
// uses the package's module, else that of the package's go.mod; and dir itself where it lies above either. It looks at folders
// above dir, as the go command does.
func Locate(dir, pkg string) (Place, error) {
	root, err := openFolder(dir)
	if err != nil {
		return Place{}, err
	}
	root.Close()
	if pkg, err = cleanPackage(pkg); err != nil {
		return Place{}, err
	}
	named, err := realPath(dir)
	if err != nil {
		return Place{}, err
	}
	target, err := realPath(filepath.Join(named, pkg))
	if errors.Is(err, fs.ErrNotExist) {
		return Place{Root: named, Package: pkg}, nil // Check says that it is not there, and what is
	}
	if err != nil {
		return Place{}, err
	}
	if !within(named, target) {
		return Place{}, fault.New(fault.Invalid, "the package %q is a link that leaves %s", pkg, dir)
	}
	enclosing, err := enclosingRoot(target)
	if err != nil {
		return Place{}, err
	}
	if enclosing == "" || within(named, enclosing) {
		enclosing = named
	}
	inside, err := filepath.Rel(enclosing, target)
	return Place{Root: enclosing, Package: filepath.ToSlash(inside)}, err
}

// realPath is absolute and without links: git and the go command, too, look upwards from where a folder really is.
func realPath(name string) (string, error) {
	whole, err := filepath.Abs(name)
	if err == nil {
		whole, err = filepath.EvalSymlinks(whole)
	}
	if err != nil {
		return "", fmt.Errorf("look at source: %w", err)
	}
	return whole, nil
}

// within reports whether name is dir or lies below it. Both are absolute and clean.
func within(dir, name string) bool {
	inside, err := filepath.Rel(dir, name)
	return err == nil && filepath.IsLocal(inside)
}

// enclosingRoot is the folder of the workspace or else of the module that the package's folder belongs to; "" without either.
func enclosingRoot(target string) (string, error) {
	module, found := upwards(target, "go.mod")
	if !found {
		return "", nil
	}
	workspace, found := upwards(target, "go.work")
	if !found {
		return module, nil
	}
	name := filepath.Join(workspace, "go.work")
	content, err := readFile(name, maxGoFile)
	if err != nil {
		return "", fmt.Errorf("look at source: %w", err)
	}
	work, err := modfile.ParseWork(name, content, nil)
	if err != nil {
		return "", fault.New(fault.Invalid, "%v", err)
	}
	for _, use := range work.Use {
		used := filepath.FromSlash(use.Path)
		if !filepath.IsAbs(used) {
			used = filepath.Join(workspace, used)
		}
		if filepath.Clean(used) == module {
			if within(workspace, module) {
				return workspace, nil
			}
			return module, nil
		}
	}
	return module, nil
}

// upwards finds the nearest folder, from dir on, that holds the file. As for the go command a file right in the folder of temporary
// files belongs to nobody.
func upwards(dir, file string) (string, bool) {
	for range maxAbove {
		info, err := os.Stat(filepath.Join(dir, file))
		if err == nil && !info.IsDir() && dir != filepath.Clean(os.TempDir()) {
			return dir, true
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", false
}

// readFile reads a file, or what a link leads to, up to limit.
func readFile(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file, name, limit)
}

// readBounded reads what a file of that name holds, up to limit.
func readBounded(file io.Reader, name string, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, fault.New(fault.Invalid, "%s is larger than %s", name, size(limit))
	}
	return content, err
}

// common is the lowest folder that holds all of them.
func common(folders ...string) string {
	held := folders[0]
	for _, f := range folders[1:] {
		for !within(held, f) {
			held = filepath.Dir(held)
		}
	}
	return held
}

// Outside says that a source needs folders outside of it. Parent holds them and the source; in it lies, at Package, the program.
type Outside struct {
	Parent, Package string
	why             *fault.Error
}

func (o *Outside) Error() string { return o.why.Error() }

// Unwrap is the fault that it is.
func (o *Outside) Unwrap() error { return o.why }

// escapes reports whether a path from a folder in the source leads out of it.
func escapes(clean string) bool { return clean == ".." || strings.HasPrefix(clean, "../") }
