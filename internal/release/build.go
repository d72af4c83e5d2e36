package release

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/m3o/platform/internal/fault"
)

// Limits of what is said about a build: for each of its lists, and for each entry. All of a list becomes one argument of the go command, and
// is part of what the service's owner remembers.
const (
	MaxBuildEntries    = 100
	MaxBuildEntryBytes = 4 << 10
	MaxBuildBytes      = 32 << 10
)

var (
	buildTag = regexp.MustCompile(`^[\p{L}\p{Nd}_.]+$`)
	// An import path, a dot and a variable, as the linker's -X takes them.
	buildVariable = regexp.MustCompile(`^[A-Za-z0-9_~][-_.~/+A-Za-z0-9]*\.[\p{L}_][\p{L}\p{Nd}_]*$`)
)

func (b Build) check(c *fault.Checker) {
	checkEntries(c, "build.tags", b.Tags)
	for _, tag := range b.Tags {
		c.Check(buildTag.MatchString(tag), "build.tags", "%.80q is not a build tag: tags have letters, digits, underscores and dots", tag)
	}
	c.Check(len(b.Set) <= MaxBuildEntries, "build.set", "%d variables are more than %d", len(b.Set), MaxBuildEntries)
	size := 0
	for _, name := range slices.Sorted(maps.Keys(b.Set)) { // in one order: validators run in workflows
		value, field := b.Set[name], "build.set."+name[:min(len(name), 80)]
		size += len(name) + len(value)
		c.Check(buildVariable.MatchString(name), "build.set", "%.80q is not a variable such as main.version or example.com/shop/about.Version", name)
		c.Check(len(value) <= MaxBuildEntryBytes, field, "%d bytes are more than %d", len(value), MaxBuildEntryBytes)
		c.Check(!strings.ContainsFunc(value, unicode.IsControl), field, "a value cannot hold control characters or line breaks")
		c.Check(!strings.Contains(value, "'") || !strings.Contains(value, `"`), field, "a value cannot hold both ' and \": -ldflags has no way to write it")
	}
	c.Check(size <= MaxBuildBytes, "build.set", "%d bytes are more than %d", size, MaxBuildBytes)
	checkEntries(c, "include", b.Include)
	checkEntries(c, "exclude", b.Exclude)
}

func checkEntries(c *fault.Checker, field string, entries []string) {
	c.Check(len(entries) <= MaxBuildEntries, field, "%d entries are more than %d", len(entries), MaxBuildEntries)
	size := 0
	for _, e := range entries {
		size += len(e)
		c.Check(e != "" && len(e) <= MaxBuildEntryBytes && !strings.ContainsFunc(e, unicode.IsControl), field,
			"%.80q is empty, longer than %d bytes, or holds control characters or line breaks", e, MaxBuildEntryBytes)
	}
	c.Check(size <= MaxBuildBytes, field, "%d bytes are more than %d", size, MaxBuildBytes)
}
