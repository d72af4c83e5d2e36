package channel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/m3o/platform/internal/alert"
)

// Line is text of strangers on one line of at most so many characters: without control characters, line breaks, and marks that turn the
// direction of writing.
func Line(text string, most int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar, !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return Cut(strings.Join(strings.Fields(clean), " "), most)
}

// Cut shortens text to so many characters, the last of which says that there was more.
func Cut(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return strings.TrimRight(string(runes[:max(0, most-1)]), " ") + "…"
}

// Most characters of a title and of a line of a page, in channels that have room.
const (
	MaxTitle = 200
	MaxLine  = 300
)

// Headline is a page in one line: what happened to which alert. That it is a drill comes first.
func Headline(p alert.Page) string {
	title := Line(p.Content.Title, MaxTitle)
	switch p.Kind {
	case alert.PageTrigger, alert.PageUpdate:
		severity := strings.ToUpper(string(p.Content.Severity))
		return drilled(p, strings.TrimSpace(fmt.Sprintf("%s #%d: %s", severity, p.Alert, title)))
	case alert.PageAcknowledged:
		return drilled(p, fmt.Sprintf("#%d %s%s: %s", p.Alert, "acknowledged", by(p), title))
	case alert.PageResolved:
		what := "resolved"
		if p.Content.Status == alert.Closed {
			what = "closed"
		}
		return drilled(p, fmt.Sprintf("#%d %s%s: %s", p.Alert, what, by(p), title))
	}
	return drilled(p, title)
}

func by(p alert.Page) string {
	if p.Content.By == "" {
		return ""
	}
	return " by " + Line(p.Content.By, 80)
}

func drilled(p alert.Page, text string) string {
	if p.Content.Drill {
		return "DRILL: " + text
	}
	return text
}

// Lines are what a page lists, each on one line, with how many it leaves out.
func Lines(p alert.Page) []string {
	var lines []string
	for _, line := range p.Content.Lines[:min(len(p.Content.Lines), alert.MaxLines)] {
		lines = append(lines, Line(line, MaxLine))
	}
	if more := p.Content.More + len(p.Content.Lines) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

// Labels are a page's labels as name=value, in order.
func Labels(p alert.Page) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.Content.Labels)) {
		all = append(all, Line(name, 80)+"="+Line(p.Content.Labels[name], 120))
	}
	return all
}
