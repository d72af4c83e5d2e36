package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

// onTerminal reports whether a stream is a terminal.
var onTerminal = func(stream any) bool {
	f, ok := behind(stream).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printJSON writes one JSON value.
func printJSON(w io.Writer, value any) error { return encodeJSON(w, value, "  ") }

// printJSONLine writes one JSON value on a line of its own, for streams.
func printJSONLine(w io.Writer, value any) error { return encodeJSON(w, value, "") }

func encodeJSON(w io.Writer, value any, indent string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(plainJSON(text.Bytes()))
	return err
}

// table prints rows under a heading, in columns.
func table(w io.Writer, heading []string, rows [][]string) error {
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	if len(heading) > 0 {
		fmt.Fprintln(columns, strings.ToUpper(strings.Join(heading, "\t")))
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = oneLine(cell)
		}
		fmt.Fprintln(columns, strings.Join(cells, "\t"))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ago says how long something is past.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(time.Since(t)) + " ago"
}

// age writes a duration in one unit, or two for minutes.
func age(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// confirm asks before something is changed or lost. Where nobody can be asked, --yes must have said it.
func (s *session) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	in := s.cmd.InOrStdin()
	if !onTerminal(in) {
		return misuse("nobody can be asked here: say --yes")
	}
	fmt.Fprintf(s.err, "%s Type yes: ", question)
	line, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); (err == nil || answer != "") && (answer == "yes" || answer == "y") {
		return nil
	}
	fmt.Fprintln(s.err, "Nothing is changed.")
	return errShown
}
