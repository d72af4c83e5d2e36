package release

import "go/version"

// Builder is what compiles sources for one architecture.
type Builder struct {
	Arch string `json:"arch"` // by Go's name
	Go   string `json:"go"`   // version of its toolchain, "go1.26.8"
}

// BuilderArchs are the architectures that there may be builders for.
var BuilderArchs = []string{"amd64", "arm64"}

// BlobName is the blob in which the builder that started last for the architecture says what it is, as JSON.
func (b Builder) BlobName() string { return "builders/" + b.Arch + ".json" }

// NewestGo is the newest of the builders' toolchains; empty if there is none.
func NewestGo(builders []Builder) string {
	newest := ""
	for _, b := range builders {
		if version.Compare(b.Go, newest) > 0 {
			newest = b.Go
		}
	}
	return newest
}
