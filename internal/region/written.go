package region

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/m3o/platform/internal/fault"
)

// maxProblems bounds how many problems of a file are told at once; further ones are counted.
const maxProblems = 50

// maxWord bounds every value of a file; the longest is a domain's name.
const maxWord = 253

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
