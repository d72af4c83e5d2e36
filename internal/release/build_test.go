package release_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

func TestWhatIsSaidAboutABuildIsChecked(t *testing.T) {
	for what, c := range map[string]struct {
		build release.Build
		want  string // "": it may be said
	}{
		"all there is": {release.Build{Tags: []string{"sqlite_omit", "go1.20", "größe"}, Include: []string{"templates/", "*.sql"}, Exclude: []string{"!a b"},
			Set: map[string]string{"main.version": "1.2 (of \"today\")", "example.com/shop-x/about.Größe": "it's", "gopkg.in/x.v2.Name": "", "main.tab": "{out}"}}, ""},
		"a tag that is a list":              {release.Build{Tags: []string{"a,b"}}, `build.tags: "a,b" is not a build tag`},
		"a tag that is a flag":              {release.Build{Tags: []string{"-toolexec=x"}}, `build.tags: "-toolexec=x" is not a build tag`},
		"an empty tag":                      {release.Build{Tags: []string{""}}, `build.tags: ""`},
		"a variable without a package":      {release.Build{Set: map[string]string{"version": "1"}}, `build.set: "version" is not a variable such as main.version`},
		"a variable with a space":           {release.Build{Set: map[string]string{"main.a -extld=sh main.b": "1"}}, "is not a variable"},
		"a variable that is a flag":         {release.Build{Set: map[string]string{"-linkmode.x": "1"}}, "is not a variable"},
		"a variable with a quote":           {release.Build{Set: map[string]string{"main.a'": "1"}}, "is not a variable"},
		"a value with a line break":         {release.Build{Set: map[string]string{"main.a": "1\n2"}}, "build.set.main.a: a value cannot hold control characters or line breaks"},
		"a value with a NUL":                {release.Build{Set: map[string]string{"main.a": "\x00"}}, "build.set.main.a: a value cannot hold control characters"},
		"a value with both kinds of quotes": {release.Build{Set: map[string]string{"main.a": `it's "x"`}}, `build.set.main.a: a value cannot hold both ' and "`},
		"a value without end":               {release.Build{Set: map[string]string{"main.a": strings.Repeat("x", 5000)}}, "build.set.main.a: 5000 bytes are more than 4096"},
		"a pattern with a line break":       {release.Build{Exclude: []string{"a\nb"}}, `exclude: "a\nb" is empty, longer`},
		"an empty pattern":                  {release.Build{Include: []string{""}}, `include: "" is empty`},
		"too many patterns":                 {release.Build{Include: strings.Split(strings.Repeat("x ", 101), " ")[:101]}, "include: 101 entries are more than 100"},
		"patterns that are long together":   {release.Build{Exclude: slices.Repeat([]string{strings.Repeat("x", 4000)}, 9)}, "exclude: 36000 bytes are more than 32768"},
		"values that are long together":     {release.Build{Set: longValues(9)}, "build.set: 36054 bytes are more than 32768"},
		"a name without end":                {release.Build{Set: map[string]string{"main." + strings.Repeat("x", 40000): "1"}}, "build.set: 40006 bytes are more than 32768"},
	} {
		t.Run(what, func(t *testing.T) {
			r := asked()
			r.Spec = release.Spec{Access: release.Public, Port: 80, Replicas: 1}
			r.Origin.Build = c.build
			err := r.Validate()
			if c.want == "" && err != nil || c.want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// longValues are so many variables of 4,000 bytes.
func longValues(n int) map[string]string {
	set := map[string]string{}
	for i := range n {
		set["main."+string(rune('a'+i))] = strings.Repeat("x", 4000)
	}
	return set
}
