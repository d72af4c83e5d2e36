package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxAbove bounds how far up the root of a repository is looked for.
const maxAbove = 64

// ignoresAbove reads the ignore files of the folders above dir, from the root of the repository that it lies in. Who names
// a folder wants it packed: lines that ignore the folder itself, or one that it lies in, do not count.
func ignoresAbove(dir string) (ignores, error) {
	whole, err := filepath.Abs(dir)
	if err == nil {
		whole, err = filepath.EvalSymlinks(whole) // git, too, looks upwards from where a folder really is
	}
	if err != nil {
		return nil, fmt.Errorf("look above the source: %w", err)
	}
	top, found := repositoryOf(whole)
	if !found {
		return nil, nil
	}
	inside, err := filepath.Rel(top, whole)
	if err != nil || inside == "." {
		return nil, err
	}
	var chain ignores
	parts := strings.Split(filepath.ToSlash(inside), "/")
	for i := range parts {
		if chain, err = readAbove(filepath.Join(top, path.Join(parts[:i]...)), path.Join(parts[i:]...), chain); err != nil {
			return nil, err
		}
		chain.admit(path.Clean(strings.Repeat("../", len(parts)-1-i)))
	}
	return chain, nil
}

// repositoryOf is the nearest folder that holds a .git: a folder, or in a submodule or a second working tree a file.
func repositoryOf(dir string) (string, bool) {
	for range maxAbove {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir, true
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", false
}

// readAbove adds the ignore files of one folder, below which the source lies at below.
func readAbove(folder, below string, outer ignores) (ignores, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("look above the source: %w", err)
	}
	defer root.Close()
	chain, err := readIgnores(root, ".", outer)
	for i := len(outer); i < len(chain); i++ {
		chain[i].below = below
		chain[i].name = strings.Repeat("../", strings.Count(below, "/")+1) + chain[i].name
	}
	return chain, err
}

// readIgnores adds the ignore files of the folder dir in root.
func readIgnores(root *os.Root, dir string, outer ignores) (ignores, error) {
	chain := slices.Clone(outer)
	for _, name := range []string{".gitignore", ".m3oignore"} {
		content, err := readRegular(root, path.Join(dir, name), 1<<20)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		file := parseIgnore(dir, content)
		file.name = path.Join(dir, name)
		chain = append(chain, file)
	}
	return chain, nil
}
