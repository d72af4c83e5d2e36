package source

// Patterns choose files by lines in the form of .gitignore, below one folder.
type Patterns struct{ lines ignores }

// NewPatterns reads the lines. One that can match nothing is passed over, as git does.
func NewPatterns(lines []string) Patterns {
	file := ignoreFile{dir: "."}
	for _, line := range lines {
		if r, ok := parseRule(line); ok {
			file.rules = append(file.rules, r)
		}
	}
	return Patterns{ignores{file}}
}

// Match reports whether the lines name the path, or, with "!", take it out: the last one that matches decides. Known says whether any
// does; what is in a folder goes with the folder, which the caller asks about first.
func (p Patterns) Match(name string, isDir bool) (named, known bool) {
	file, line := p.lines.deciding(name, isDir)
	if file < 0 {
		return false, false
	}
	return !p.lines[file].rules[line].negated, true
}

// Size is a number of bytes as people read it.
func Size(n int64) string { return size(n) }

// Largest names the heaviest parts of files, given their sizes by path: "web/videos (290 MB), static (2 MB)".
func Largest(sizes map[string]int64) string {
	return heaviestParts(entriesOf(sizes), func(e entry) int64 { return e.size }, size)
}

// MostFiles names the parts that hold most of the files.
func MostFiles(sizes map[string]int64) string {
	return heaviestParts(entriesOf(sizes), func(entry) int64 { return 1 }, countFiles)
}

func entriesOf(sizes map[string]int64) []entry {
	entries := make([]entry, 0, len(sizes))
	for name, n := range sizes {
		entries = append(entries, entry{name: name, size: n})
	}
	return entries
}
