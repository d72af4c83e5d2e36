package source

import (
	"go/build"
	"io/fs"
	"path"
	"strings"
)

// checkEmbeds holds what a package embeds against what is sent.
func (c *importCheck) checkEmbeds(dir string, found *build.Package) error {
	for _, pattern := range found.EmbedPatterns {
		by := inside(found.EmbedPatternPos[pattern][0].Filename)
		files, ok := embedded(c.disk, dir, pattern, &c.embeds)
		if !ok {
			continue // the compiler says what is wrong with the pattern
		}
		if len(files) == 0 {
			return c.listing.missing(by+" embeds "+pattern, path.Join(dir, strings.TrimPrefix(pattern, "all:")))
		}
		var unsent []string
		for _, name := range files {
			if !c.isFile(name) {
				unsent = append(unsent, name)
			}
		}
		if len(unsent) == len(files) {
			return c.listing.missing(by+" embeds "+pattern, unsent[0])
		}
		for _, name := range unsent {
			if left, ok := c.listing.why(name); ok {
				c.note("%s, which %s embeds here; %s", left, by, left.remedy())
				break
			}
		}
	}
	return nil
}

// How much the patterns of one program are followed: a file costs one, and a pattern what it may have to read.
const (
	maxEmbedded = 200_000
	patternCost = 100
)

// embedded are the files that a pattern of go:embed takes in the package's folder, as the go command finds them. It is not ok for a
// pattern that is none, or takes more than is left.
func embedded(tree fs.FS, dir, pattern string, left *int) ([]string, bool) {
	glob, all := strings.CutPrefix(pattern, "all:")
	below, err := fs.Sub(tree, dir)
	if *left -= patternCost; *left < 0 || err != nil || !fs.ValidPath(glob) {
		return nil, false
	}
	matches, err := fs.Glob(below, glob)
	if err != nil {
		return nil, false
	}
	var files []string
	for _, match := range matches {
		err := fs.WalkDir(below, match, func(name string, d fs.DirEntry, err error) error {
			if *left--; err != nil || *left < 0 {
				return fs.SkipAll
			}
			base := path.Base(name)
			hidden := name != match && (notEmbedded[base] || !all && (base[0] == '.' || base[0] == '_'))
			switch {
			case hidden && d.IsDir():
				return fs.SkipDir
			case !hidden && !d.IsDir():
				files = append(files, path.Join(dir, name))
			case d.IsDir() && name != ".":
				if _, err := fs.Stat(below, path.Join(name, "go.mod")); err == nil {
					return fs.SkipDir
				}
			}
			return nil
		})
		if err != nil {
			return nil, false
		}
	}
	return files, *left >= 0
}

// notEmbedded are names that the go command never embeds.
var notEmbedded = map[string]bool{".bzr": true, ".hg": true, ".git": true, ".svn": true}

// listedOnce is a tree whose folders are read once each: every pattern looks at them.
type listedOnce struct {
	fs.FS
	known map[string][]fs.DirEntry
}

func (l listedOnce) ReadDir(name string) ([]fs.DirEntry, error) {
	if entries, ok := l.known[name]; ok {
		return entries, nil
	}
	entries, err := fs.ReadDir(l.FS, name)
	if err == nil {
		l.known[name] = entries
	}
	return entries, err
}
