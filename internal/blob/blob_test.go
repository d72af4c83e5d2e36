package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// A test binary started with this first argument appends to a log until it is killed.
const appendArg = "append-until-killed"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == appendArg {
		appendForever(os.Args[2])
	}
	os.Exit(m.Run())
}

func appendForever(dir string) {
	f, err := OpenFolder(dir, Limits{})
	must(err)
	log, err := f.Append(context.Background(), "builds/a.log")
	must(err)
	for i := 0; ; i++ {
		_, err := fmt.Fprintf(log, "line %d\n", i)
		must(err)
		fmt.Println(i) // tells the parent that line i is written
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func folder(t *testing.T, limits Limits) *Folder {
	t.Helper()
	f, err := OpenFolder(t.TempDir(), limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func put(t *testing.T, s Store, name, content string) {
	t.Helper()
	if _, err := s.Put(t.Context(), name, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s Store, name string, offset, length int64) string {
	t.Helper()
	r, err := s.Get(t.Context(), name, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPutReplacesAndGetReadsRanges(t *testing.T) {
	f := folder(t, Limits{})
	put(t, f, "sources/a", "first")
	put(t, f, "sources/a", "0123456789")
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "0123456789"}, {3, 4, "3456"}, {8, 100, "89"}, {10, -1, ""}, {50, -1, ""}, {0, 0, ""}} {
		if got := get(t, f, "sources/a", c.offset, c.length); got != c.want {
			t.Errorf("Get(%d, %d) = %q, want %q", c.offset, c.length, got, c.want)
		}
	}
	if err := f.Delete(t.Context(), "sources/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stat(t.Context(), "sources/a"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Stat after Delete = %v, want not found", err)
	}
	if err := f.Delete(t.Context(), "sources/a"); err != nil {
		t.Errorf("second Delete = %v, want nil", err)
	}
}

func TestAFailedPutKeepsTheFormerContent(t *testing.T) {
	f := folder(t, Limits{Blob: 10})
	put(t, f, "a", "former")
	broken := io.MultiReader(strings.NewReader("new"), iotest.ErrReader(errors.New("line dropped")))
	if _, err := f.Put(t.Context(), "a", broken); err == nil || !strings.Contains(err.Error(), "line dropped") {
		t.Errorf("Put of a broken reader = %v", err)
	}
	if _, err := f.Put(t.Context(), "a", strings.NewReader("12345678901")); !fault.Is(err, fault.Invalid) {
		t.Errorf("Put of 11 bytes with a limit of 10 = %v, want invalid", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Put(ended, "a", strings.NewReader("late")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with an ended context = %v", err)
	}
	if got := get(t, f, "a", 0, -1); got != "former" {
		t.Errorf("content = %q, want the former", got)
	}
	files, _ := filepath.Glob(filepath.Join(f.root.Name(), "*"))
	if len(files) != 1 {
		t.Errorf("left behind: %q", files)
	}
}

func TestTheTotalIsLimited(t *testing.T) {
	f := folder(t, Limits{Total: 10})
	put(t, f, "a", "123456")
	if _, err := f.Put(t.Context(), "b", strings.NewReader("12345")); !fault.Is(err, fault.Full) {
		t.Errorf("Put over the total = %v, want full", err)
	}
	if err := f.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	put(t, f, "b", "12345")
	again, err := OpenFolder(f.root.Name(), Limits{Total: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Put(t.Context(), "c", strings.NewReader("123456")); !fault.Is(err, fault.Full) {
		t.Errorf("Put over the total after a restart = %v, want full", err)
	}
}

func TestOldBlobsThatAreNotKeptAreCollected(t *testing.T) {
	f := folder(t, Limits{Total: 10})
	for _, name := range []string{"sources/old", "sources/kept", "builds/old"} {
		put(t, f, name, "123")
		old := time.Now().Add(-48 * time.Hour)
		must(os.Chtimes(filepath.Join(f.root.Name(), name), old, old))
	}
	put(t, f, "sources/new", "1")
	freed, err := f.Collect(t.Context(), "sources", time.Now().Add(-24*time.Hour), func(name string) bool { return name == "sources/kept" })
	if err != nil || freed != 3 {
		t.Errorf("Collect = %d, %v", freed, err)
	}
	for name, there := range map[string]bool{"sources/old": false, "sources/kept": true, "sources/new": true, "builds/old": true} {
		if _, err := f.Stat(t.Context(), name); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	put(t, f, "sources/more", "123")
	if _, err := f.Collect(t.Context(), "none", time.Now(), nil); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}

func TestNamesThatEscapeAreRefused(t *testing.T) {
	f := folder(t, Limits{})
	for _, name := range []string{"", "/", "/etc/passwd", "..", "a/../../b", "a//b", "a/", "./a", "a/.b", "a b", "a~open", "a\x00b",
		"a\\b", "ä", strings.Repeat("a", 200), strings.Repeat("a/", 20) + "a"} {
		_, put := f.Put(t.Context(), name, strings.NewReader("x"))
		_, get := f.Get(t.Context(), name, 0, -1)
		_, stat := f.Stat(t.Context(), name)
		_, log := f.Append(t.Context(), name)
		for i, err := range []error{put, get, stat, log, f.Delete(t.Context(), name)} {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("call %d with name %q = %v, want invalid", i, name, err)
			}
		}
	}
}

func TestALogIsFollowedWhileItGrows(t *testing.T) {
	f := folder(t, Limits{})
	log, err := f.Append(t.Context(), "a.log")
	must(err)
	fmt.Fprintln(log, "one")
	seen, done := &syncBuffer{}, make(chan error, 1)
	go func() {
		_, err := Follow(context.Background(), f, "a.log", 0, seen)
		done <- err
	}()
	waitFor(t, seen, "one\n")
	fmt.Fprintln(log, "two")
	waitFor(t, seen, "one\ntwo\n")
	select {
	case err := <-done:
		t.Fatalf("Follow ended before the log was closed: %v", err)
	case <-time.After(3 * followPause):
	}
	fmt.Fprintln(log, "three")
	must(log.Close())
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := seen.String(); got != "one\ntwo\nthree\n" {
		t.Errorf("followed %q", got)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	f := folder(t, Limits{})
	log, err := f.Append(t.Context(), "a.log")
	must(err)
	fmt.Fprint(log, "12345")
	ctx, cancel := context.WithTimeout(t.Context(), 2*followPause)
	defer cancel()
	offset, err := Follow(ctx, f, "a.log", 2, io.Discard)
	if !errors.Is(err, context.DeadlineExceeded) || offset != 5 {
		t.Errorf("Follow = %d, %v; want 5 and the deadline", offset, err)
	}
	if _, err := Follow(t.Context(), f, "none", 0, io.Discard); !fault.Is(err, fault.NotFound) {
		t.Errorf("Follow of nothing = %v", err)
	}
}

func TestALogIsCutAtItsLimit(t *testing.T) {
	f := folder(t, Limits{Log: 10})
	log, err := f.Append(t.Context(), "a.log")
	must(err)
	for range 5 {
		if n, err := log.Write([]byte("1234")); n != 4 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	must(log.Close())
	got := get(t, f, "a.log", 0, -1)
	if !strings.HasPrefix(got, "1234123412\n--- the log is cut here") || strings.Count(got, "cut here") != 1 {
		t.Errorf("log = %q", got)
	}
}

func TestManyWritersOfOneLogKeepTheirLines(t *testing.T) {
	f := folder(t, Limits{})
	log, err := f.Append(t.Context(), "a.log")
	must(err)
	var wg sync.WaitGroup
	line := strings.Repeat("x", 100) + "\n"
	for range 8 {
		wg.Go(func() {
			for range 100 {
				io.WriteString(log, line)
			}
		})
	}
	wg.Wait()
	must(log.Close())
	if got := get(t, f, "a.log", 0, -1); got != strings.Repeat(line, 800) {
		t.Errorf("%d bytes are not 800 whole lines", len(got))
	}
}

func TestALogSurvivesAKilledWriter(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], appendArg, dir)
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	last := readLines(t, out, 500)
	must(cmd.Process.Kill())
	cmd.Wait()

	f, err := OpenFolder(dir, Limits{})
	must(err)
	defer f.Close()
	info, err := f.Stat(t.Context(), "builds/a.log")
	if err != nil || !info.Open {
		t.Fatalf("Stat = %+v, %v; want an open log", info, err)
	}
	if got := get(t, f, "builds/a.log", 0, -1); !strings.Contains(got, "\nline "+last+"\n") {
		t.Errorf("line %s was told to be written and is gone", last)
	}
	log, err := f.Append(t.Context(), "builds/a.log")
	must(err)
	fmt.Fprintln(log, "second attempt")
	must(log.Close())
	var all bytes.Buffer
	if _, err := Follow(t.Context(), f, "builds/a.log", 0, &all); err != nil {
		t.Fatal(err)
	}
	if got := all.String(); !strings.Contains(got, "--- started again at ") || !strings.HasSuffix(got, "---\nsecond attempt\n") {
		t.Errorf("the log ends in %q", got[max(0, len(got)-80):])
	}
}

// readLines reads n lines and returns the last.
func readLines(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	last := ""
	for range n {
		if _, err := fmt.Fscanln(r, &last); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

func TestOldTemporaryFilesAreSweptAndNewOnesAreNot(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, "a"+tempMark+"1"), filepath.Join(dir, "a"+tempMark+"2")
	must(os.WriteFile(old, []byte("x"), 0o600))
	must(os.WriteFile(young, []byte("x"), 0o600))
	must(os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)))
	f, err := OpenFolder(dir, Limits{})
	must(err)
	defer f.Close()
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young one: %v", err)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func waitFor(t *testing.T, b *syncBuffer, want string) {
	t.Helper()
	for range 100 {
		if b.String() == want {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("got %q, want %q", b.String(), want)
}
