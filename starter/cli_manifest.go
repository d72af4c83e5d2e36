package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// manifestFile is the file in a source that says how it wants to run. Flags win over it.
const manifestFile = "m3o.yaml"

// maxManifest bounds it.
const maxManifest = 64 << 10

// manifest is how a source wants to run.
type manifest struct {
	Name     string            `yaml:"name"`
	Package  string            `yaml:"package"`
	Access   release.Access    `yaml:"access"`
	Port     int               `yaml:"port"`
	Replicas int               `yaml:"replicas"`
	Health   string            `yaml:"health"`
	Env      map[string]string `yaml:"env"`
	Args     []string          `yaml:"args"`

	unnamed bool // the name is only that of the source's folder
}

var manifestFields = []string{"name", "package", "access", "port", "replicas", "health", "env", "args"}

// readManifest reads the manifest of a source; a source without one wants nothing special.
func readManifest(dir string) (manifest, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return manifest{}, misuse("%s is a file: name the folder that holds the source", dir)
	}
	if err := checkManifestName(dir); err != nil {
		return manifest{}, err
	}
	path := filepath.Join(dir, manifestFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fault.New(fault.Invalid, "%s is not a file", path)
	}
	if err != nil {
		return manifest{}, err
	}
	data, err := readFile(path, nil, maxManifest)
	if err != nil {
		return manifest{}, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// parseManifest reads a manifest. The parser is not ours: should it panic, the file is at fault, not the process.
func parseManifest(data []byte) (m manifest, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Invalid, "it is not YAML: %s", head(fmt.Sprint(p)))
		}
	}()
	if nested(lexer.Tokenize(string(data))) {
		return m, fault.New(fault.Invalid, "it is nested too deeply")
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return m, fault.New(fault.Invalid, "it is not YAML: %s", head(err.Error()))
	}
	var found aliases
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			ast.Walk(&found, doc.Body)
		}
	}
	if found {
		return m, fault.New(fault.Invalid, "YAML anchors and aliases are not allowed in it")
	}
	err = yaml.NewDecoder(bytes.NewReader(data), yaml.DisallowUnknownField()).Decode(&m)
	if err == nil || errors.Is(err, io.EOF) {
		return m, nil
	}
	if _, rest, ok := strings.Cut(err.Error(), `unknown field "`); ok {
		name, _, _ := strings.Cut(rest, `"`)
		return m, fault.New(fault.Invalid, "unknown field %q%s; known are %s", name, region.DidYouMean(name, manifestFields), strings.Join(manifestFields, ", "))
	}
	return m, fault.New(fault.Invalid, "it does not fit: %s", head(err.Error()))
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

// override puts the flags that were given in place of what the manifest says.
func (m *manifest) override(cmd *cobra.Command, f *runFlags) error {
	given := cmd.Flags().Changed
	for _, o := range []struct {
		flag string
		set  func()
	}{
		{"name", func() { m.Name = f.name }}, {"package", func() { m.Package = f.pkg }}, {"port", func() { m.Port = f.port }},
		{"replicas", func() { m.Replicas = f.replicas }}, {"health", func() { m.Health = f.health }}, {"arg", func() { m.Args = f.args }},
	} {
		if given(o.flag) {
			o.set()
		}
	}
	if given("public") {
		if m.Access = release.ByKey; f.public {
			m.Access = release.Public
		}
	}
	for _, setting := range f.env {
		name, value, ok := strings.Cut(setting, "=")
		if !ok || name == "" {
			return misuse("--env: %q is not of the form NAME=VALUE", setting)
		}
		if m.Env == nil {
			m.Env = map[string]string{}
		}
		m.Env[name] = value
	}
	return nil
}

// request is what the API is asked for, once it is known what the image is made of.
func (m *manifest) request() client.ReleaseRequest {
	return client.ReleaseRequest{Package: m.Package, Access: m.Access, Port: m.Port, Replicas: m.Replicas, Health: m.Health, Env: m.Env, Args: m.Args}
}

// check finds what is wrong before anything is packed or sent. The digest stands for a source that is not packed yet.
func (m *manifest) check(project, image string) error {
	if !region.IsLabel(m.Name) {
		return misuse("--name: %q %s", m.Name, region.LabelRule)
	}
	origin := release.Origin{Package: m.Package, Image: image}
	if image == "" {
		origin.Source = "sha256:" + strings.Repeat("0", 64)
	}
	request := release.Request{Service: release.Key{Project: project, Name: m.Name}, Origin: origin,
		Spec: release.Spec{Access: m.Access, Port: m.Port, Replicas: m.Replicas, Health: m.Health, Env: m.Env, Args: m.Args}}
	return plainly(request.WithDefaults().Validate())
}

// plainly calls the fields of the API's request what manifests and flags call them: port, not spec.port.
func plainly(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Problems) == 0 {
		return err
	}
	lines := make([]string, len(f.Problems))
	for i, p := range f.Problems {
		lines[i] = p.Field[strings.LastIndex(p.Field, ".")+1:] + ": " + p.Message
	}
	return fault.New(fault.Invalid, "%s", strings.Join(lines, "\n"))
}
