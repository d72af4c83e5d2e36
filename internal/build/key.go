package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/release"
)

// buildFlags are what decides over the program beside its source and what is said about the build. No paths, times or build ids get
// into it.
var buildFlags = []string{"-trimpath", "-buildvcs=false", "-buildmode=exe"}

const linkFlags = "-s -w -buildid="

// recipe changes when this package makes other images of the same inputs in a way that nothing else in the key tells.
const recipe = "2"

// Key names a build: equal keys mean equal images. It is hexadecimal and fits into a tag.
func Key(sourceDigest, pkg string, build release.Build, goVersion, arch string) string {
	build.Tags = tagsOf(build)
	b, err := json.Marshal([]any{recipe, sourceDigest, path.Clean(pkg), build, goVersion, arch, image.Base, buildFlags, linkFlags, leftOut})
	if err != nil {
		panic(err) // strings always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func tagsOf(build release.Build) []string {
	return slices.Compact(slices.Sorted(slices.Values(build.Tags)))
}

// goFlags are the flags of "go build" for what is said about a build, in one order.
func goFlags(build release.Build) []string {
	var link strings.Builder
	link.WriteString(linkFlags)
	for _, name := range slices.Sorted(maps.Keys(build.Set)) {
		link.WriteString(" -X " + quoted(name+"="+build.Set[name]))
	}
	flags := append(slices.Clone(buildFlags), "-ldflags="+link.String())
	if tags := tagsOf(build); len(tags) > 0 {
		flags = append(flags, "-tags="+strings.Join(tags, ","))
	}
	return flags
}

// quoted writes one field of -ldflags, which ends at its quote and knows no escapes: release.Build has no value with both quotes.
func quoted(field string) string {
	if strings.Contains(field, "'") {
		return `"` + field + `"`
	}
	return "'" + field + "'"
}
