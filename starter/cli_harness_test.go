package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/m3o/platform/internal/client/apitest"
)

// outcome of a command.
type commanded struct {
	out, errs string
	code      int
}

// buffer is written by a command while a test reads it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// user sits at a machine with a data directory and nothing in the environment.
func user(t *testing.T) {
	t.Helper()
	for _, name := range []string{"M3O_API", "M3O_TOKEN", "M3O_PROJECT", "M3O_DATA_DIR"} {
		t.Setenv(name, "")
	}
	t.Setenv("M3O_CONFIG_DIR", t.TempDir())
	t.Chdir(t.TempDir())
}

// at makes the user one of the world's.
func at(t *testing.T, w *apitest.World) {
	t.Helper()
	user(t)
	t.Setenv("M3O_API", w.URL)
	t.Setenv("M3O_TOKEN", apitest.Token)
}

// m3o runs a command as a shell does.
func m3o(args ...string) commanded {
	var out, errs buffer
	code := run(args, &out, &errs)
	return commanded{out.String(), errs.String(), code}
}

// typing runs a command whose input is typed at a terminal, until ctx ends.
func typing(t *testing.T, ctx context.Context, text string, errs io.Writer, args ...string) commanded {
	t.Helper()
	before := onTerminal
	onTerminal = func(stream any) bool { _, typed := stream.(*strings.Reader); return typed }
	defer func() { onTerminal = before }()
	var out, own buffer
	if errs == nil {
		errs = &own
	}
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(text))
	root.SetOut(&out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	code, wrong := exitDone, (*misuseError)(nil)
	switch {
	case errors.As(err, &wrong):
		code = exitMisused
	case err != nil:
		code = exitFailed
	}
	return commanded{out.String(), own.String(), code}
}

// must fails the test unless the command did what it should.
func (c commanded) must(t *testing.T) commanded {
	t.Helper()
	if c.code != exitDone {
		t.Fatalf("exit %d\nstdout: %s\nstderr: %s", c.code, c.out, c.errs)
	}
	return c
}

// fails fails the test unless the command ended with the code and said every one of the words.
func (c commanded) fails(t *testing.T, code int, words ...string) commanded {
	t.Helper()
	if c.code != code {
		t.Errorf("exit %d, not %d", c.code, code)
	}
	return c.says(t, words...)
}

// says fails the test unless the command said every one of the words, on its standard error.
func (c commanded) says(t *testing.T, words ...string) commanded {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(c.errs, w) {
			t.Errorf("%q is not said", w)
		}
	}
	if t.Failed() {
		t.Logf("stdout: %s\nstderr: %s", c.out, c.errs)
	}
	return c
}

// answer reads what a command printed: one JSON value and nothing else.
func answer[T any](t *testing.T, c commanded) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(c.out))
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %q\nstderr: %s", err, c.out, c.errs)
	}
	if rest, _ := io.ReadAll(d.Buffered()); strings.TrimSpace(string(rest)) != "" {
		t.Fatalf("more than one JSON value: %q", c.out)
	}
	return v
}

// write makes a file in the current folder.
func write(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// program makes a folder with a Go program.
func program(t *testing.T, dir string) string {
	t.Helper()
	write(t, dir+"/go.mod", "module example.com/"+filepath.Base(dir)+"\n\ngo 1.24\n")
	write(t, dir+"/main.go", "package main\n\nfunc main() {}\n")
	return dir
}

// spy is a server that notes who calls as whom.
type spy struct {
	url  string
	mu   sync.Mutex
	said []string
}

func newSpy(t *testing.T) *spy {
	t.Helper()
	s := &spy{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.said = append(s.said, r.Header.Get("Authorization"))
		http.Error(w, "no", http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// heard is what was heard since it was last asked.
func (s *spy) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := strings.Join(s.said, ", ")
	s.said = nil
	return said
}

func byEnvironment(t *testing.T) []string {
	t.Setenv("M3O_TOKEN", "very-secret")
	return nil
}

func byFile(t *testing.T) []string {
	path, err := filepath.Abs(write(t, "given.token", "very-secret"))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--token-file", path}
}
