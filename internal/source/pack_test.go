package source

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
)

func pack(t *testing.T, dir string) ([]byte, Stats) {
	t.Helper()
	var b bytes.Buffer
	stats, err := Pack(dir, &b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), stats
}

func TestEqualFoldersHaveEqualArchives(t *testing.T) {
	files := map[string]string{"go.mod": "module x\n", "main.go": "package main\n", "a/b.go": "package a\n", "a-b/c": "x", "a.go": "",
		strings.Repeat("long/", 40) + "name": "a path that needs an extended header", "ünï": "x"}
	one, two := tree(t, files), tree(t, files)
	os.Chmod(filepath.Join(one, "a/b.go"), 0o600)
	os.Chmod(filepath.Join(two, "a/b.go"), 0o664)
	os.Chtimes(filepath.Join(two, "main.go"), time.Time{}, time.Unix(1, 0))
	os.MkdirAll(filepath.Join(two, "empty/folder"), 0o755)
	writeFile(t, filepath.Join(two, ".git/config"), "x")
	writeFile(t, filepath.Join(two, ".m3o/state.db"), "x")
	a, as := pack(t, one)
	b, bs := pack(t, two)
	if !bytes.Equal(a, b) || as != bs || as.Files != len(files) {
		t.Errorf("archives differ: %+v and %+v", as, bs)
	}
	os.Chmod(filepath.Join(two, "a/b.go"), 0o755)
	if _, changed := pack(t, two); changed.Digest == as.Digest {
		t.Error("a file that became executable did not change the digest")
	}
}

func TestWhatIsPackedIsUnpacked(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": "module x\n", "run.sh": "#!/bin/sh\n", "a/b/c.txt": "content"})
	os.Chmod(filepath.Join(dir, "run.sh"), 0o700)
	os.Symlink("../b/c.txt", filepath.Join(dir, "a/b/link"))
	os.Symlink("../go.mod", filepath.Join(dir, "a/up"))
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	archive, stats := pack(t, dir)
	out := filepath.Join(t.TempDir(), "out")
	got, err := Unpack(t.Context(), bytes.NewReader(archive), out, stats.Digest, Limits{})
	if err != nil || got != stats {
		t.Fatalf("Unpack = %+v, %v; want %+v", got, err, stats)
	}
	again, repacked := pack(t, out)
	if !bytes.Equal(archive, again) || repacked != stats {
		t.Error("the unpacked folder does not pack to the same archive")
	}
	if target, err := os.Readlink(filepath.Join(out, "a/up")); err != nil || target != "../go.mod" {
		t.Errorf("link = %q, %v", target, err)
	}
	if info, err := os.Stat(filepath.Join(out, "run.sh")); err != nil || info.Mode() != 0o755 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
}

func TestPackNamesWhatIsWrong(t *testing.T) {
	big := strings.Repeat("0123456789", 1000)
	deps := map[string]string{"main.go": "package main\n", "web/node_modules/a/x": big, "web/node_modules/b/y": big, "web/src": "x"}
	outside := tree(t, map[string]string{"main.go": "x"})
	os.Symlink("/etc/passwd", filepath.Join(outside, "evil"))
	upwards := tree(t, map[string]string{"a/main.go": "x"})
	os.Symlink("../../x", filepath.Join(upwards, "a/evil"))
	for _, c := range []struct {
		name, dir string
		limits    Limits
		want      string
	}{
		{"size", tree(t, deps), Limits{Unpacked: 15_000}, "the source has 20 kB, more than 15 kB; the largest are web/node_modules (20 kB), main.go (13 bytes): add what is not needed to .gitignore"},
		{"count", tree(t, deps), Limits{Files: 3}, "the source has 4 files, more than 3; most are in web (3 files)"},
		{"folders", tree(t, map[string]string{"a/b/c/d/e": "x"}), Limits{Files: 4}, "more than 4 files and folders"},
		{"packed size", tree(t, deps), Limits{Packed: 100}, "larger than 100 bytes when packed; the largest are web/node_modules"},
		{"absolute link", outside, Limits{}, `the link "evil" -> "/etc/passwd" leaves the source`},
		{"link upwards", upwards, Limits{}, `the link "a/evil" -> "../../x" leaves the source`},
		{"case", tree(t, map[string]string{"README": "", "readme": ""}), Limits{}, "differ in upper and lower case only"},
		{"nothing", t.TempDir(), Limits{}, "the folder holds no files"},
		{"no folder", filepath.Join(outside, "none"), Limits{}, "there is no folder"},
		{"a file", filepath.Join(outside, "main.go"), Limits{}, "is not a folder"},
	} {
		_, err := Pack(c.dir, io.Discard, c.limits)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Pack = %v\nwant %q", c.name, err, c.want)
		}
	}
}

func TestAMillionIgnoredBytesDoNotCount(t *testing.T) {
	dir := tree(t, map[string]string{".gitignore": "node_modules/\n", "main.go": "package main\n", "node_modules/x": strings.Repeat("x", 1e6)})
	if _, err := Pack(dir, io.Discard, Limits{Unpacked: 10_000}); err != nil {
		t.Error(err)
	}
}

func TestM3oignoreAddsToGitignore(t *testing.T) {
	dir := tree(t, map[string]string{".gitignore": "*.pb.go\n", ".m3oignore": "testdata/\n!*.pb.go\n", "a.pb.go": "", "testdata/big": "", "a.go": ""})
	if got := fmt.Sprint(ourFiles(t, dir)); got != "[.gitignore .m3oignore a.go a.pb.go]" {
		t.Errorf("files = %s", got)
	}
}

func TestCheckGoNamesTheMainPackagesThereAre(t *testing.T) {
	module := map[string]string{"go.mod": "module x\n\ngo 1.24\n", "lib.go": "package lib\n", "cmd/a/main.go": "package main\n\nfunc main() {}\n",
		"cmd/b/main.go": "package main\n", "vendor/v/main.go": "package main\n", "cmd/b/testdata/main.go": "package main\n", "doc/x.txt": "x",
		"two/a.go": "package a\n", "two/b.go": "package b\n", "win/main_windows.go": "package main\n", "c/c.go": "package main\n\nimport \"C\"\n",
		"broken/x.go": "pack main\n", "nested/go.mod": "module n\n", "nested/main.go": "package main\n"}
	dir := tree(t, module)
	os.Symlink("/etc", filepath.Join(dir, "outside"))
	const found = ": found main packages in ./cmd/a, ./cmd/b, ./nested; name one with --package"
	for pkg, want := range map[string]string{
		"cmd/a": "", "./cmd/b": "", "nested": "",
		".": "no main package in ., which is package lib" + found, "": "no main package in .", "doc": "no main package in doc" + found,
		"none": "there is no folder none in the source" + found, "../x": "is not a folder inside the source", "/etc": "is not a folder inside the source",
		"two": "two holds two packages, a and b, and a folder can hold one: move one of them", "win": "no Go file in win can be built for linux/amd64 or linux/arm64 without cgo" + found,
		"c": "no Go file in c can be built", "broken": "broken/x.go:1:1", "outside": "there is no folder outside in the source",
	} {
		_, err := CheckGo(dir, Wanted{Package: pkg})
		if want == "" && err != nil || want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("CheckGo(%q) = %v\nwant %q", pkg, err, want)
		}
	}
	bare := tree(t, map[string]string{"main.go": "package main\n"})
	if _, err := CheckGo(bare, Wanted{}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "no go.mod") {
		t.Errorf("without go.mod: %v", err)
	}
	if _, err := CheckGo(filepath.Join(bare, "none"), Wanted{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := CheckGo(tree(t, map[string]string{"x.txt": ""}), Wanted{}); err == nil || strings.Contains(err.Error(), "found main") {
		t.Errorf("without Go: %v", err)
	}
}

func TestAMainForEitherArchitectureIsOne(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": "module x\n", "lib.go": "package lib\n", "x86/main_amd64.go": "package main\n", "arm/main_arm64.go": "package main\n",
		"mips/main_mips.go": "package main\n", "mixed/main_arm64.go": "package main\n", "mixed/lib_amd64.go": "package lib\n"})
	for _, c := range []struct {
		pkg  string
		on   []string
		want string
	}{
		{"x86", nil, ""}, {"arm", nil, ""}, {"mixed", nil, ""},
		{"mips", nil, "no Go file in mips can be built for linux/amd64 or linux/arm64 without cgo: found main packages in ./arm, ./mixed, ./x86;"},
		{"x86", []string{"amd64"}, ""}, {"arm", []string{"arm64"}, ""}, {"mixed", []string{"amd64"}, "no main package in mixed, which is package lib"},
		{"x86", []string{"arm64"}, "no Go file in x86 can be built for linux/arm64 without cgo: found main packages in ./arm, ./mixed;"},
	} {
		_, err := CheckGo(dir, Wanted{Package: c.pkg, Architectures: c.on})
		if c.want == "" && err != nil || c.want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("CheckGo(%q) on %v = %v\nwant %q", c.pkg, c.on, err, c.want)
		}
	}
}
