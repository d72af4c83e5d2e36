package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// manifestFile is the file in a source that says how it wants to run. Flags win over it.
const manifestFile = "m3o.yaml"

// maxManifest bounds it.
const maxManifest = 64 << 10

// manifest is how a source wants to run: the name of its service, and what it says of the settings. What it does not say stays as it is.
type manifest struct {
	Name string
	client.ReleaseRequest

	unnamed bool // the name is only that of the source's folder
}

// says notes that the file says a setting.
func (m *manifest) says(setting string) { m.File.Settings = append(m.File.Settings, setting) }

// manifestField is what the file may say under one name. Its reader notes what it says, unless that is the name of a setting.
type manifestField struct {
	name  string
	group bool
	read  func(m *manifest, n ast.Node) error
}

var manifestFields = []manifestField{
	{"name", true, func(m *manifest, n ast.Node) error { return readWord(n, &m.Name) }},
	{"package", false, func(m *manifest, n ast.Node) error { return readWord(n, &m.Package) }},
	{"access", false, func(m *manifest, n ast.Node) error { return readWord(n, &m.Access) }},
	{"preflight", false, func(m *manifest, n ast.Node) error { return readWord(n, &m.Preflight) }},
	{"port", false, func(m *manifest, n ast.Node) error { return readNumber(n, &m.Port) }},
	{"protocol", false, func(m *manifest, n ast.Node) error { return readWord(n, &m.Protocol) }},
	{"replicas", false, func(m *manifest, n ast.Node) error { return readNumber(n, &m.Replicas) }},
	{"health", false, func(m *manifest, n ast.Node) error { return readWord(n, &m.Health) }},
	{"start", false, func(m *manifest, n ast.Node) error { return readSpan(n, &m.Start) }},
	{"timeout", false, func(m *manifest, n ast.Node) error { return readSpan(n, &m.Timeout) }},
	{"max_body", false, func(m *manifest, n ast.Node) error { return readSize(n, &m.MaxBody) }},
	{"env", true, (*manifest).readEnv},
	{"args", false, func(m *manifest, n ast.Node) error { return readList(n, &m.Args) }},
	{"include", false, func(m *manifest, n ast.Node) error { return readList(n, &m.Include) }},
	{"exclude", false, func(m *manifest, n ast.Node) error { return readList(n, &m.Exclude) }},
	{"build", true, (*manifest).readBuild},
}

var buildFields = []manifestField{
	{"tags", false, func(m *manifest, n ast.Node) error { return readList(n, &m.Build.Tags) }},
	{"ldflags", true, (*manifest).readLinkFlags},
}

// readFields reads a mapping of such fields. Within is "" or "build".
func (m *manifest) readFields(n ast.Node, known []manifestField, within string) error {
	return eachEntry(n, func(name string, value ast.Node) error {
		names := make([]string, len(known))
		for i, f := range known {
			if names[i] = f.name; f.name != name {
				continue
			}
			full := strings.TrimPrefix(within+"."+name, ".")
			if err := f.read(m, value); err != nil {
				return under(full, value, err)
			}
			if !f.group {
				m.says(full)
			}
			return nil
		}
		return fault.New(fault.Invalid, "line %d: unknown field %.80q%s; known are %s", lineOf(value), name, fault.DidYouMean(name, names), strings.Join(names, ", "))
	})
}

func (m *manifest) readEnv(n ast.Node) error {
	return eachEntry(n, func(name string, value ast.Node) error {
		text, err := literal(value)
		if err != nil {
			return under(name, value, err)
		}
		m.setEnv(name, text)
		m.says("env." + name)
		return nil
	})
}

func (m *manifest) setEnv(name, value string) {
	if m.Env == nil {
		m.Env = map[string]string{}
	}
	m.Env[name] = value
}

func (m *manifest) readBuild(n ast.Node) error { return m.readFields(n, buildFields, "build") }

func (m *manifest) readLinkFlags(n ast.Node) error {
	text, err := literal(n)
	if err != nil {
		return err
	}
	variables, err := linkVariables(text)
	if err != nil {
		return err
	}
	for _, v := range variables {
		m.setVariable(v.name, v.value)
		m.says("build.set." + v.name)
	}
	return nil
}

func (m *manifest) setVariable(name, value string) {
	if m.Build.Set == nil {
		m.Build.Set = map[string]string{}
	}
	m.Build.Set[name] = value
}

// readManifest reads the manifest of a source; one without says nothing.
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
		return manifest{ReleaseRequest: client.ReleaseRequest{File: &release.InFile{}}}, nil
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

// parseManifest reads a manifest.
func parseManifest(data []byte) (manifest, error) {
	m := manifest{ReleaseRequest: client.ReleaseRequest{File: &release.InFile{}}}
	body, err := parseYAML(data)
	if err == nil && body != nil {
		err = m.readFields(body, manifestFields, "")
	}
	return m, err
}

// check finds what is wrong before anything is packed or sent. The digest stands for a source that is not packed yet.
func (m *manifest) check(project, image string) error {
	if !region.IsLabel(m.Name) {
		return misuse("--name: %q %s", m.Name, region.LabelRule)
	}
	origin := release.Origin{Package: m.Package, Image: image,
		Build: release.Build{Tags: m.Build.Tags, Set: m.Build.Set, Include: m.Include, Exclude: m.Exclude}}
	if image == "" {
		origin.Source = "sha256:" + strings.Repeat("0", 64)
	}
	request := release.Request{Service: release.Key{Project: project, Name: m.Name}, Origin: origin, File: m.File, Reset: m.Reset,
		Spec: release.Spec{Access: m.Access, Preflight: m.Preflight, Port: m.Port, Protocol: m.Protocol, Replicas: m.Replicas, Health: m.Health,
			Start: m.Start, Timeout: m.Timeout, MaxBody: m.MaxBody, Env: m.Env, Args: m.Args}}
	return oneProblemALine(request.Validate())
}

func oneProblemALine(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Problems) == 0 {
		return err
	}
	lines := make([]string, len(f.Problems))
	for i, p := range f.Problems {
		lines[i] = p.Field + ": " + p.Message
	}
	said := fault.New(fault.Invalid, "%s", strings.Join(lines, "\n"))
	said.Problems = f.Problems
	return said
}
