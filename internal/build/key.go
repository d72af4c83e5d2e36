package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path"

	"github.com/m3o/platform/internal/image"
)

// buildFlags are what decides over the program beside its source. No paths, times or build ids get into it.
var buildFlags = []string{"-trimpath", "-buildvcs=false", "-buildmode=exe", "-ldflags=-s -w -buildid="}

// recipe changes when this package makes other images of the same inputs in a way that nothing else in the key tells.
const recipe = "1"

// Key names a build: equal keys mean equal images. It is hexadecimal and fits into a tag.
func Key(sourceDigest, pkg, goVersion, arch string) string {
	b, err := json.Marshal([]any{recipe, sourceDigest, path.Clean(pkg), goVersion, arch, image.Base, buildFlags})
	if err != nil {
		panic(err) // strings always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
