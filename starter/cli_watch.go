package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// board shows how several things come along: on a terminal as a table that is drawn again in place (cli_table.go), elsewhere as a line
// for every change, with the time since the board began. What is written to it appears above.
type board struct {
	mu      sync.Mutex
	out     io.Writer
	live    bool
	verbose bool     // the log is shown as it comes, on a terminal too
	stages  []string // what the rows go through, in order; nil: that is not shown
	rows    []boardRow
	marks   map[string]*boardMarks
	drawn   []int // columns of the lines on the terminal that the next drawing replaces
	above   lineBuffer
	log     buildLog
	began   time.Time
	now     func() time.Time
	size    func() (columns, lines int)
}

// boardRow is one thing on the board.
type boardRow struct {
	name, status string
	detail       string
	seen         string // what was seen of it last; away from a terminal it is told when it lasts
	title        bool   // it stands for all of them, and heads the table
	quiet        bool   // it is no line of its own away from a terminal
	done         bool
	at           int // the stage that it is at, counted from 1; len(stages)+1 when it is through; 0 where it goes through none
}

// boardMarks are what the board remembers of a row.
type boardMarks struct {
	said     string
	seen     string
	seenFrom time.Time
	ended    time.Time
	at       int         // the stage that it was seen at last
	from     []time.Time // when each stage was seen to begin; the last is the end of them all
	stopped  bool        // it left the stage that it was at for none
}

// lasts is how long something must have been seen before it is a line of its own.
const lasts = 3 * time.Second

func newBoard(out io.Writer) *board {
	out, _ = behind(out).(io.Writer) // it draws, and cleans what it is given itself
	return &board{out: out, live: onTerminal(out), marks: map[string]*boardMarks{}, began: time.Now(), now: time.Now,
		size: func() (int, int) { return terminalSize(out) }}
}

// show brings the board up to date.
func (b *board) show(rows []boardRow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range rows {
		b.mark(r)
	}
	if !b.live {
		b.tell(rows)
		return
	}
	b.rows = rows
	b.redraw("")
}

// mark notes since when a row is what it is.
func (b *board) mark(r boardRow) {
	m := b.marks[r.name]
	if m == nil {
		m = &boardMarks{from: make([]time.Time, len(b.stages)+1)}
		b.marks[r.name] = m
	}
	switch {
	case !r.done:
		m.ended = time.Time{}
	case m.ended.IsZero():
		m.ended = b.now()
	}
	if m.seen != r.seen {
		m.seen, m.seenFrom = r.seen, b.now()
	}
	if m.stopped = r.at == 0; !m.stopped && r.at > m.at {
		m.at, m.from[r.at-1] = r.at, b.now()
	}
}

// tell prints what has changed.
func (b *board) tell(rows []boardRow) {
	for _, r := range rows {
		m := b.marks[r.name]
		if r.quiet {
			continue
		}
		if r.detail == "" && b.now().Sub(m.seenFrom) >= lasts {
			r.detail = r.seen
		}
		r.seen = ""
		text := r.status + "\x00" + r.detail
		if m.said == text || r.detail == "" && strings.HasPrefix(m.said, text) {
			continue
		}
		m.said = text
		fmt.Fprintln(b.out, b.line(r))
	}
}

// line is a row in words.
func (b *board) line(r boardRow) string {
	text := fmt.Sprintf("%-12s %-10s", oneLine(r.name), oneLine(r.status))
	if detail := cmp.Or(r.detail, r.seen); detail != "" {
		text += " " + oneLine(detail)
	}
	return fmt.Sprintf("%s  %s", strings.TrimRight(text, " "), b.age(r))
}

// age is how long a row took, or has taken until now.
func (b *board) age(r boardRow) string {
	until := b.now()
	if m := b.marks[r.name]; m != nil && !m.ended.IsZero() {
		until = m.ended
	}
	return age(until.Sub(b.began))
}

// elapsed is how long ago the board began.
func (b *board) elapsed() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Sub(b.began)
}

// Write puts whole lines above the board.
func (b *board) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.print(b.above.take(p))
	return len(p), nil
}

func (b *board) print(text string) {
	switch {
	case text == "":
	case b.live:
		b.redraw(text)
	default:
		b.writeLines(text)
	}
}

func (b *board) writeLines(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(b.out, printable(strings.TrimRight(line, "\r\n")))
	}
}

// close leaves the last state of the board where it is.
func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.print(b.log.flush(!b.live || b.verbose))
	b.print(b.above.flush())
	b.rows, b.drawn = nil, nil
}

// logWriter takes the log of a build. On a terminal its last line stands below the table, and all of it is kept.
func (b *board) logWriter() io.Writer { return logWriter{b} }

type logWriter struct{ b *board }

func (w logWriter) Write(p []byte) (int, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	text := w.b.log.take(p)
	if !w.b.live || w.b.verbose {
		w.b.log.shown = true
		w.b.print(text)
		return len(p), nil
	}
	if text != "" {
		w.b.redraw("")
	}
	return len(p), nil
}

// showLog prints the whole log above the board, unless it was printed as it came.
func (b *board) showLog() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.log.shown {
		return
	}
	b.log.shown = true
	b.log.flush(false)
	b.print(b.log.text())
}

// hasShown reports whether the log that was printed holds every line of the text.
func (b *board) hasShown(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.shown && b.log.holds(text)
}

// lineBuffer keeps the beginning of a line until the line is whole, or very long.
type lineBuffer struct{ rest []byte }

const longestLine = 64 << 10

// take returns the lines that have become whole.
func (l *lineBuffer) take(p []byte) string {
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if end == 0 && len(l.rest) >= longestLine {
		l.rest = append(l.rest, '\n')
		end = len(l.rest)
	}
	text := string(l.rest[:end])
	l.rest = append(l.rest[:0], l.rest[end:]...)
	return text
}

// flush returns what is left as a line.
func (l *lineBuffer) flush() string {
	if len(l.rest) == 0 {
		return ""
	}
	return l.take([]byte{'\n'})
}

// buildLog is what is known of a build's log: its last line, and the end of it.
type buildLog struct {
	lineBuffer
	shown bool   // it was printed
	last  string // its last line that says something
	lines []string
	bytes int
}

// maxLog is how much of a log is kept.
const maxLog = 1 << 20

func (l *buildLog) take(p []byte) string {
	text := l.lineBuffer.take(p)
	l.keep(text)
	return text
}

// flush keeps a line that did not end, and returns it if it is to be printed.
func (l *buildLog) flush(print bool) string {
	text := l.lineBuffer.flush()
	l.keep(text)
	if !print {
		return ""
	}
	return text
}

func (l *buildLog) keep(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) != "" {
			l.last = line
		}
		l.lines = append(l.lines, line)
		l.bytes += len(line) + 1
	}
	for l.bytes > maxLog && len(l.lines) > 1 {
		l.bytes -= len(l.lines[0]) + 1
		l.lines = l.lines[1:]
	}
}

func (l *buildLog) text() string {
	if len(l.lines) == 0 {
		return ""
	}
	return strings.Join(l.lines, "\n") + "\n"
}

func (l *buildLog) holds(text string) bool {
	known := map[string]bool{}
	for _, line := range l.lines {
		known[strings.TrimSpace(line)] = true
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !known[line] {
			return false
		}
	}
	return true
}
