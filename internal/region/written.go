package region

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/m3o/platform/internal/fault"
)

// maxProblems bounds how many problems of a file are told at once; further ones are counted.
const maxProblems = 50

// maxWord bounds every value of a file; the longest is a domain's name.
const maxWord = 253

// parseDocument reads the one YAML document of a platform file. A platform file is not deeply nested and needs no anchors,
// so what makes a small file large is refused before anything is made of it.
func parseDocument(data []byte) (*yaml.Node, error) {
	if len(data) > MaxFileBytes {
		return nil, fault.New(fault.Invalid, "the platform file has %d bytes; at most %d are read", len(data), MaxFileBytes)
	}
	if !utf8.Valid(data) || bytes.ContainsRune(data, 0) {
		return nil, fault.New(fault.Invalid, "the platform file is not text: it must be UTF-8 without NUL characters")
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, more yaml.Node
	switch err := decode(decoder, &document); {
	case errors.Is(err, io.EOF):
		return nil, fault.New(fault.Invalid, "the platform file is empty")
	case err != nil:
		return nil, notYAML(err)
	}
	switch err := decode(decoder, &more); {
	case err == nil:
		return nil, fault.New(fault.Invalid, "the platform file must hold one YAML document; a second one begins at line %d", more.Line)
	case !errors.Is(err, io.EOF):
		return nil, notYAML(err)
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

func notYAML(err error) error {
	hint := ""
	if strings.Contains(err.Error(), "cannot start any token") {
		hint = " (indent with spaces, not tabs)"
	}
	return fault.New(fault.Invalid, "the platform file is not YAML: %s%s", strings.TrimPrefix(err.Error(), "yaml: "), hint)
}

// reader turns a document into the file's structure, and keeps everything that does not fit, with its line.
type reader struct{ fault.Checker }

func (r *reader) err() error { return fault.Problems(atMost(r.Problems())) }

func atMost(problems []fault.Problem) []fault.Problem {
	if over := len(problems) - maxProblems; over > 0 {
		return append(problems[:maxProblems:maxProblems], fault.Problem{Field: "platforms", Message: fmt.Sprintf("%d more problems", over)})
	}
	return problems
}

func (r *reader) wrong(n *yaml.Node, at, format string, args ...any) {
	r.Check(false, at, format+" (line %d)", append(args, n.Line)...)
}

// readers are the fields of one mapping and how each is read.
type readers map[string]func(n *yaml.Node, at string)

func (r *reader) platforms(root *yaml.Node, f *file) {
	r.mapping(root, "", readers{"platforms": func(n *yaml.Node, at string) { f.Platforms = list(r, n, at, r.platform) }})
}

func (r *reader) platform(n *yaml.Node, at string) (p platform) {
	r.mapping(n, at, readers{"name": r.text(&p.Name), "domain": r.text(&p.Domain), "gslb": r.text(&p.GSLB), "kv": r.text(&p.KV),
		"regions": func(n *yaml.Node, at string) { p.Regions = list(r, n, at, r.entry) }})
	return p
}

func (r *reader) entry(n *yaml.Node, at string) (e entry) {
	r.mapping(n, at, readers{"name": r.text(&e.Name), "provider": r.text(&e.Provider), "region": r.text(&e.Region),
		"control": r.parts(&e.Control), "resource": r.parts(&e.Resource), "network": r.parts(&e.Network), "unenforced": r.text(&e.Unenforced),
		"cidr": written(&e.Net.cidr, r.text), "nat": written(&e.Net.nat, r.text), "access_cidrs": written(&e.Net.access, r.texts),
		"kubernetes": func(n *yaml.Node, at string) { r.kubernetes(n, at, &e.Kubernetes) }})
	return e
}

func (r *reader) kubernetes(n *yaml.Node, at string, k *writtenKubernetes) {
	r.mapping(n, at, readers{"version": written(&k.version, r.text), "nodes": func(n *yaml.Node, at string) {
		r.mapping(n, at, readers{"count": written(&k.count, r.number), "size": written(&k.size, r.text)})
	}})
}

// written reads a value that means something other than left out, whatever it is.
func written[T any](into **T, read func(*T) func(*yaml.Node, string)) func(*yaml.Node, string) {
	return func(n *yaml.Node, at string) {
		*into = new(T)
		read(*into)(n, at)
	}
}

// mapping reads the fields of a mapping, each once.
func (r *reader) mapping(n *yaml.Node, at string, fields readers) {
	if !r.is(n, at, yaml.MappingNode) {
		return
	}
	if at != "" {
		at += "."
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, known := fields[key.Value]
		switch first, twice := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Tag == "!!merge":
			r.wrong(key, at+"?", "a field's name must be a plain word; anchors, aliases and merges are not allowed")
		case !known:
			r.wrong(key, at+brief(key.Value), "unknown field%s", fault.DidYouMean(brief(key.Value), names(fields)))
		case twice:
			r.wrong(key, at+key.Value, "is given twice, first at line %d", first)
		default:
			lines[key.Value] = key.Line
			read(value, at+key.Value)
		}
	}
}

// list reads the items of a sequence.
func list[T any](r *reader, n *yaml.Node, at string, read func(n *yaml.Node, at string) T) []T {
	if !r.is(n, at, yaml.SequenceNode) {
		return nil
	}
	items := make([]T, 0, len(n.Content))
	for i, item := range n.Content {
		items = append(items, read(item, fmt.Sprintf("%s[%d]", at, i)))
	}
	return items
}

func (r *reader) parts(into *[]Part) func(*yaml.Node, string) {
	return func(n *yaml.Node, at string) {
		*into = list(r, n, at, func(n *yaml.Node, at string) (p Part) {
			r.text((*string)(&p))(n, at)
			return p
		})
	}
}

func (r *reader) texts(into *[]string) func(*yaml.Node, string) {
	return func(n *yaml.Node, at string) {
		*into = list(r, n, at, func(n *yaml.Node, at string) (s string) {
			r.text(&s)(n, at)
			return s
		})
	}
}

// text reads a word as it is written: 1.30 stays 1.30.
func (r *reader) text(into *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, at string) {
		switch {
		case !r.is(n, at, yaml.ScalarNode):
		case len(n.Value) > maxWord:
			r.wrong(n, at, "%q has %d characters; at most %d are allowed", brief(n.Value), len(n.Value), maxWord)
		default:
			*into = n.Value
		}
	}
}

func (r *reader) number(into *int) func(*yaml.Node, string) {
	return func(n *yaml.Node, at string) {
		if !r.is(n, at, yaml.ScalarNode) {
			return
		}
		value, err := strconv.Atoi(n.Value)
		if err != nil {
			r.wrong(n, at, "%q is not a whole number", brief(n.Value))
		}
		*into = value
	}
}

// kinds are what YAML's kinds of node are called in messages.
var kinds = map[yaml.Kind]string{yaml.MappingNode: "a mapping of fields", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}

// is reports whether the node is of the kind that belongs here.
func (r *reader) is(n *yaml.Node, at string, want yaml.Kind) bool {
	if at == "" {
		at = "platforms"
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.wrong(n, at, "YAML anchors and aliases are not allowed in a platform file")
	case n.Tag == "!!null":
		r.wrong(n, at, "is empty; it must be %s", kinds[want])
	case n.Kind != want:
		r.wrong(n, at, "must be %s, not %s", kinds[want], kinds[n.Kind])
	default:
		return true
	}
	return false
}

func names(fields readers) []string {
	out := make([]string, 0, len(fields))
	for name := range fields {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// brief cuts what a message quotes.
func brief(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:60], "") + "…"
}
