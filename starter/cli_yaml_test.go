package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/m3o/platform/internal/fault"
)

// written are texts that YAML takes for numbers, dates and the like when they stand without quotes.
var written = []string{"01234", "0755", "007", "1.10", "3.0", "+49123456789", "1e3", "1234567e8", "1.5e-7", "true", "TRUE", "yes", "no", "on", "null", "Null", "~", "2026-01-02",
	"2026-01-02T03:04:05Z", "12:30", "190:20:30", "0x1F", "0o17", "0b101", ".5", "-.5", "5.", "1_000", "1,000", "-0", ".inf", "-.Inf", ".NaN", "12345678901234567890123",
	"9007199254740993", "1e400", "a b", "http://x:80/y?z=1&q", "a#b", "a\\b", "=", "10.0.0.1", "1.2.3", "true false", "1 2", "08", "0_7", "+.5", "ä", "🙂", "-1"}

func TestValuesOfManifestsAreWhatIsWritten(t *testing.T) {
	lines := "env:\n"
	for i, text := range written {
		lines += "  K" + number(i) + ": " + text + "\n"
	}
	lines += "args:\n"
	for _, text := range written {
		lines += "- " + text + "\n"
	}
	for name, file := range map[string]string{"Unix": lines, "Windows": "\ufeff" + strings.ReplaceAll(lines, "\n", "\r\n")} {
		t.Run(name, func(t *testing.T) {
			m, err := parseManifest([]byte(file))
			if err != nil {
				t.Fatal(err)
			}
			for i, text := range written {
				if got := m.Env["K"+number(i)]; got != text || m.Args[i] != text {
					t.Errorf("%s arrives as %q in env and %q in args", text, got, m.Args[i])
				}
			}
		})
	}
}

func TestFormsOfText(t *testing.T) {
	const file = `env:
  QUOTED: "01"          # a comment
  SINGLE: 'it''s 1.10'
  ESCAPED: "a\tb\n"
  EMPTY:
  ALSO_EMPTY: ""
  BLOCK: |
    a
      b
  FOLDED: >-
    a
    b
  LONG: 1
    2
  BELOW:
    0755
  COMMENTED: 0755 # not this
  FLOW: x
`
	want := map[string]string{"QUOTED": "01", "SINGLE": "it's 1.10", "ESCAPED": "a\tb\n", "EMPTY": "", "ALSO_EMPTY": "", "BLOCK": "a\n  b\n", "FOLDED": "a b", "LONG": "1 2",
		"BELOW": "0755", "COMMENTED": "0755", "FLOW": "x"}
	for name, text := range map[string]string{"Unix": file, "Windows": strings.ReplaceAll(file, "\n", "\r\n")} {
		if m, err := parseManifest([]byte(text)); err != nil || !maps.Equal(m.Env, want) {
			t.Errorf("%s: %q, %v", name, m.Env, err)
		}
	}
	m, err := parseManifest([]byte("env: {A: 01, B: , C: 1.10, D: ~}\nargs: [007, \"\", on]\n"))
	if err != nil || !maps.Equal(m.Env, map[string]string{"A": "01", "B": "", "C": "1.10", "D": "~"}) || !slices.Equal(m.Args, []string{"007", "", "on"}) {
		t.Errorf("%q %q, %v", m.Env, m.Args, err)
	}
}

func TestAManifestNamesWhatItSays(t *testing.T) {
	m, err := parseManifest([]byte(`name: 007
package: ./cmd/x
access: public
preflight: key
port: 3000
protocol: h2c
replicas: 2
health: /healthz
start: 90s
timeout: 10m
max_body: 150MB
env: {A: 1, B: }
args: []
include: ["*.html"]
exclude:
build:
  tags: [netgo, osusergo]
  ldflags: -s -w -X main.version=1.10 -X 'main.by=ada l'
`))
	if err != nil {
		t.Fatal(err)
	}
	want := "package access preflight port protocol replicas health start timeout max_body env.A env.B args include exclude build.tags build.set.main.version build.set.main.by"
	if got := strings.Join(m.File.Settings, " "); got != want {
		t.Errorf("it says %s", got)
	}
	if m.Name != "007" || m.MaxBody != 150e6 || m.Timeout.String() != "10m" || m.Start.String() != "1m30s" || !maps.Equal(m.Build.Set, map[string]string{"main.version": "1.10", "main.by": "ada l"}) ||
		!slices.Equal(m.Build.Tags, []string{"netgo", "osusergo"}) || len(m.Args) != 0 {
		t.Errorf("%+v", m)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n", "---\n---\n", "env:\nargs:\nbuild:\n"} {
		if m, err := parseManifest([]byte(empty)); err != nil || m.File == nil {
			t.Errorf("%q: %+v %v", empty, m, err)
		}
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"an unknown field":        {"acces: public\n", `line 1: unknown field "acces" (did you mean "access"?); known are name, package, access,`},
		"in build":                {"build: {flags: x}\n", `line 1: unknown field "flags"`},
		"a name twice":            {"env:\n  A: 1\n  B: 2\n  A: 3\n", `[4:3] mapping key "A" already defined at [2:3]`},
		"a field twice":           {"port: 1\nreplicas: 2\nport: 3\n", `[3:1] mapping key "port" already defined at [1:1]`},
		"a name twice, otherwise": {"env:\n  A: 1\n  \"A\": 3\n", `already defined`},
		"a list as a value":       {"env:\n  A: 1\n  B: [1]\n", "line 3: B: it is not a text: put it in quotes"},
		"a mapping as a value":    {"env:\n  A: {a: b}\n", "line 2: A: it is not a text: put it in quotes"},
		"a tag":                   {"env:\n  A: !!str 010\n", "line 2: A: tags such as !!str are not taken: put it in quotes"},
		"a list in args":          {"args: [[a]]\n", "it is not a text: put it in quotes"},
		"args as text":            {"args: -v -x\n", "line 1: args: it is not a list, such as [a, b]"},
		"env as text":             {"env: A=1\n", "line 1: a list of NAME: VALUE is wanted here"},
		"env as a list":           {"env:\n- A=1\n", "a list of NAME: VALUE is wanted here"},
		"not a mapping":           {"hello\n", "line 1: a list of NAME: VALUE is wanted here"},
		"a port in words":         {"port: http\n", `line 1: port: "http" is not a whole number above 0`},
		"a port of 0":             {"port: 0\n", `line 1: port: "0" is not a whole number above 0`},
		"part of a replica":       {"replicas: 1.5\n", `"1.5" is not a whole number above 0`},
		"no value":                {"name: a\nhealth:\n", "line 2: health: it has no value: give it one, or leave it out"},
		"a bare number of time":   {"timeout: 600\n", `line 1: timeout: "600" is not a span of time such as 90s or 2m`},
		"no time":                 {"start: 0s\n", `start: "0s" is not above 0`},
		"a size":                  {"max_body: 1.5GB\n", `line 1: max_body: "1.5GB" is not a size such as 150MB or 1GiB`},
		"other flags":             {"build:\n  ldflags: -X main.a=1 -linkmode=external\n", `line 2: build.ldflags: "-linkmode=external" is not taken: only -X importpath.name=value is`},
		"a variable alone":        {"build: {ldflags: -X main.a}\n", `"main.a" is not of the form importpath.name=value`},
		"-X alone":                {"build: {ldflags: -X}\n", `"-X" is not taken`},
		"a quote without end":     {"build: {ldflags: \"-X 'main.a=1\"}\n", "has no end"},
		"two documents":           {"port: 1\n---\nport: 2\n", "line 3: it holds more than one document: only one is read"},
		"an anchor":               {"name: &a x\naccess: *a\n", "YAML anchors and aliases are not allowed in it"},
		"another encoding":        {"env:\n  A: \xfa\n", "it is not a text in UTF-8"},
		"a merge":                 {"env:\n  <<: {A: 1}\n", "YAML anchors and aliases are not allowed in it"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseManifest([]byte(c.file)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzValues writes any text on one line: it arrives as it is, or the file is refused.
func FuzzValues(f *testing.F) {
	for _, text := range append(written, "- a", "a: b", "a # b", "[a", "'a", `"a`, "|", ">", "*a", "&a", "!a", "%a", "@a", "`a", "? a", "a:", ",", "}", "a\tb") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text = strings.TrimSpace(text); text == "" || len(text) > 1000 || !plainScalar(text) {
			return
		}
		m, err := parseManifest([]byte("env:\n  A: " + text + "\n  B: end\nargs:\n- " + text + "\n"))
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if m.Env["A"] != text || m.Env["B"] != "end" || len(m.Args) != 1 || m.Args[0] != text {
			t.Errorf("%q arrives as %q and %q", text, m.Env, m.Args)
		}
	})
}

// plainScalar reports whether YAML has a text without quotes stand for itself, or does not take it.
func plainScalar(text string) bool {
	return !strings.ContainsAny(text[:1], "'\"|>#") && !strings.Contains(text, " #") && !strings.Contains(text, "\t#") &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}
