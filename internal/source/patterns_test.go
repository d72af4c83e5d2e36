package source_test

import (
	"testing"

	"github.com/m3o/platform/internal/source"
)

func TestPatternsChooseAsIgnoreFilesDo(t *testing.T) {
	p := source.NewPatterns([]string{"# a comment", "templates/", "*.sql", "!old*.sql", "/static/*.js", "[broken"})
	for name, want := range map[string]struct{ named, known bool }{
		"web/schema.sql": {true, true}, "web/old.sql": {false, true}, "static/a.js": {true, true}, "web/static/a.js": {}, "a.txt": {}, "templates": {},
	} {
		if named, known := p.Match(name, false); named != want.named || known != want.known {
			t.Errorf("%s: named %t, known %t", name, named, known)
		}
	}
	if named, known := p.Match("web/templates", true); !named || !known {
		t.Error("a folder is not named")
	}
	if named, known := source.NewPatterns(nil).Match("a", false); named || known {
		t.Error("no lines know a file")
	}
	if got, want := source.Largest(map[string]int64{"web/videos/a": 2000, "web/videos/b": 1000, "c": 5}), "web/videos (3 kB), c (5 bytes)"; got != want {
		t.Errorf("the largest are %s, want %s", got, want)
	}
}
