package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// bombs are small files that take a parser long, or all the stack.
var bombs = []string{
	strings.Repeat("[", 30_000), "args: " + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000), strings.Repeat("{a: ", 16_000),
	strings.Repeat("- ", 32_000), strings.Repeat("? ", 32_000), strings.Repeat("a: [", 16_000), strings.Repeat("!!x ", 16_000), strings.Repeat("&a ", 20_000),
	"env: {a: &a x, b: *a}", stairs(300),
}

// stairs is a mapping in a mapping in a mapping.
func stairs(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestManifestsThatAreBombsAreRefused(t *testing.T) {
	for _, bomb := range bombs {
		began := time.Now()
		if _, err := parseManifest([]byte(bomb)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.20q: %v", bomb, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%.20q took %s", bomb, took)
		}
	}
}

func TestAFullManifestIsNotTooDeep(t *testing.T) {
	m, err := parseManifest([]byte("name: hello\nport: 80\nargs: [\"[[[[[[[[[[[[[[[[[[[[\", '{{{{{{{{{{{{{{{{{{{{']\nenv:\n  A: \"- - - - - - - - - - - - - - - - - - - -\"\n  B: a - b\n"))
	if err != nil || m.Name != "hello" || len(m.Args) != 2 || len(m.Env) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}

// FuzzManifest reads anything: it is a manifest, or the file is at fault.
func FuzzManifest(f *testing.F) {
	for _, seed := range append(bombs, "", "name: a\nport: 80\nenv: {A: b}\nargs: [x, 'y']\n", "nam: a", "port: x", "a: !!binary x", "---\n---\n", "\x00", "%YAML 9\n", "\t- a", "? a\n: b", "<<: {a: b}") {
		f.Add([]byte(seed[:min(len(seed), 4096)]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxManifest {
			return
		}
		if _, err := parseManifest(data); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("parseManifest(%q) = %v", data, err)
		}
	})
}

// The m3o.yaml of the README says every setting there is, and is taken as it stands.
func TestTheManifestOfTheReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "```yaml\n")
	text, _, found := strings.Cut(text, "```")
	m, err := parseManifest([]byte(text))
	if err == nil {
		err = m.check("default", "")
	}
	if err != nil || !found {
		t.Fatalf("%v: %s", err, text)
	}
	for _, f := range manifestFields {
		if !strings.Contains("\n"+text, "\n"+f.name+":") {
			t.Errorf("%s is not said", f.name)
		}
	}
	if m.Env["CODE"] != "01234" || m.Build.Set["main.version"] != "1.2" {
		t.Errorf("%+v", m)
	}
}
