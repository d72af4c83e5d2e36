// Package yamlfile reads the one YAML document of a file that a person wrote, with the lines that its problems are on. What the document
// means is its readers' part; it makes no values. It imports nothing of the project but fault.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/m3o/platform/internal/fault"
)

// Parse reads the document of the file that what names in its problems ("the platform file"), of most bytes at most. Such files need no
// anchors, so what makes a small file large is the reader's to refuse before anything is made of it.
func Parse(what string, data []byte, most int) (*yaml.Node, error) {
	if len(data) > most {
		return nil, fault.New(fault.Invalid, "%s has %d bytes; at most %d are read", what, len(data), most)
	}
	if !utf8.Valid(data) || bytes.ContainsRune(data, 0) {
		return nil, fault.New(fault.Invalid, "%s is not text: it must be UTF-8 without NUL characters", what)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, more yaml.Node
	switch err := decode(decoder, &document); {
	case errors.Is(err, io.EOF):
		return nil, fault.New(fault.Invalid, "%s is empty", what)
	case err != nil:
		return nil, notYAML(what, err)
	}
	switch err := decode(decoder, &more); {
	case err == nil:
		return nil, fault.New(fault.Invalid, "%s must hold one YAML document; a second one begins at line %d", what, more.Line)
	case !errors.Is(err, io.EOF):
		return nil, notYAML(what, err)
	}
	return document.Content[0], nil
}

// decode reads the next document. The parser is not ours: should it panic, the file is at fault, not the process.
func decode(d *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return d.Decode(into)
}

func notYAML(what string, err error) error {
	hint := ""
	if strings.Contains(err.Error(), "cannot start any token") {
		hint = " (indent with spaces, not tabs)"
	}
	return fault.New(fault.Invalid, "%s is not YAML: %s%s", what, strings.TrimPrefix(err.Error(), "yaml: "), hint)
}
