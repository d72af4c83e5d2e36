package intake

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// Limits beside those of package alert.
const (
	MaxSignals    = 1000    // of a request
	MaxLabelBytes = 8 << 10 // of all labels of a signal: names and values
	maxURL        = 2048
)

// line is text on one line, without control characters and what turns the direction of text.
func line(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return visible(r)
	}, strings.ToValidUTF8(text, "\uFFFD")))
}

// prose is text on several lines.
func prose(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r):
			return ' '
		}
		return visible(r)
	}, text))
}

// visible drops what turns the direction of text: it makes a message look like another.
func visible(r rune) rune {
	if unicode.Is(unicode.Bidi_Control, r) || r == '\uFEFF' {
		return -1
	}
	return r
}

// cut is text of at most so many bytes, with a mark where it was longer.
func cut(text string, most int) string {
	const mark = "…"
	if len(text) <= most {
		return text
	}
	text = text[:most-len(mark)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + mark
}

// link reports whether a URL is one that may be shown: http or https, of a host, without a password.
func link(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && len(text) <= maxURL
}

// tidy cleans a signal, and cuts what is too long: that of another system, whose users cannot change what it sends.
func tidy(s alert.Signal) alert.Signal {
	s.Summary, s.Details, s.DedupKey = cut(line(s.Summary), alert.MaxSummary), cut(prose(s.Details), alert.MaxDetails), cut(line(s.DedupKey), alert.MaxDedupKey)
	if !link(s.URL) {
		s.URL = ""
	}
	kept, size := map[string]string{}, 0
	for _, name := range sortedNames(s.Labels) {
		cleaned, value := cut(line(name), alert.MaxLabel), cut(line(s.Labels[name]), alert.MaxLabel)
		if size += len(cleaned) + len(value); cleaned == "" || len(kept) == alert.MaxLabels || size > MaxLabelBytes {
			continue
		}
		kept[cleaned] = value
	}
	s.Labels = kept
	return s
}

// Check cleans a signal that a person wrote, and says all that is wrong with it.
func Check(s alert.Signal) (alert.Signal, error) {
	var c fault.Checker
	s = check("", s, &c)
	return s, c.Err()
}

// check cleans a signal of our own format, and says what is wrong with it. at is where it is in the body: "events[2].".
func check(at string, s alert.Signal, c *fault.Checker) alert.Signal {
	s.Summary, s.Details, s.DedupKey = line(s.Summary), prose(s.Details), line(s.DedupKey)
	c.Check(s.DedupKey != "", at+"dedup_key", "must be set: it says which signals are of one thing")
	c.Check(len(s.DedupKey) <= alert.MaxDedupKey, at+"dedup_key", "%d bytes are more than %d", len(s.DedupKey), alert.MaxDedupKey)
	c.Check(s.Action != alert.Trigger || s.Summary != "", at+"summary", "must be set: it is what people are told")
	c.Check(len(s.Summary) <= alert.MaxSummary, at+"summary", "%d bytes are more than %d", len(s.Summary), alert.MaxSummary)
	c.Check(len(s.Details) <= alert.MaxDetails, at+"details", "%d bytes are more than %d", len(s.Details), alert.MaxDetails)
	c.Check(s.URL == "" || link(s.URL), at+"url", "%.80q is no http or https URL of a host, of at most %d bytes and without a password", s.URL, maxURL)
	c.Check(len(s.Labels) <= alert.MaxLabels, at+"labels", "%d are more than %d", len(s.Labels), alert.MaxLabels)
	cleaned, size := map[string]string{}, 0
	for _, name := range sortedNames(s.Labels) {
		key, value := line(name), line(s.Labels[name])
		size += len(key) + len(value)
		c.Check(key != "", at+"labels", "one has no name")
		c.Check(len(key) <= alert.MaxLabel && len(value) <= alert.MaxLabel, at+"labels", "%.40q: a name and a value have at most %d bytes each", key, alert.MaxLabel)
		cleaned[key] = value
	}
	c.Check(size <= MaxLabelBytes, at+"labels", "%d bytes are more than %d", size, MaxLabelBytes)
	s.Labels = cleaned
	return s
}
