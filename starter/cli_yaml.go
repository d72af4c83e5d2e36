package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// YAML makes numbers, dates and booleans of what looks like them: 01234 becomes 668, and 1.10 becomes 1.1. All that a manifest says is
// read from its tree as it is written instead.

// parseYAML returns the one document of a file, nil when it says nothing. The parser is not ours: should it panic, the file is at fault,
// not the process.
func parseYAML(data []byte) (body ast.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Invalid, "it is not YAML: %s", head(fmt.Sprint(p)))
		}
	}()
	data = bytes.ReplaceAll(bytes.TrimPrefix(data, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
	if !utf8.Valid(data) {
		return nil, fault.New(fault.Invalid, "it is not a text in UTF-8: save it as such")
	}
	if nested(lexer.Tokenize(string(data))) {
		return nil, fault.New(fault.Invalid, "it is nested too deeply")
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fault.New(fault.Invalid, "it is not YAML: %s", head(err.Error()))
	}
	var found aliases
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		if ast.Walk(&found, doc.Body); found {
			return nil, fault.New(fault.Invalid, "YAML anchors and aliases are not allowed in it")
		}
		if body != nil {
			return nil, fault.New(fault.Invalid, "line %d: it holds more than one document: only one is read", lineOf(doc.Body))
		}
		body = doc.Body
	}
	return body, nil
}

// A manifest is three levels deep at most; parsers work the harder the deeper a file is.
const (
	maxLevels = 16
	maxIndent = 64
)

// nested reports whether words open more levels than any manifest has: with brackets, or several on one line.
func nested(words token.Tokens) bool {
	brackets, line, opened := 0, 0, 0
	for _, w := range words {
		if w.Position.Line != line {
			line, opened = w.Position.Line, 0
		}
		switch w.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType:
			opened++
		}
		if brackets+opened > maxLevels || w.Position.IndentNum > maxIndent {
			return true
		}
	}
	return false
}

// aliases finds what makes a small file large.
type aliases bool

func (a *aliases) Visit(n ast.Node) ast.Visitor {
	*a = *a || aliases(slices.Contains([]ast.NodeType{ast.AliasType, ast.AnchorType, ast.MergeKeyType}, n.Type()))
	return a
}

func head(text string) string {
	lines := strings.SplitN(text, "\n", 5)
	return strings.Join(lines[:min(4, len(lines))], "\n")
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// under says where in the file an error is, unless it says so itself.
func under(name string, n ast.Node, err error) error {
	if fault.Is(err, fault.Invalid) {
		return err
	}
	return fault.New(fault.Invalid, "line %d: %s: %s", lineOf(n), name, err)
}

// quoted is what to do about a text that YAML takes for something else.
const quoted = "put it in quotes"

// literal is a text as it is written: what stands in quotes, in a block, or without either; nothing is the empty text.
func literal(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		if n.Token.Type == token.ImplicitNullType {
			return "", nil
		}
		return n.Token.Value, nil
	case *ast.TagNode:
		return "", fmt.Errorf("tags such as %.40s are not taken: %s", n.Start.Value, quoted)
	}
	return "", fmt.Errorf("it is not a text: %s", quoted)
}

// eachEntry calls do for the entries of a mapping. One without a value has none.
func eachEntry(n ast.Node, do func(name string, value ast.Node) error) error {
	var entries []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return nil
	default:
		return fault.New(fault.Invalid, "line %d: a list of NAME: VALUE is wanted here", lineOf(n))
	}
	seen := map[string]int{}
	for _, e := range entries {
		name, err := literal(e.Key)
		if err != nil {
			return under("a name", e.Key, err)
		}
		if line, again := seen[name]; again {
			return fault.New(fault.Invalid, "line %d: %.80q is there already, in line %d", lineOf(e.Key), name, line)
		}
		seen[name] = lineOf(e.Key)
		if err := do(name, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// readWord reads a text that cannot be empty.
func readWord[T ~string](n ast.Node, to *T) error {
	text, err := literal(n)
	if err == nil && text == "" {
		err = fmt.Errorf("it has no value: give it one, or leave it out")
	}
	*to = T(text)
	return err
}

func readNumber(n ast.Node, to *int) error {
	text, err := literal(n)
	if err != nil {
		return err
	}
	if *to, err = strconv.Atoi(text); err != nil || *to < 1 {
		return fmt.Errorf("%.40q is not a whole number above 0", text)
	}
	return nil
}

func readSpan(n ast.Node, to *release.Duration) error {
	text, err := literal(n)
	if err != nil {
		return err
	}
	return parseSpan(text, to)
}

// parseSpan reads a span of time that is not nothing: without a value a setting is not named.
func parseSpan(text string, to *release.Duration) error {
	if err := to.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if *to <= 0 {
		return fmt.Errorf("%.40q is not above 0", text)
	}
	return nil
}

func readSize(n ast.Node, to *int64) error {
	text, err := literal(n)
	if err != nil {
		return err
	}
	return parseSize(text, to)
}

func parseSize(text string, to *int64) error {
	var err error
	if *to, err = release.ParseSize(text); err == nil && *to == 0 {
		err = fmt.Errorf("%.40q is not above 0", text)
	}
	return err
}

// readList reads a list of texts; one without a value is empty.
func readList(n ast.Node, to *[]string) error {
	if n.Type() == ast.NullType {
		return nil
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return fmt.Errorf("it is not a list, such as [a, b]")
	}
	for _, v := range list.Values {
		text, err := literal(v)
		if err != nil {
			return err
		}
		*to = append(*to, text)
	}
	return nil
}
