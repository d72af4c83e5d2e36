package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const module = "github.com/m3o/platform/"

// pkg is one package of the project as it is written.
type pkg struct {
	path  string // from the module's root: "internal/region"
	files map[string]*ast.File
	set   *token.FileSet
}

// packages parses every package of this module, and of the Kubernetes module for its sizes and docs.
func packages(t *testing.T) []pkg {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]pkg{}
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		if entry.IsDir() {
			if base := entry.Name(); strings.HasPrefix(base, ".") && rel != "." || base == "testdata" || base == "node_modules" || rel == "bin" || rel == "deploy/examples" {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".go") {
			return add(found, rel, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list := make([]pkg, 0, len(found))
	for _, p := range found {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b pkg) int { return strings.Compare(a.path, b.path) })
	return list
}

func add(found map[string]pkg, rel, name string) error {
	dir := path.Dir(filepath.ToSlash(rel))
	p, known := found[dir]
	if !known {
		p = pkg{path: dir, files: map[string]*ast.File{}, set: token.NewFileSet()}
		found[dir] = p
	}
	file, err := parser.ParseFile(p.set, name, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	p.files[rel] = file
	return nil
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// layers says what each part of the house may import of the project. A part is the longest prefix that matches; a name
// that ends in /... allows what is below it too. Test files are free.
var layers = map[string][]string{
	"internal/fault":           {},
	"internal/answer":          {},
	"internal/queue":           {},
	"internal/attribute":       {},
	"internal/event":           {},
	"internal/account":         {"internal/fault"},
	"internal/span":            {},
	"internal/yamlfile":        {"internal/fault"},
	"internal/oncall":          {"internal/fault"},
	"internal/alert":           {"internal/span", "internal/yamlfile", "internal/fault", "internal/answer", "internal/event", "internal/oncall"},
	"internal/intake":          {"internal/fault", "internal/alert"},
	"internal/channel":         {"internal/fault", "internal/alert", "internal/rate", "internal/ticket", "internal/inside", "internal/channel/..."},
	"internal/relay":           {"internal/fault", "internal/alert", "internal/oncall", "internal/event", "internal/store", "internal/account", "internal/lease"},
	"internal/lease":           {"internal/fault", "internal/store"},
	"internal/config":          {},
	"internal/hosts":           {},
	"internal/machine":         {},
	"internal/workshop":        {"internal/machine"},
	"internal/lineage":         {},
	"internal/telemetry":       {"internal/lineage"},
	"internal/region":          {"internal/yamlfile", "internal/fault", "internal/answer"},
	"internal/release":         {"internal/span", "internal/fault", "internal/answer", "internal/region", "internal/account"},
	"internal/secret":          {"internal/fault"},
	"internal/ticket":          {"internal/fault", "internal/secret"},
	"internal/blob":            {"internal/fault"},
	"internal/source":          {"internal/fault", "internal/blob"},
	"internal/image":           {"internal/fault", "internal/inside"},
	"internal/inside":          {"internal/fault"},
	"internal/build":           {"internal/fault", "internal/inside", "internal/image", "internal/source", "internal/blob", "internal/release", "internal/region"},
	"internal/rate":            {"internal/fault"},
	"internal/cloud":           {"internal/fault", "internal/region", "internal/rate", "internal/cloud"},
	"internal/diagnosis":       {},
	"internal/cluster":         {"internal/fault", "internal/region", "internal/release", "internal/diagnosis"},
	"internal/gateway":         {"internal/fault", "internal/diagnosis", "internal/region", "internal/release", "internal/account", "internal/ticket", "internal/gateway/..."},
	"internal/store":           {"internal/fault", "internal/alert", "internal/oncall", "internal/region", "internal/release", "internal/account", "internal/event"},
	"internal/gatecall":        {"internal/fault", "internal/region"},
	"internal/status":          {"internal/alert", "internal/event", "internal/region"},
	"internal/checks":          {"internal/alert", "internal/control", "internal/event", "internal/lease", "internal/queue", "internal/region", "internal/store"},
	"internal/watch":           {"internal/fault", "internal/lease", "internal/gatecall", "internal/region", "internal/release", "internal/store", "internal/ticket"},
	"internal/control":         {"internal/fault", "internal/alert", "internal/region", "internal/release", "internal/account", "internal/queue", "internal/attribute", "internal/secret"},
	"internal/client":          {"internal/status", "internal/fault", "internal/alert", "internal/oncall", "internal/region", "internal/release", "internal/account", "internal/event"},
	"internal/client/apitest":  {"..."}, // tests alone use it
	"internal/sandbox":         {"internal/fault", "internal/hosts", "internal/sandbox/..."},
	"internal/dev":             {"internal/fault", "internal/hosts", "internal/account", "internal/config", "internal/control", "internal/image", "internal/sandbox", "internal/store", "internal/attribute", "internal/secret", "internal/ticket", "internal/machine", "internal/dev/..."},
	"internal/kube":            {"internal/kube/..."},
	"internal/archtest":        {},
	"internal/tools":           {},
	"activities":               {"internal/fault", "internal/alert", "internal/oncall", "internal/gatecall", "internal/region", "internal/release", "internal/account", "internal/cloud", "internal/cluster", "internal/lineage"},
	"workflows":                {"activities", "internal/fault", "internal/alert", "internal/region", "internal/release", "internal/account", "internal/queue", "internal/attribute", "internal/lineage"},
	"workers":                  {"activities", "workflows", "internal/alert", "internal/region", "internal/release", "internal/account", "internal/fault", "internal/queue"},
	"deploy/workers":           {},
	"api":                      {"internal/status", "internal/fault", "internal/alert", "internal/oncall", "internal/intake", "internal/channel/...", "internal/region", "internal/release", "internal/account", "internal/event", "internal/store", "internal/ticket", "internal/blob", "internal/source"},
	"starter":                  {"..."},
	"internal/cloud/cloudtest": {"internal/fault", "internal/region", "internal/cloud"},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t) {
		allowed, part := rule(p.path)
		if part == "" {
			t.Errorf("%s has no place in the house: add it to layers, or move it", p.path)
			continue
		}
		for file, f := range p.files {
			if isTest(file) {
				continue
			}
			for _, spec := range f.Imports {
				target, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
				if ours && !strings.HasPrefix(target+"/", part+"/") && !permits(allowed, target) {
					t.Errorf("%s imports %s: %s may import %v", file, target, part, allowed)
				}
			}
		}
	}
}

func rule(dir string) (allowed []string, part string) {
	for name, list := range layers {
		if strings.HasPrefix(dir+"/", name+"/") && len(name) > len(part) {
			allowed, part = list, name
		}
	}
	return allowed, part
}

func permits(allowed []string, target string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		below, all := strings.CutSuffix(a, "...")
		return a == target || all && strings.HasPrefix(target, below)
	})
}

// TestOnlyConfigReadsTheEnvironment: but for the Kubernetes module, which is a program of its own.
func TestOnlyConfigReadsTheEnvironment(t *testing.T) {
	for _, p := range packages(t) {
		if p.path == "internal/config" || strings.HasPrefix(p.path, "internal/kube") {
			continue
		}
		for file, f := range p.files {
			if isTest(file) {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.SelectorExpr); ok && isOS(call) {
					t.Errorf("%s reads the environment: that is internal/config's part", p.set.Position(n.Pos()))
				}
				return true
			})
		}
	}
}

func isOS(s *ast.SelectorExpr) bool {
	return of(s, "os", "Getenv", "LookupEnv", "Environ", "ExpandEnv")
}

// TestOnePlaceDialsTemporal: how it is reached, what is encrypted and what is traced is the same for whoever does. The embedded
// server asks itself whether it is ready.
func TestOnePlaceDialsTemporal(t *testing.T) {
	for _, p := range packages(t) {
		if p.path == "internal/control" || p.path == "internal/dev/engine" {
			continue
		}
		for file, f := range p.files {
			if isTest(file) || !imports(f, "go.temporal.io/sdk/client") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && of(s, "client", "Dial", "DialContext", "NewClient", "NewLazyClient") {
					t.Errorf("%s dials Temporal: that is internal/control's part", p.set.Position(n.Pos()))
				}
				return true
			})
		}
	}
}

func imports(f *ast.File, path string) bool {
	return slices.ContainsFunc(f.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"`+path+`"` })
}

// of reports whether the expression is one of a package's names.
func of(s *ast.SelectorExpr, pkg string, names ...string) bool {
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg && slices.Contains(names, s.Sel.Name)
}

// TestLogLinesCarryTheirTrace: a line that is logged without the context at hand belongs to no trace.
func TestLogLinesCarryTheirTrace(t *testing.T) {
	for _, p := range packages(t) {
		for file, f := range p.files {
			if isTest(file) || strings.HasPrefix(p.path, "internal/kube") {
				continue
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && hasContext(fn.Type) {
					ast.Inspect(fn.Body, func(n ast.Node) bool { contextless(t, p, n); return true })
				}
			}
		}
	}
}

// hasContext reports whether a function is given a context or a request, which has one.
func hasContext(fn *ast.FuncType) bool {
	return slices.ContainsFunc(fn.Params.List, func(field *ast.Field) bool {
		kind := field.Type
		if pointer, ok := kind.(*ast.StarExpr); ok {
			kind = pointer.X
		}
		s, ok := kind.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := s.X.(*ast.Ident)
		return ok && (x.Name+"."+s.Sel.Name == "context.Context" || x.Name+"."+s.Sel.Name == "http.Request")
	})
}

func contextless(t *testing.T, p pkg, n ast.Node) {
	s, ok := n.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, s.Sel.Name) {
		return
	}
	var name string
	switch x := s.X.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	if name == "slog" || strings.EqualFold(name, "logger") {
		t.Errorf("%s logs without the context at hand: use %sContext", p.set.Position(n.Pos()), s.Sel.Name)
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		documented, onlyTests := false, true
		for file, f := range p.files {
			onlyTests = onlyTests && isTest(file)
			documented = documented || f.Doc != nil && len(f.Doc.Text()) > 40
		}
		if !documented && !onlyTests {
			t.Errorf("%s has no package comment that says what it is and what it is not", p.path)
		}
	}
}

// The sizes that make code pleasant to read, and what is never allowed.
const (
	longest    = 80
	usual      = 60 // 95 of 100 functions are shorter
	wideInface = 5
)

func TestSizes(t *testing.T) {
	var lengths []int
	for _, p := range packages(t) {
		for file, f := range p.files {
			if isTest(file) {
				continue
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					n := p.set.Position(fn.End()).Line - p.set.Position(fn.Pos()).Line + 1
					lengths = append(lengths, n)
					if n > longest {
						t.Errorf("%s: %s has %d lines; the limit is %d", p.set.Position(fn.Pos()), fn.Name.Name, n, longest)
					}
				}
			}
			ast.Inspect(f, func(n ast.Node) bool { wide(t, p, n); return true })
		}
	}
	slices.Sort(lengths)
	if p95 := lengths[len(lengths)*95/100]; p95 > usual {
		t.Errorf("95 of 100 functions should have at most %d lines; they have %d", usual, p95)
	}
}

func wide(t *testing.T, p pkg, n ast.Node) {
	spec, ok := n.(*ast.TypeSpec)
	if !ok {
		return
	}
	if i, ok := spec.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > wideInface {
		t.Errorf("%s: interface %s has %d methods; the limit is %d", p.set.Position(n.Pos()), spec.Name.Name, i.Methods.NumFields(), wideInface)
	}
}

func TestNamesThatSayNothing(t *testing.T) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "types", "models", "base", "misc", "shared"}
	for _, p := range packages(t) {
		if slices.Contains(empty, path.Base(p.path)) {
			t.Errorf("package %s: its name says nothing", p.path)
		}
	}
}

func TestTopLevelIsFixed(t *testing.T) {
	fixed := []string{"workflows", "activities", "workers", "starter", "api", "internal", "deploy"}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && !slices.Contains(fixed, e.Name()) {
			t.Errorf("folder %s: the top level is %v", e.Name(), fixed)
		}
	}
}

// apart is what Kubernetes wants in another version than Temporal, or than our client of etcd.
var apart = []string{"github.com/prometheus/client_golang", "github.com/prometheus/common", "github.com/prometheus/procfs", "go.etcd.io/etcd/api/v3",
	"go.etcd.io/etcd/client/pkg/v3", "go.etcd.io/etcd/client/v3", "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"}

// What both modules link in the same version is compiled once and updated once: client-go alone takes minutes.
func TestBothModulesLinkTheSame(t *testing.T) {
	ours, shared := requirements(t, "../../go.mod"), 0
	for name, version := range requirements(t, "../kube/go.mod") {
		other, both := ours[name]
		if !both {
			continue
		}
		shared++
		if (other != version) != slices.Contains(apart, name) {
			t.Errorf("%s is %s in go.mod and %s in internal/kube/go.mod; apart are %v", name, other, version, apart)
		}
	}
	if shared == 0 {
		t.Error("the modules have nothing in common")
	}
}

func requirements(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := modfile.Parse(file, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range parsed.Require {
		versions[r.Mod.Path] = r.Mod.Version
	}
	return versions
}
