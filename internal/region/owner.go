package region

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// What is made for a region says so, in one of three ways, by what the cloud has: tags of key and value, bare words
// (DigitalOcean's tags), or a description (networks, routers and service accounts of GCP take no labels). Platforms and
// names are DNS labels of 40 characters at most, which fit every grammar.

// Tags mark what is made for a region. Keys and values are lower-case letters, digits and hyphens, at most 63: each adapter
// writes them as its cloud wants them.
type Tags map[string]string

// The tags' keys.
const (
	tagManager  = "managed-by"
	tagPlatform = "m3o-platform"
	tagRegion   = "m3o-region"
	manager     = "m3o"
)

// Tags mark what is made for the region.
func (k Key) Tags() Tags {
	return Tags{tagManager: manager, tagPlatform: k.Platform, tagRegion: k.Name}
}

// Owner is the region that tags mark something as made for.
func (t Tags) Owner() (Key, bool) {
	k := Key{Platform: t[tagPlatform], Name: t[tagRegion]}
	return k, t[tagManager] == manager && IsLabel(k.Platform) && IsLabel(k.Name)
}

const ownerPrefix = "m3o:"

// Owner is the mark in one word ("m3o:micro:lon1"), for tags that are bare words and for descriptions. Not every cloud takes
// it as a tag's value or a label.
func (k Key) Owner() string { return ownerPrefix + k.Platform + ":" + k.Name }

// ParseOwner is the region that a bare tag or a description marks something as made for. In a description other words may
// follow the mark.
func ParseOwner(text string) (Key, bool) {
	mark, _, _ := strings.Cut(text, " ")
	rest, marked := strings.CutPrefix(mark, ownerPrefix)
	platform, name, both := strings.Cut(rest, ":")
	return Key{Platform: platform, Name: name}, marked && both && IsLabel(platform) && IsLabel(name)
}

// IsOwner reports whether the text marks something as some region's.
func IsOwner(text string) bool {
	_, ok := ParseOwner(text)
	return ok
}

// ResourceName is the deterministic name of what is made for the region, so that a lost answer is found again. No two
// regions have the same: a platform with a hyphen adds a hash, since "a-b" and "c" would be named as "a" and "b-c" are.
func (k Key) ResourceName() string {
	name := "m3o-" + k.Platform + "-" + k.Name
	if strings.Contains(k.Platform, "-") {
		name += "-" + digest(k.String())
	}
	return name
}

// MinName is the shortest limit that CutName keeps to.
const MinName = 20

// CutName returns the name, or, where it has more characters than the cloud takes, its beginning and a hash of the whole: the
// same name is always cut alike, and names that differ only in what is cut away stay apart. A name of lower-case letters,
// digits and hyphens that begins with a letter and ends with none but a letter or digit stays one.
func CutName(limit int, name string) string {
	if len(name) <= max(limit, MinName) {
		return name
	}
	hash := digest(name)
	head := strings.TrimRight(name[:max(limit, MinName)-len(hash)-1], "-")
	return head + "-" + hash
}

// digest is 40 bits of a hash, as eight letters and digits.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
}
