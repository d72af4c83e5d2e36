package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// terminalSize is how many columns and lines a terminal has.
var terminalSize = func(stream any) (columns, lines int) {
	if f, ok := behind(stream).(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

// narrow is below how many columns stages have none of their own.
const narrow = 60

// redraw replaces what is on the terminal, in one piece, with text above the table.
func (b *board) redraw(above string) {
	columns, lines := b.size()
	var frame strings.Builder
	if up := b.height(columns); up > 0 {
		fmt.Fprintf(&frame, "\x1b[%dA\x1b[J", up)
	}
	for line := range strings.Lines(above) {
		fmt.Fprintln(&frame, printable(strings.TrimRight(line, "\r\n")))
	}
	b.drawn = b.drawn[:0]
	for _, line := range b.table(columns, lines-1) {
		line = fit(line, columns-1)
		b.drawn = append(b.drawn, columnsOf(line))
		fmt.Fprintln(&frame, line)
	}
	_, _ = io.WriteString(b.out, frame.String()) // a terminal that is gone
}

// height is how many lines what was drawn takes now: a terminal that became narrower has wrapped it.
func (b *board) height(columns int) int {
	n := 0
	for _, line := range b.drawn {
		n += max(1, (line+columns-1)/max(1, columns))
	}
	return n
}

// table is the board as lines, at most so many.
func (b *board) table(columns, most int) []string {
	var head, foot []string
	rows := b.rows
	if i := slices.IndexFunc(rows, func(r boardRow) bool { return r.title }); i >= 0 {
		head = append(head, b.line(rows[i]))
		rows = slices.Delete(slices.Clone(rows), i, i+1)
	}
	if last := b.log.last; last != "" && !b.log.shown && b.builds() {
		foot = append(foot, "  "+oneLine(last))
	}
	var body []string
	wide := len(b.stages) > 0 && columns >= narrow
	if wide && len(rows) > 0 {
		most--
	}
	shown, rest := b.chosen(rows, most-len(head)-len(foot))
	if wide {
		body = b.grid(shown)
	} else {
		for _, r := range shown {
			body = append(body, b.line(r))
		}
	}
	if rest != "" {
		body = append(body, rest)
	}
	return slices.Concat(head, body, foot)
}

// chosen are the rows that there is room for, those that are not done first, and what is left out in words.
func (b *board) chosen(rows []boardRow, room int) (shown []boardRow, rest string) {
	if len(rows) <= max(1, room) {
		return rows, ""
	}
	open := slices.Clone(rows)
	slices.SortStableFunc(open, func(x, y boardRow) int { return cmp.Compare(rank(x), rank(y)) })
	cut := max(1, room-1)
	left := map[string]int{}
	for _, r := range open[cut:] {
		left[r.status]++
	}
	var words []string
	for _, status := range sortedKeys(left) {
		words = append(words, fmt.Sprintf("%d %s", left[status], status))
	}
	return open[:cut], fmt.Sprintf("… and %d more: %s", len(rows)-cut, strings.Join(words, ", "))
}

func rank(r boardRow) int {
	if r.done {
		return 1
	}
	return 0
}

func sortedKeys(counts map[string]int) []string {
	keys := make([]string, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// grid is a line for each row with a column for each stage.
func (b *board) grid(rows []boardRow) []string {
	if len(rows) == 0 {
		return nil
	}
	lines := [][]string{append(append([]string{"REGION"}, upper(b.stages)...), "STATUS")}
	for _, r := range rows {
		line := []string{oneLine(r.name)}
		for stage := range b.stages {
			line = append(line, b.cell(r, stage))
		}
		lines = append(lines, append(line, b.status(r)))
	}
	return align(lines)
}

// status is what the stages' columns do not say of a row.
func (b *board) status(r boardRow) string {
	detail := oneLine(cmp.Or(r.detail, r.seen))
	switch {
	case r.at > 0 && r.at <= len(b.stages):
		return detail
	case detail == "":
		return oneLine(r.status)
	}
	return oneLine(r.status) + ": " + detail
}

// builds reports whether nothing has come further than its first stage.
func (b *board) builds() bool {
	return !slices.ContainsFunc(b.rows, func(r boardRow) bool { return b.marks[r.name].at > 1 || r.done })
}

// cell is how long a row took for a stage; with an ellipsis where it is at it still.
func (b *board) cell(r boardRow, stage int) string {
	m := b.marks[r.name]
	switch {
	case m == nil || m.at < stage+1:
		return "-"
	case m.from[stage].IsZero():
		return "done" // between two looks
	case m.at == stage+1 && m.stopped:
		return "stopped"
	case m.at == stage+1:
		return age(b.now().Sub(m.from[stage])) + "…"
	}
	end := time.Time{}
	for _, next := range m.from[stage+1:] {
		if end.IsZero() {
			end = next
		}
	}
	return age(end.Sub(m.from[stage]))
}

func upper(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToUpper(w)
	}
	return out
}

// align pads the cells of each column but the last.
func align(lines [][]string) []string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], columnsOf(cell))
		}
	}
	out := make([]string, len(lines))
	for n, line := range lines {
		var text strings.Builder
		for i, cell := range line[:len(line)-1] {
			text.WriteString(cell + strings.Repeat(" ", widths[i]-columnsOf(cell)+2))
		}
		out[n] = strings.TrimRight(text.String()+line[len(line)-1], " ")
	}
	return out
}

// columnsOf is how many columns of a terminal a text takes.
func columnsOf(text string) int {
	n := 0
	for _, r := range text {
		n += columnsOfRune(r)
	}
	return n
}

func columnsOfRune(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts a line to so many columns.
func fit(line string, columns int) string {
	if columnsOf(line) <= columns {
		return line
	}
	n := 0
	for i, r := range line {
		if n += columnsOfRune(r); n >= max(1, columns) {
			return line[:i] + "…"
		}
	}
	return line
}
