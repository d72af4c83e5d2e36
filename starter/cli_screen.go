package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// What services, builds, regions and the API itself tell is foreign text. On a terminal it could move the cursor, paint over what we
// said, or order itself so that it reads as something else. All of it goes through a screen, or through one of the functions below.

// commands reports whether a rune does something to a terminal or to the order of the text around it rather than stand for
// itself: control characters, those of the C1 set among them, and the embeddings, overrides and isolates of bidirectional text.
func commands(r rune) bool {
	return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// printable is a text without what commands a terminal. Its lines and tabs stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if commands(r) && r != '\t' && r != '\n' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// oneLine is a printable text on one line, for tables.
func oneLine(s string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(printable(s))
}

// plainJSON writes what commands a terminal inside strings of a JSON text as escapes: the text means the same, and can be looked
// at. Outside of strings JSON has nothing of the kind but line breaks and tabs.
func plainJSON(data []byte) []byte {
	if bytes.IndexFunc(data, func(r rune) bool { return r != '\n' && (commands(r) || r == utf8.RuneError) }) < 0 {
		return data
	}
	var out bytes.Buffer
	for _, r := range string(data) {
		if commands(r) && r != '\n' && r != '\t' && r != '\r' {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.Bytes()
}

// screen passes what is printable on to a stream. It knows runes whose bytes come in several writes.
type screen struct {
	stream io.Writer
	mu     sync.Mutex
	rest   []byte
}

// messages is the stream for what is said to people: always a screen.
func messages(stream io.Writer) io.Writer {
	if s, ok := stream.(*screen); ok {
		return s
	}
	return &screen{stream: stream}
}

// answers is the stream for what was asked for: a screen where it is a terminal, and untouched where a program reads it.
func answers(stream io.Writer) io.Writer {
	if !onTerminal(stream) {
		return stream
	}
	return messages(stream)
}

// behind is the stream itself, for those who ask what it is, or draw.
func behind(stream any) any {
	for {
		switch s := stream.(type) {
		case *screen:
			stream = s.stream
		case *noticed:
			stream = s.stream
		default:
			return stream
		}
	}
}

// Write implements io.Writer. All of p is taken, unless the stream fails.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.rest, p...)
	whole := len(text) - unfinished(text)
	s.rest = append([]byte{}, text[whole:]...)
	if _, err := io.WriteString(s.stream, printable(string(text[:whole]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// unfinished is how many bytes at the end begin a rune that is not over.
func unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if b := p[len(p)-n]; utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRune(p[len(p)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
