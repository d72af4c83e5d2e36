package alert

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/yamlfile"
)

// MaxFileBytes bounds a policy file.
const MaxFileBytes = 1 << 20

// maxProblems bounds how many problems of a file are told at once; further ones are counted.
const maxProblems = 50

// maxWord bounds every value of a file; the longest is a webhook's URL.
const maxWord = 2048

// ParseRules reads a policy file: Rules as YAML, with the fields' names of their JSON. What is wrong comes back as one Invalid fault that
// names every field: first whether it is written as it must be, with the line, then whether it makes sense.
func ParseRules(data []byte) (Rules, error) {
	root, err := yamlfile.Parse("the policy file", data, MaxFileBytes)
	if err != nil {
		return Rules{}, err
	}
	var r Rules
	var f fileReader
	f.read(root, "", reflect.ValueOf(&r).Elem())
	if err := fault.Problems(atMost(f.Problems())); err != nil {
		return Rules{}, err
	}
	var wrong *fault.Error
	if err := r.Validate(); errors.As(err, &wrong) {
		return Rules{}, fault.Problems(atMost(wrong.Problems))
	}
	return r, nil
}

func atMost(problems []fault.Problem) []fault.Problem {
	if over := len(problems) - maxProblems; over > 0 {
		return append(problems[:maxProblems:maxProblems], fault.Problem{Field: "file", Message: fmt.Sprintf("%d more problems", over)})
	}
	return problems
}

// fileReader turns a document into rules, and keeps everything that does not fit, with its line. It follows the types of Rules, so that the
// file and the API have the same fields.
type fileReader struct{ fault.Checker }

func (f *fileReader) wrong(n *yaml.Node, at, format string, args ...any) {
	f.Check(false, at, format+" (line %d)", append(args, n.Line)...)
}

// read puts what a node says into a value.
func (f *fileReader) read(n *yaml.Node, at string, into reflect.Value) {
	if text, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if word, ok := f.word(n, at); ok {
			err := text.UnmarshalText([]byte(word))
			f.Check(err == nil, at, "%v (line %d)", err, n.Line)
		}
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		f.mapping(n, at, into)
	case reflect.Slice:
		f.list(n, at, into)
	case reflect.String:
		if word, ok := f.word(n, at); ok {
			into.SetString(word)
		}
	case reflect.Int:
		f.number(n, at, into)
	default:
		panic("alert: a policy file cannot hold a " + into.Type().String())
	}
}

func (f *fileReader) number(n *yaml.Node, at string, into reflect.Value) {
	word, ok := f.word(n, at)
	if !ok {
		return
	}
	value, err := strconv.Atoi(word)
	if err != nil {
		f.wrong(n, at, "%q is not a whole number", brief(word))
		return
	}
	into.SetInt(int64(value))
}

// mapping reads the fields of a mapping, each once.
func (f *fileReader) mapping(n *yaml.Node, at string, into reflect.Value) {
	if !f.is(n, at, yaml.MappingNode) {
		return
	}
	if at != "" {
		at += "."
	}
	fields := fieldsOf(into)
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field, known := fields[key.Value]
		switch first, twice := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Tag == "!!merge":
			f.wrong(key, at+"?", "a field's name must be a plain word; anchors, aliases and merges are not allowed")
		case !known:
			f.wrong(key, at+brief(key.Value), "unknown field%s", fault.DidYouMean(brief(key.Value), namesOf(fields)))
		case twice:
			f.wrong(key, at+key.Value, "is given twice, first at line %d", first)
		default:
			lines[key.Value] = key.Line
			f.read(value, at+key.Value, field)
		}
	}
}

// fieldsOf are a struct's fields by their names in JSON. The version of rules is the store's, not the file's.
func fieldsOf(of reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Type().Field(i).Tag.Get("json"), ",")
		if name != "version" {
			fields[name] = of.Field(i)
		}
	}
	return fields
}

func namesOf(fields map[string]reflect.Value) []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f *fileReader) list(n *yaml.Node, at string, into reflect.Value) {
	if !f.is(n, at, yaml.SequenceNode) {
		return
	}
	items := reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		f.read(item, fmt.Sprintf("%s[%d]", at, i), items.Index(i))
	}
	into.Set(items)
}

// word reads a single value as it is written.
func (f *fileReader) word(n *yaml.Node, at string) (string, bool) {
	if !f.is(n, at, yaml.ScalarNode) {
		return "", false
	}
	if len(n.Value) > maxWord {
		f.wrong(n, at, "%q has %d characters; at most %d are allowed", brief(n.Value), len(n.Value), maxWord)
		return "", false
	}
	return n.Value, true
}

// kinds are what YAML's kinds of node are called in messages.
var kinds = map[yaml.Kind]string{yaml.MappingNode: "a mapping of fields", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}

// is reports whether the node is of the kind that belongs here.
func (f *fileReader) is(n *yaml.Node, at string, want yaml.Kind) bool {
	if at == "" {
		at = "file"
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		f.wrong(n, at, "YAML anchors and aliases are not allowed in a policy file")
	case n.Tag == "!!null":
		f.wrong(n, at, "is empty; it must be %s", kinds[want])
	case n.Kind != want:
		f.wrong(n, at, "must be %s, not %s", kinds[want], kinds[n.Kind])
	default:
		return true
	}
	return false
}

// brief cuts what a message quotes.
func brief(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:60], "") + "…"
}
