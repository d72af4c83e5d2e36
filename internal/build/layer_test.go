package build

import (
	"archive/tar"
	"io"

	"github.com/google/go-containerregistry/pkg/v1"
)

// fileIn reads one file of a layer.
func fileIn(layer v1.Layer, file string) []byte {
	r, err := layer.Uncompressed()
	must(err)
	defer r.Close()
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		must(err)
		if header.Name == file {
			content, err := io.ReadAll(archive)
			must(err)
			return content
		}
	}
}
