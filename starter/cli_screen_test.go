package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// evil moves the cursor, clears the screen, sets the title, and turns text around.
const evil = "a\x1b[2J\x1b]0;title\x07b\r\b\x9b31m\u009b1A\u202etxt.exe\u2066x\u2069\u202c\x7fz"

// onScreen runs a command whose output is a terminal.
func onScreen(t *testing.T, args ...string) commanded {
	t.Helper()
	before := onTerminal
	onTerminal = func(stream any) bool { _, ok := behind(stream).(*buffer); return ok }
	defer func() { onTerminal = before }()
	return m3o(args...)
}

// calm fails the test if a text would command a terminal. What the board draws is its own.
func calm(t *testing.T, what, text string) {
	t.Helper()
	if bad := strings.IndexFunc(text, func(r rune) bool { return commands(r) && r != '\n' && r != '\t' }); bad >= 0 || !utf8.ValidString(text) {
		t.Errorf("%s commands the terminal: %q", what, text)
	}
}

// redrawing is how the board draws in place.
var redrawing = regexp.MustCompile(`\x1b\[\d+A\x1b\[J`)

func drawn(text string) string { return redrawing.ReplaceAllString(text, "") }

func TestForeignTextDoesNotCommandTheTerminal(t *testing.T) {
	w := twoRegions(t)
	w.Build = func(log func(string), _ release.Release) error {
		log("compiles " + evil)
		return errors.New("the build says " + evil)
	}
	dir := program(t, "hello")
	c := onScreen(t, "run", dir)
	if c.code != exitFailed || !strings.Contains(c.errs, "the build says a") || !strings.Contains(c.errs, "compiles a") {
		t.Fatalf("exit %d: %q", c.code, c.errs)
	}
	calm(t, "a failed run", drawn(c.errs))
	c = m3o("run", dir)
	if at := strings.LastIndex(c.errs, "m3o: "); at < 0 || !strings.Contains(c.errs[at:], "the build says a") {
		t.Fatalf("%q", c.errs)
	}
	calm(t, "a failed run in a pipe", c.errs)

	w.AddRegion(region.Region{Spec: apitest.Spec("sgp1"), Status: region.Degraded, Message: "cloud says " + evil})
	for _, args := range [][]string{{"region", "list"}, {"region", "show", "sgp1"}, {"events"}, {"status", "hello"}, {"releases", "hello"}, {"services"}} {
		for where, c := range map[string]commanded{"on a terminal": onScreen(t, args...).must(t), "in a pipe": m3o(args...).must(t)} {
			calm(t, strings.Join(args, " ")+" "+where, c.out+c.errs)
		}
		c := onScreen(t, append(args, "--json")...).must(t)
		calm(t, strings.Join(args, " ")+" --json", c.out)
		for d := json.NewDecoder(strings.NewReader(c.out)); ; {
			var v any
			if err := d.Decode(&v); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("%v prints what is no JSON: %v: %q", args, err, c.out)
				break
			}
		}
	}
	shown := answer[region.Region](t, m3o("region", "show", "sgp1", "--json").must(t))
	if want := strings.ToValidUTF8("cloud says "+evil, "\ufffd"); strings.ToValidUTF8(shown.Message, "\ufffd") != want {
		t.Errorf("JSON says %q, not %q", shown.Message, want)
	}
}

func TestWhatACallAnswers(t *testing.T) {
	twoRegions(t)
	m3o("run", program(t, "hello")).must(t)
	raw := []string{"call", "hello", "/raw", evil, "-H", "Content-Type: text/plain"}
	if c := m3o(raw...).must(t); c.out != evil {
		t.Errorf("a program is given %q, not %q", c.out, evil)
	}
	c := onScreen(t, append(raw, "-i")...).must(t)
	calm(t, "an answer", c.out+c.errs)
	if !strings.Contains(c.out, "txt.exe") {
		t.Errorf("%q", c.out)
	}
	if got := answer[string](t, onScreen(t, append(raw, "--json")...).must(t)); got != strings.ToValidUTF8(evil, "\ufffd") {
		t.Errorf("as JSON %q", got)
	}
	said, err := json.Marshal("\u202ex\u0085y\u2067")
	if err != nil {
		t.Fatal(err)
	}
	pretty := onScreen(t, "call", "hello", "/raw", `{"a":`+string(said)+`}`).must(t)
	calm(t, "JSON", pretty.out)
	if got := answer[map[string]string](t, pretty); got["a"] != "\u202ex\u0085y\u2067" {
		t.Errorf("%q", pretty.out)
	}
}

// FuzzScreen: whatever is written, in whatever pieces, nothing of it commands the terminal, and plain text comes through.
func FuzzScreen(f *testing.F) {
	f.Add([]byte(evil), 1)
	f.Add([]byte("plain text, ünïcödé 世界\n\tmore"), 3)
	f.Add([]byte("\xe2\x80\xae\xe2\x80"), 2)
	f.Add([]byte("\xf0\x9f\x98"), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		size = max(1, size)
		var whole, pieces bytes.Buffer
		one, many := messages(&whole), messages(&pieces)
		_, _ = one.Write(data)
		for rest := data; len(rest) > 0; {
			n := min(size, len(rest))
			if wrote, err := many.Write(rest[:n]); wrote != n || err != nil {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		calm(t, "the whole", whole.String())
		calm(t, "the pieces", pieces.String())
		plain := utf8.Valid(data) && strings.IndexFunc(string(data), func(r rune) bool { return commands(r) && r != '\n' && r != '\t' }) < 0
		if plain && (whole.String() != string(data) || pieces.String() != string(data)) {
			t.Errorf("%q comes out as %q and %q", data, whole.String(), pieces.String())
		}
		if utf8.Valid(data) && whole.String() != pieces.String() {
			t.Errorf("%q in pieces is %q, not %q", data, pieces.String(), whole.String())
		}
		if len(strings.Split(oneLine(string(data)), "\n")) != 1 {
			t.Errorf("%q is not one line", oneLine(string(data)))
		}
	})
}

// FuzzPlainJSON: JSON stays JSON and means the same.
func FuzzPlainJSON(f *testing.F) {
	f.Add(evil)
	f.Add("<&> 世界 \ufffd")
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if err := printJSON(&out, map[string]string{"text": text}); err != nil {
			t.Fatal(err)
		}
		calm(t, "JSON", out.String())
		var got map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["text"] != strings.ToValidUTF8(text, "\ufffd") && utf8.ValidString(text) {
			t.Errorf("%q is printed as %q: %v", text, out.String(), err)
		}
	})
}

// A person's token that is kept beside the address is sent there.
func TestATokenOfTheDataDirectoryIsSentToItsAPI(t *testing.T) {
	spy := newSpy(t)
	user(t)
	write(t, ".m3o/run/api.url", spy.url+"\n")
	write(t, ".m3o/people/ana.token", "hers")
	if err := os.Chmod(".m3o", 0o700); err != nil {
		t.Fatal(err)
	}
	m3o("whoami", "--token-file", ".m3o/people/ana.token").fails(t, exitFailed)
	if got := spy.heard(); got != "Bearer hers" {
		t.Errorf("its API was asked with %q", got)
	}
	write(t, "other.token", "other")
	m3o("whoami", "--token-file", ".m3o/../other.token").fails(t, exitFailed, "is not sent to")
}

// A tree that somebody cloned: it says where the API is, and what the token.
func TestAGivenTokenIsNotSentToWhereACloneSays(t *testing.T) {
	spy := newSpy(t)
	for name, c := range map[string]struct {
		mode os.FileMode
		give func(t *testing.T) []string // gives the token, as more arguments
		want []string
	}{
		"open to others, by environment": {0o755, byEnvironment, []string{"127.0.0.1:1"}},
		"open to others, by file":        {0o755, byFile, []string{"127.0.0.1:1"}},
		"private, by environment":        {0o700, byEnvironment, []string{"M3O_TOKEN is not sent to", "M3O_API", "m3o login"}},
		"private, by file":               {0o700, byFile, []string{"is not sent to", "M3O_API", "m3o login"}},
	} {
		t.Run(name, func(t *testing.T) {
			user(t)
			write(t, "clone/.m3o/run/api.url", spy.url+"\n")
			write(t, "clone/.m3o/admin.token", "theirs")
			program(t, "clone/app")
			if err := os.Chmod("clone/.m3o", c.mode); err != nil {
				t.Fatal(err)
			}
			more := c.give(t)
			if c.mode == 0o755 { // what is left is the address that everybody knows
				more = append(more, "--api", "http://127.0.0.1:1")
			}
			t.Chdir("clone")
			for _, args := range [][]string{{"whoami"}, {"services"}, {"run", "app"}, {"call", "hello", "/"}, {"__complete", "status", ""}} {
				got := m3o(append(more, args...)...)
				if args[0] != "__complete" {
					got.fails(t, exitFailed, c.want...)
				}
			}
			if got := spy.heard(); got != "" {
				t.Errorf("the clone's server heard %q", got)
			}
		})
	}
}

func TestAFolderThatIsNotOursAloneIsNoDataDirectory(t *testing.T) {
	spy := newSpy(t)
	user(t)
	write(t, ".m3o/run/api.url", spy.url)
	write(t, ".m3o/admin.token", "theirs")
	if err := os.Chmod(".m3o", 0o755); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".m3o")
	if err != nil {
		t.Fatal(err)
	}
	m3o("whoami").fails(t, exitFailed, here+" is passed over", "mode 0700", "--data-dir")
	if err := os.Rename(".m3o", "elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("elsewhere", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", ".m3o"); err != nil {
		t.Fatal(err)
	}
	m3o("whoami").fails(t, exitFailed, here+" is passed over")
	if got := spy.heard(); got != "" {
		t.Errorf("its server heard %q", got)
	}
	if err := errors.Join(os.Remove(".m3o"), os.Rename("elsewhere", ".m3o")); err != nil {
		t.Fatal(err)
	}
	m3o("whoami").fails(t, exitFailed)
	if got := spy.heard(); got != "Bearer theirs" {
		t.Errorf("of our own folder's server was asked with %q", got)
	}
	write(t, ".m3o/run/api.url", "http://api.example.com")
	m3o("whoami").fails(t, exitFailed, "is not on this machine", "M3O_API")
	m3o("whoami", "--data-dir", ".m3o", "--api", spy.url).fails(t, exitFailed)
}
