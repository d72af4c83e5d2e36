package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// board shows how several things come along: on a terminal as lines that are drawn again in place, elsewhere as a line for
// every change. What is written to it (a build's log) appears above.
type board struct {
	mu    sync.Mutex
	out   io.Writer
	live  bool
	wide  int
	rows  []boardRow
	drawn int // lines on the terminal that the next drawing replaces
	said  map[string]string
	begun map[string]time.Time
	ended map[string]time.Time
	rest  []byte // a line of the log that has not ended yet
	now   func() time.Time
}

// boardRow is one thing on the board.
type boardRow struct {
	name, status, detail string
	done                 bool
}

func newBoard(out io.Writer) *board {
	out, _ = behind(out).(io.Writer) // it draws, and cleans what it is given itself
	return &board{out: out, live: onTerminal(out), wide: width(out), said: map[string]string{}, begun: map[string]time.Time{}, ended: map[string]time.Time{}, now: time.Now}
}

// show brings the board up to date.
func (b *board) show(rows []boardRow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range rows {
		if _, known := b.begun[r.name]; !known {
			b.begun[r.name] = b.now()
		}
		if _, known := b.ended[r.name]; r.done && !known {
			b.ended[r.name] = b.now()
		} else if !r.done {
			delete(b.ended, r.name)
		}
	}
	if !b.live {
		b.tell(rows)
		return
	}
	b.erase()
	b.rows = rows
	b.draw()
}

// tell prints what has changed.
func (b *board) tell(rows []boardRow) {
	for _, r := range rows {
		text := r.status + "\x00" + r.detail
		if b.said[r.name] == text {
			continue
		}
		b.said[r.name] = text
		fmt.Fprintln(b.out, b.line(r))
	}
}

func (b *board) line(r boardRow) string {
	text := fmt.Sprintf("%-12s %-10s", oneLine(r.name), oneLine(r.status))
	if r.detail != "" {
		text += " " + oneLine(r.detail)
	}
	until, ended := b.ended[r.name]
	if !ended {
		until = b.now()
	}
	return fmt.Sprintf("%s  %s", strings.TrimRight(text, " "), age(until.Sub(b.begun[r.name])))
}

func (b *board) erase() {
	if b.drawn > 0 {
		fmt.Fprintf(b.out, "\x1b[%dA\x1b[J", b.drawn)
	}
	b.drawn = 0
}

func (b *board) draw() {
	for _, r := range b.rows {
		line := []rune(b.line(r))
		if len(line) >= b.wide {
			line = append(line[:b.wide-2], '…')
		}
		fmt.Fprintln(b.out, string(line))
	}
	b.drawn = len(b.rows)
}

// Write puts whole lines above the board.
func (b *board) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = append(b.rest, p...)
	end := bytes.LastIndexByte(b.rest, '\n')
	if end < 0 && len(b.rest) < 64<<10 {
		return len(p), nil
	}
	if end < 0 {
		b.rest = append(b.rest, '\n')
		end = len(b.rest) - 1
	}
	if b.live {
		b.erase()
	}
	for line := range strings.Lines(string(b.rest[:end+1])) {
		fmt.Fprintln(b.out, printable(strings.TrimRight(line, "\r\n")))
	}
	b.rest = append(b.rest[:0], b.rest[end+1:]...)
	if b.live {
		b.draw()
	}
	return len(p), nil
}

// close leaves the last state of the board where it is.
func (b *board) close() {
	b.mu.Lock()
	unfinished := len(b.rest) > 0
	b.mu.Unlock()
	if unfinished {
		_, _ = b.Write([]byte("\n")) // the board itself never fails
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows, b.drawn = nil, 0
}
