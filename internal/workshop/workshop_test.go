package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is the source of a program of many packages that nobody compiled before, and of a compiler that is slow.
type program struct {
	t         *testing.T
	dir, slow string
}

const parts = 30

func newProgram(t *testing.T) program {
	t.Helper()
	p := program{t: t, dir: t.TempDir(), slow: filepath.Join(t.TempDir(), "slowly")}
	p.write("go.mod", "module big.test/program\n\ngo 1.26\n")
	imports := ""
	for i := range parts {
		p.write(fmt.Sprintf("part%d/part.go", i), fmt.Sprintf("// Package part%d was written at %d.\npackage part%d\n\nconst At = %d\n", i, time.Now().UnixNano(), i, time.Now().UnixNano()))
		imports += fmt.Sprintf("import _ \"big.test/program/part%d\"\n", i)
	}
	p.write("main.go", "package main\n\n"+imports+"\nfunc main() {}\n")
	if err := os.WriteFile(p.slow, []byte("#!/bin/sh\ncase \"$*\" in *-V=full*) ;; *) sleep 0.1;; esac\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p program) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// build builds it as make does, and returns what was shown, what was said of errors and the exit code.
func (p program) build(ctx context.Context, s screen) (shown, said string, code int) {
	p.t.Helper()
	var out, errors guarded
	s.out = &out
	if s.every == 0 {
		s.every = 100 * time.Millisecond
	}
	c := compilation{about: "program: many parts, compiled once", dir: p.dir, screen: &s, errors: &errors,
		args: []string{"-toolexec", p.slow, "-ldflags", "-s -w", "-o", filepath.Join(p.dir, "program"), "."}}
	code = c.run(ctx)
	return out.String(), errors.String(), code
}

// guarded is a buffer that is written and read at the same time.
type guarded struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

func (g *guarded) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.String()
}

func TestABuildShowsHowFarItIs(t *testing.T) {
	p := newProgram(t)
	shown, said, code := p.build(t.Context(), screen{})
	if code != 0 || said != "" {
		t.Fatalf("ended with %d: %s", code, said)
	}
	if !strings.HasPrefix(shown, "program: many parts, compiled once\n  ") || strings.Count(shown, "compiled once") != 1 {
		t.Errorf("what is built is not said first, and once:\n%s", shown)
	}
	found := regexp.MustCompile(`\n  (\d+) of (\d+) packages, [0-9.]+s, `).FindAllStringSubmatch(shown, -1)
	if len(found) == 0 {
		t.Fatalf("it does not say how many of how many packages are compiled:\n%s", shown)
	}
	last := found[len(found)-1]
	if total, _ := strconv.Atoi(last[2]); total != parts+1 {
		t.Errorf("it counts %s packages, not %d:\n%s", last[2], parts+1, shown)
	}
	if !regexp.MustCompile(`\nprogram is built \(31 packages compiled, [0-9.]+s\)\n$`).MatchString(shown) {
		t.Errorf("it ends otherwise:\n%s", shown)
	}
	if shown, said, code = p.build(t.Context(), screen{}); code != 0 || said != "" || !regexp.MustCompile(`^program is built \([0-9.]+s\)\n$`).MatchString(shown) {
		t.Errorf("when all is compiled it is not quiet: %d %q %q", code, shown, said)
	}
}

func TestOnATerminalOneLineIsWrittenOver(t *testing.T) {
	p := newProgram(t)
	shown, _, code := p.build(t.Context(), screen{live: true})
	if code != 0 || strings.Count(shown, "\n") != 2 {
		t.Errorf("ended with %d and more than two lines that stay:\n%q", code, shown)
	}
	for _, line := range strings.Split(strings.ReplaceAll(shown, "\r\x1b[K", "\n"), "\n") {
		if len(line) > width {
			t.Errorf("a line of %d characters wraps: %q", len(line), line)
		}
	}
}

func TestWhatTheCompilerSaysIsPassedOnWhole(t *testing.T) {
	p := newProgram(t)
	p.write("part7/part.go", "package part7\n\nvar x int = \"seven\"\n\nfunc f() { return 7 }\n")
	shown, said, code := p.build(t.Context(), screen{})
	for _, words := range []string{"# big.test/program/part7\n", `part7/part.go:3:13: cannot use "seven"`, "part7/part.go:5:19: too many return values\n\thave (number)\n\twant ()\n", "program is not built: see above"} {
		if !strings.Contains(said, words) {
			t.Errorf("%q is missing in:\n%s", words, said)
		}
	}
	if code != 1 || strings.Contains(shown, "is built") {
		t.Errorf("ended with %d: %s", code, shown)
	}
}

func TestAFlagThatGoDoesNotKnow(t *testing.T) {
	p := newProgram(t)
	var out, said guarded
	c := compilation{about: "program", dir: p.dir, args: []string{"-colour"}, screen: &screen{out: &out, every: time.Second}, errors: &said}
	if code := c.run(t.Context()); code != 2 || !strings.Contains(said.String(), "flag provided but not defined: -colour") {
		t.Errorf("ended with %d: %s", code, said.String())
	}
}

func TestAStoppedBuildGoesOn(t *testing.T) {
	p := newProgram(t)
	ctx, stop := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer stop()
	began := time.Now()
	shown, said, code := p.build(ctx, screen{})
	if code != interrupted || strings.Contains(shown, "is built") {
		t.Fatalf("ended with %d: %s%s", code, shown, said)
	}
	if !strings.Contains(said, "program is not built: stopped after") || !strings.Contains(said, "is kept in Go's build cache (/") || !strings.Contains(said, "goes on from there") {
		t.Errorf("what is kept is not said: %s", said)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	shown, said, code = p.build(t.Context(), screen{})
	compiled := regexp.MustCompile(`built \((\d+) packages`).FindStringSubmatch(shown)
	if code != 0 || compiled == nil {
		t.Fatalf("ended with %d: %s%s", code, shown, said)
	}
	if n, _ := strconv.Atoi(compiled[1]); n > parts-2 {
		t.Errorf("%d packages were compiled anew", n)
	}
}

func TestTheCheckSaysWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	var out, said guarded
	if code := run(t.Context(), []string{"check"}, &out, &said); code != misused || !strings.Contains(said.String(), "go.mod") {
		t.Errorf("without a go.mod it ends with %d: %s", code, said.String())
	}
	if err := os.WriteFile("go.mod", []byte("module a\n\ngo 1.999\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOTOOLCHAIN", "local")
	if code := run(t.Context(), []string{"check", "-all"}, &out, &said); code != lacking || !strings.Contains(said.String(), "Install Go 1.999 or later") || !strings.Contains(out.String(), "memory") {
		t.Errorf("with too old a Go it ends with %d: %s%s", code, out.String(), said.String())
	}
	for _, args := range [][]string{nil, {"bake"}, {"check", "-colour"}} {
		if code := run(t.Context(), args, &out, &said); code != misused {
			t.Errorf("%v ends with %d", args, code)
		}
	}
}
