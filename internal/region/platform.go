package region

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/m3o/platform/internal/fault"
)

// MaxFileBytes bounds a platform file, aliases included: a file that expands to more is refused.
const MaxFileBytes = 1 << 20

// file is the platform file as it is written; Spec is what it means.
type file struct {
	Platforms []platform `yaml:"platforms"`
}

type platform struct {
	Name    string  `yaml:"name"`
	Domain  string  `yaml:"domain"`
	GSLB    string  `yaml:"gslb"`
	KV      string  `yaml:"kv"`
	Regions []entry `yaml:"regions"`
}

type entry struct {
	Name       string     `yaml:"name"`
	Provider   string     `yaml:"provider"`
	Region     string     `yaml:"region"`
	Kubernetes kubernetes `yaml:"kubernetes"`
	Control    []Part     `yaml:"control"`
	Resource   []Part     `yaml:"resource"`
	Network    []Part     `yaml:"network"`
}

type kubernetes struct {
	Version string `yaml:"version"`
	Nodes   struct {
		Count int    `yaml:"count"`
		Size  string `yaml:"size"`
	} `yaml:"nodes"`
}

// ParsePlatform reads a platform file and returns the regions it asks for, defaults filled in. What is wrong comes back
// as one Invalid fault that names every field.
func ParsePlatform(data []byte) ([]Spec, error) {
	if len(data) > MaxFileBytes {
		return nil, fault.New(fault.Invalid, "the platform file has %d bytes; at most %d are read", len(data), MaxFileBytes)
	}
	var f file
	if err := decode(data, &f); err != nil {
		return nil, err
	}
	specs, problems := f.specs()
	if err := fault.Problems(problems); err != nil {
		return nil, err
	}
	return specs, nil
}

// decode refuses unknown fields, more than one document, and aliases: a platform file needs none, and they are what
// makes a small file large.
func decode(data []byte, into any) error {
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return fault.New(fault.Invalid, "the platform file is not YAML: %s", firstLines(err.Error(), 4))
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return fault.New(fault.Invalid, "the platform file must hold one YAML document, not %d", countBodies(tree.Docs))
	}
	var aliases aliasFinder
	ast.Walk(&aliases, tree.Docs[0].Body)
	if aliases.found {
		return fault.New(fault.Invalid, "the platform file uses YAML anchors or aliases, which are not allowed in it")
	}
	err = yaml.NewDecoder(bytes.NewReader(data), yaml.DisallowUnknownField(), yaml.AllowDuplicateMapKey()).Decode(into)
	if err != nil && !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "%s", explain(err))
	}
	return nil
}

func countBodies(docs []*ast.DocumentNode) int {
	n := 0
	for _, d := range docs {
		if d.Body != nil {
			n++
		}
	}
	return n
}

type aliasFinder struct{ found bool }

func (a *aliasFinder) Visit(n ast.Node) ast.Visitor {
	switch n.Type() {
	case ast.AliasType, ast.AnchorType, ast.MergeKeyType:
		a.found = true
	}
	return a
}

// fields are the names a platform file may use; an unknown one is compared with them.
var fields = []string{"platforms", "name", "domain", "gslb", "kv", "regions", "provider", "region", "kubernetes", "version", "nodes",
	"count", "size", "control", "resource", "network"}

// explain turns the decoder's error into a sentence, with a suggestion for a mistyped field.
func explain(err error) string {
	text := err.Error()
	if _, rest, ok := strings.Cut(text, `unknown field "`); ok {
		name, _, _ := strings.Cut(rest, `"`)
		return fmt.Sprintf("unknown field %q%s: %s", name, suggestion(name, fields), firstLines(text, 4))
	}
	return "the platform file does not fit: " + firstLines(text, 4)
}

func firstLines(s string, n int) string {
	lines := strings.SplitN(s, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

func (f file) specs() ([]Spec, []fault.Problem) {
	var c checker
	var specs []Spec
	c.check(len(f.Platforms) > 0, "platforms", "at least one platform must be listed")
	names := map[string]bool{}
	for i, p := range f.Platforms {
		at := fmt.Sprintf("platforms[%d].", i)
		c.check(IsLabel(p.Name), at+"name", "%q %s", p.Name, LabelRule)
		c.check(!names[p.Name], at+"name", "%q names two platforms", p.Name)
		names[p.Name] = true
		c.check(domain.MatchString(p.Domain), at+"domain", "%q is not a domain name", p.Domain)
		c.check(p.GSLB == "", at+"gslb", "this version cannot run %q; leave it out", p.GSLB)
		c.check(p.KV == "", at+"kv", "this version cannot run %q; leave it out", p.KV)
		specs = append(specs, p.specs(&c, at)...)
	}
	return specs, c.problems
}

func (p platform) specs(c *checker, at string) []Spec {
	c.check(len(p.Regions) > 0, at+"regions", "at least one region must be listed")
	c.check(len(p.Regions) <= MaxRegions, at+"regions", "%d regions are more than %d", len(p.Regions), MaxRegions)
	var specs []Spec
	names := map[string]bool{}
	for i, e := range p.Regions {
		s := e.spec(p)
		here := fmt.Sprintf("%sregions[%d].", at, i)
		c.check(!names[s.Name], here+"name", "%q names two regions", s.Name)
		names[s.Name] = true
		c.problems = append(c.problems, s.Problems(here)...)
		specs = append(specs, s)
	}
	return specs
}

func (e entry) spec(p platform) Spec {
	s := Spec{Platform: p.Name, Domain: p.Domain, Name: e.Name, Provider: Provider(e.Provider), Location: e.Region,
		Control: e.Control, Resource: e.Resource, Network: e.Network,
		Kubernetes: Kubernetes{Version: e.Kubernetes.Version, Nodes: Nodes{Count: e.Kubernetes.Nodes.Count, Size: e.Kubernetes.Nodes.Size}}}
	if s.Provider == "do" {
		s.Provider = DigitalOcean
	}
	if s.Name == "" {
		s.Name = e.Provider + "-" + e.Region
	}
	return s
}
