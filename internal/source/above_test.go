package source

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestIgnoreFilesAboveCount(t *testing.T) {
	dir := tree(t, map[string]string{
		".gitignore":               ".env\n*.log\n/services/shop/dist\nshop/tmp\n/here\nlocal/\n",
		".m3oignore":               "*.mp4\n",
		"services/.gitignore":      "!audit.log\nshop/gen/\n/only\n*.key\n",
		"services/shop/.gitignore": "!public.key\n",
		"services/shop/main.go":    "", "services/shop/.env": "", "services/shop/deep/.env": "", "services/shop/a.log": "", "services/shop/audit.log": "",
		"services/shop/dist/x": "", "services/shop/deep/dist/x": "", "services/shop/tmp": "", "services/shop/here": "", "services/shop/gen/x": "",
		"services/shop/only": "", "services/shop/local/x": "", "services/shop/a.key": "", "services/shop/public.key": "",
	})
	want, got := below(gitFiles(t, dir), "services/shop"), ourFiles(t, filepath.Join(dir, "services/shop"))
	if !slices.Equal(want, got) {
		t.Errorf("git keeps\n%q\nwe keep\n%q", want, got)
	}
	writeFile(t, filepath.Join(dir, "services/shop/film.mp4"), "")
	if got := ourFiles(t, filepath.Join(dir, "services/shop")); slices.Contains(got, "film.mp4") {
		t.Error("a .m3oignore above does not count")
	}
	link := filepath.Join(t.TempDir(), "link")
	os.Symlink(filepath.Join(dir, "services/shop"), link)
	if !slices.Equal(ourFiles(t, link), want) {
		t.Errorf("through a link: %q", ourFiles(t, link))
	}
	t.Chdir(filepath.Join(dir, "services/shop"))
	if !slices.Equal(ourFiles(t, "."), want) {
		t.Errorf("from inside: %q", ourFiles(t, "."))
	}
}

func TestOnlyTheRepositoryOfTheFolderCounts(t *testing.T) {
	files := map[string]string{".gitignore": "*.go\n", "mid/.gitignore": "*.txt\n", "mid/app/main.go": "", "mid/app/a.txt": "", "mid/app/x": ""}
	for at, want := range map[string]string{"": "[a.txt main.go x]", ".git": "[x]", "mid/.git": "[main.go x]", "mid/app/.git": "[a.txt main.go x]"} {
		for _, isFile := range []bool{true, false} {
			dir := tree(t, files)
			switch {
			case at != "" && isFile:
				writeFile(t, filepath.Join(dir, at), "gitdir: elsewhere\n")
			case at != "":
				os.Mkdir(filepath.Join(dir, at), 0o755)
			}
			if got := fmt.Sprint(ourFiles(t, filepath.Join(dir, "mid/app"))); got != want {
				t.Errorf("with %q, a file %v: files = %s, want %s", at, isFile, got, want)
			}
		}
	}
}

func TestANamedFolderIsPackedThoughIgnored(t *testing.T) {
	for _, line := range []string{"shop", "shop/", "/services/", "services/shop", "services/*", "*", "/*\n!services\nshop", "**/shop/"} {
		dir := tree(t, map[string]string{".git/HEAD": "", ".gitignore": ".env\n" + line + "\n", "services/shop/main.go": "", "services/shop/.env": "", "services/shop/sub/x": ""})
		if got := fmt.Sprint(ourFiles(t, filepath.Join(dir, "services/shop"))); got != "[main.go sub/x]" {
			t.Errorf("%q: files = %s", line, got)
		}
	}
}

func TestTheWayUpwardsIsBounded(t *testing.T) {
	dir := tree(t, map[string]string{".git/HEAD": ""})
	for depth, want := range map[int]bool{0: true, maxAbove - 1: true, maxAbove: false} {
		if _, found := repositoryOf(filepath.Join(dir, strings.Repeat("d/", depth))); found != want {
			t.Errorf("%d folders below its root a repository is found: %v", depth, found)
		}
	}
}
