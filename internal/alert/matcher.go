package alert

import (
	"fmt"
	"regexp"
	"strings"
)

// operators of matchers; the longer ones first.
var operators = []string{"=~", "!~", "!=", "="}

// ParseMatcher reads a matcher as Matcher.String writes it.
func ParseMatcher(text string) (Matcher, error) {
	at := strings.IndexAny(text, "=!")
	if at < 0 {
		return Matcher{}, fmt.Errorf("%.80q is no matcher such as severity=critical", text)
	}
	for _, op := range operators {
		value, found := strings.CutPrefix(text[at:], op)
		if !found {
			continue
		}
		m := Matcher{Name: strings.TrimSpace(text[:at]), Op: op, Value: strings.Trim(strings.TrimSpace(value), `"`)}
		if m.Name == "" {
			return Matcher{}, fmt.Errorf("%.80q names no label", text)
		}
		if _, err := m.expression(); err != nil {
			return Matcher{}, fmt.Errorf("%.80q: %w", text, err)
		}
		return m, nil
	}
	return Matcher{}, fmt.Errorf("%.80q is no matcher such as severity=critical", text)
}

func (m Matcher) expression() (*regexp.Regexp, error) {
	if m.Op != "=~" && m.Op != "!~" {
		return nil, nil
	}
	return regexp.Compile("^(?:" + m.Value + ")$")
}

func (m Matcher) String() string { return m.Name + m.Op + m.Value }

// MarshalText implements encoding.TextMarshaler.
func (m Matcher) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Matcher) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMatcher(string(text))
	return err
}

// Matches reports whether the labels are as the matcher wants them.
func (m Matcher) Matches(labels map[string]string) bool {
	value := labels[m.Name]
	switch m.Op {
	case "=":
		return value == m.Value
	case "!=":
		return value != m.Value
	}
	e, err := m.expression()
	return err == nil && e.MatchString(value) == (m.Op == "=~")
}

// MatchesAll reports whether the labels are as all matchers want them.
func MatchesAll(all []Matcher, labels map[string]string) bool {
	for _, m := range all {
		if !m.Matches(labels) {
			return false
		}
	}
	return true
}
