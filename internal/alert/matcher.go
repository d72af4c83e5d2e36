package alert

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/m3o/platform/internal/fault"
)

// operators of matchers; the longer ones first.
var operators = []string{"=~", "!~", "!=", "="}

// labelName is what a label of a matcher or a grouping may be called.
var labelName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]{0,255}$`)

// maxExpression bounds a matcher's value.
const maxExpression = 512

// ParseMatcher reads a matcher as Matcher.String writes it. A value may stand in double quotes, which are no part of it; nothing in them
// is escaped.
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
		m := Matcher{Name: strings.TrimSpace(text[:at]), Op: op, Value: unquoted(strings.TrimSpace(value))}
		return m, m.problem()
	}
	return Matcher{}, fmt.Errorf("%.80q is no matcher such as severity=critical", text)
}

func unquoted(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}

// problem says what is wrong with a matcher.
func (m Matcher) problem() error {
	if !labelName.MatchString(m.Name) {
		return fmt.Errorf("%.80q is no name of a label: letters, digits and _ . / - are, beginning with a letter or _", m.Name)
	}
	if !slices.Contains(operators, m.Op) {
		return fmt.Errorf("%.10q is none of the operators = != =~ !~", m.Op)
	}
	if len(m.Value) > maxExpression {
		return fmt.Errorf("the value has %d bytes; at most %d are allowed", len(m.Value), maxExpression)
	}
	if !utf8.ValidString(m.Value) || strings.ContainsRune(m.Value, 0) {
		return fmt.Errorf("the value %.80q is not text", m.Value)
	}
	if _, err := m.expression(); err != nil {
		return fmt.Errorf("%.80q: %w", m.String(), err)
	}
	return nil
}

func (m Matcher) check(c *fault.Checker, field string) {
	err := m.problem()
	c.Check(err == nil, field, "%v", err)
}

// expressions are those that were compiled before: routes are asked about every signal. They are forgotten when there are many.
var expressions struct {
	sync.Mutex
	compiled map[string]*regexp.Regexp
}

const maxExpressions = 2000

func (m Matcher) expression() (*regexp.Regexp, error) {
	if m.Op != "=~" && m.Op != "!~" {
		return nil, nil
	}
	expressions.Lock()
	defer expressions.Unlock()
	if e, known := expressions.compiled[m.Value]; known {
		return e, nil
	}
	e, err := regexp.Compile("^(?:" + m.Value + ")$")
	if err != nil {
		return nil, err
	}
	if expressions.compiled == nil || len(expressions.compiled) >= maxExpressions {
		expressions.compiled = map[string]*regexp.Regexp{}
	}
	expressions.compiled[m.Value] = e
	return e, nil
}

// String writes the matcher as ParseMatcher reads it: with quotes around a value that would be read as another one without them.
func (m Matcher) String() string {
	value := m.Value
	if strings.TrimSpace(value) != value || unquoted(value) != value || m.Op == "=" && strings.HasPrefix(value, "~") {
		value = `"` + value + `"`
	}
	return m.Name + m.Op + value
}

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
