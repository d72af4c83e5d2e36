package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// boardAt is a board whose clock the test moves.
func boardAt(out io.Writer, live bool) (*board, func(time.Duration)) {
	b := newBoard(out)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.live, b.wide, b.now = live, 40, func() time.Time { return at }
	return b, func(d time.Duration) { at = at.Add(d) }
}

func TestWithoutATerminalEveryChangeIsALine(t *testing.T) {
	var out strings.Builder
	b, pass := boardAt(&out, false)
	b.show([]boardRow{{name: "lon1", status: "creating", detail: "network"}, {name: "nyc3", status: "creating"}})
	pass(time.Second)
	b.show([]boardRow{{name: "lon1", status: "creating", detail: "network"}, {name: "nyc3", status: "creating"}})
	pass(64 * time.Second)
	b.show([]boardRow{{name: "lon1", status: "ready", done: true}, {name: "nyc3", status: "creating"}})
	_, _ = fmt.Fprint(b, "log\nhalf")
	b.close()
	want := "lon1         creating   network  0s\nnyc3         creating  0s\nlon1         ready  1m05s\nlog\nhalf\n"
	if out.String() != want {
		t.Errorf("%q\nnot %q", out.String(), want)
	}
}

func TestOnATerminalLinesAreDrawnInPlace(t *testing.T) {
	var out strings.Builder
	b, pass := boardAt(&out, true)
	rows := []boardRow{{name: "lon1", status: "ready", done: true}, {name: "nyc3", status: "creating", detail: strings.Repeat("x", 60) + "\x1b[2J"}}
	b.show(rows)
	pass(3 * time.Second)
	out.Reset()
	b.show(rows)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[2A\x1b[J") || !strings.Contains(got, "ready  0s") || strings.Contains(got, "\x1b[2J") {
		t.Errorf("%q: two lines up, and what is done stands still", got)
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimPrefix(strings.TrimRight(line, "\n"), "\x1b[2A\x1b[J"))); n >= 40 {
			t.Errorf("a line of %d columns wraps: %q", n, line)
		}
	}
	out.Reset()
	_, _ = fmt.Fprint(b, "compiled\n")
	if got := out.String(); !strings.HasPrefix(got, "\x1b[2A\x1b[Jcompiled\nlon1") || strings.Count(got, "\n") != 3 {
		t.Errorf("%q: the log appears above", got)
	}
	b.close()
	out.Reset()
	b.show(rows)
	if strings.Contains(out.String(), "A\x1b[J") {
		t.Errorf("%q: what was closed is drawn over", out.String())
	}
}

func TestALogLineIsBounded(t *testing.T) {
	var out strings.Builder
	b, _ := boardAt(&out, false)
	for range 3 {
		_, _ = fmt.Fprint(b, strings.Repeat("x", 40<<10))
	}
	if len(b.rest) > 64<<10 || !strings.Contains(out.String(), "x\n") {
		t.Errorf("%d bytes are kept", len(b.rest))
	}
}

func TestTablesStayTables(t *testing.T) {
	var out strings.Builder
	if err := table(&out, []string{"name", "message"}, [][]string{{"a", "two\nlines\tand \x1b[31mred"}, {"longer", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME    MESSAGE\na       two lines and [31mred\nlonger\n"; out.String() != want {
		t.Errorf("%q\nnot %q", out.String(), want)
	}
}

func TestAges(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 90 * time.Minute: "1h", 50 * time.Hour: "2d"} {
		if got := age(d); got != want {
			t.Errorf("%s is %q, not %q", d, got, want)
		}
	}
}
