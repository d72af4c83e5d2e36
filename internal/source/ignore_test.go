package source

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// git tells which files of the folder are not ignored; it is the judge of what our matcher says.
func gitFiles(t *testing.T, dir string) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, ".git")); err != nil {
		git(t, dir, "init", "-q")
	}
	out := git(t, dir, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore")
	files := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	slices.Sort(files)
	return slices.DeleteFunc(files, func(s string) bool { return s == "" })
}

// below is those of the files that are in the folder, as seen from there.
func below(files []string, folder string) []string {
	var inside []string
	for _, name := range files {
		if rest, ok := strings.CutPrefix(name, folder+"/"); ok {
			inside = append(inside, rest)
		}
	}
	return inside
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/local/bin", "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	return string(out)
}

func ourFiles(t *testing.T, dir string) []string {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	above, err := ignoresAbove(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := (&lister{root: root}).list(above)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		files = append(files, e.name)
	}
	return files
}

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	return dir
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestIgnoredAsGitDoes(t *testing.T) {
	dir := tree(t, map[string]string{
		".gitignore": "# comment\n\\#hash\n*.log\n!keep.log\n/bin\nbuild/\ndoc/*.txt\n**/gen\na/**/z\nlogs/**\ntrail \nspace\\ \n[abc]x\n" +
			"[!a-c]y\n[[:digit:]]d\nopen[\nback\\\n\\!bang\nq?q\n***/deep\n/only/\nx*/y\r\nnested/*\n!nested/ok\n",
		"sub/.gitignore":      "!*.log\n/here\n*.tmp\n!important.tmp\n",
		"sub/deep/.gitignore": "*\n!.gitignore\n!kept\n",
		"a.log":               "", "keep.log": "", "sub/b.log": "", "sub/here": "", "sub/deep/here": "", "bin/x": "", "sub/bin/x": "",
		"build/x": "", "sub/build/x": "", "only": "", "doc/a.txt": "", "doc/sub/a.txt": "", "gen/x": "", "sub/gen": "", "a/z": "", "a/b/c/z": "",
		"logs/x": "", "sub/logs/x": "", "trail": "", "space ": "", "space": "", "ax": "", "dx": "", "ay": "", "dy": "", "7d": "", "xd": "",
		"open[": "", "back\\": "", "back": "", "!bang": "", "#hash": "", "qaq": "", "qq": "", "u/v/deep": "", "xx/y": "", "x/y": "", "w/x/y": "",
		"nested/no": "", "nested/ok": "", "nested/dir/x": "", "sub/a.tmp": "", "sub/important.tmp": "", "sub/deep/kept": "", "sub/deep/not": "",
	})
	want, got := gitFiles(t, dir), ourFiles(t, dir)
	if !slices.Equal(want, got) {
		t.Errorf("git keeps\n%q\nwe keep\n%q", want, got)
	}
}

// Random patterns over a fixed tree: whatever git decides, we decide.
func TestIgnoredAsGitDoesForRandomPatterns(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"a", "b", "ab", "a.b", "-", "]", "b]", "ü"} {
		for _, dir := range []string{"", "c/", "a.d/", "c/ab/", "c/ab/a.d/", "x/y/z/"} {
			files[dir+"f"+name] = ""
			files[dir+name+name] = ""
		}
	}
	dir := tree(t, files)
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "b", "f", "c", ".", "d", "x", "y", "*", "*", "**", "/", "/", "?", "[a-c]", "[!a]", "[^b-", "]", "[]-]", "[a-", "\\", "ab", " ", "!", "***", "ü", "[ü]"}
	ignored := 0
	for round := range 300 {
		var lines []string
		for range 1 + random.IntN(3) {
			line := ""
			for range 1 + random.IntN(5) {
				line += pieces[random.IntN(len(pieces))]
			}
			lines = append(lines, line)
		}
		content := strings.Join(lines, "\n") + "\n"
		where := []string{".gitignore", "c/.gitignore", "c/ab/.gitignore"}[random.IntN(3)]
		writeFile(t, filepath.Join(dir, where), content)
		want, got := gitFiles(t, dir), ourFiles(t, dir)
		if !slices.Equal(want, got) {
			t.Fatalf("round %d, %s:\n%s\nonly git keeps %q\nonly we keep %q", round, where, content, without(want, got), without(got, want))
		}
		// Where git keeps nothing it may be because the folder is ignored, and we pack it all the same.
		if want, got := below(want, "c/ab"), ourFiles(t, filepath.Join(dir, "c/ab")); len(want) > 0 && !slices.Equal(want, got) {
			t.Fatalf("round %d, %s, packing c/ab:\n%s\nonly git keeps %q\nonly we keep %q", round, where, content, without(want, got), without(got, want))
		}
		if len(want) < len(files) {
			ignored++
		}
		if round%5 == 4 {
			os.Remove(filepath.Join(dir, "c/.gitignore"))
			os.Remove(filepath.Join(dir, ".gitignore"))
		}
	}
	if ignored < 50 {
		t.Errorf("only %d rounds ignored anything: the test says little", ignored)
	}
}

// FuzzIgnore feeds any ignore file: it is read, every path gets an answer, and repositories stay out whatever it says.
func FuzzIgnore(f *testing.F) {
	for _, seed := range []string{"*.log\n!keep.log\n/bin\nbuild/\n", "**/a/**/z\n***\n", "[[:digit:]]d\n[!a-c]\n[]-]\n[b-a]\n[", "\\", "\\ü\n", "\xff\n[\xff-\x00]\n[[:x:]]\n",
		strings.Repeat("*a", 200), strings.Repeat("**/", 300) + "x", "\ufeff#\n!\n/\n//\n", "[/]\n[.-0]\n[^\\]]\n", "a\\ \n b \r\n"} {
		f.Add(seed, "a/build/z.log", true)
		f.Add(seed, "ü/\xff", false)
	}
	f.Fuzz(func(t *testing.T, content, name string, isDir bool) {
		if len(content) > 4096 || len(name) > maxPath {
			return
		}
		files := ignores{parseIgnore(".", content), parseIgnore("a", content)}
		files.match(name, isDir)
		if !files.match("a/.git", true) {
			t.Error("a repository is packed")
		}
	})
}

// A name without special characters is ignored by a line that says it, whatever alphabet it is in.
func FuzzIgnoreByName(f *testing.F) {
	for _, seed := range []string{"a", "ünï", "日本", "a.b", "(x)", "$", "\xff\xfe", "^a{2}|b+"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || len(name) > maxSegment || strings.ContainsAny(name, "*?[\\/\n\r") || strings.HasPrefix(name, "!") || strings.HasPrefix(name, "#") ||
			strings.HasPrefix(name, "\ufeff") || strings.HasSuffix(name, " ") {
			return
		}
		file := ignores{parseIgnore(".", name+"\n")}
		if !file.match(name, false) || !file.match("dir/"+name, true) || file.match(name+"x", false) {
			t.Errorf("%q is not ignored by its name", name)
		}
	})
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

func ExampleLimits() {
	fmt.Println(size(999), size(1_234_567), size(1_200_000_000))
	// Output: 999 bytes 1.23 MB 1.2 GB
}
