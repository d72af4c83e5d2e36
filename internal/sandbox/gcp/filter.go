package gcp

import (
	"fmt"
	"regexp"
	"strings"
)

// A filter of compute's lists, as far as it is used: comparisons, one after the other or joined by AND, each in parentheses or not.
//
//	name eq m3o-.*          a whole match of a regular expression (also ne)
//	name = "x", name != x   equality; "*" at the ends is a wildcard
//	labels.team:x           has; labels.team:* means that there is one

type comparison struct {
	field, operator, value string
	pattern                *regexp.Regexp
}

type filter []comparison

// parseFilter reads a filter. An empty one fits everything.
func parseFilter(text string) (filter, error) {
	if len(text) > maxFilter {
		return nil, invalidField("filter", text[:20]+"...", "A filter has at most %d characters.", maxFilter)
	}
	var f filter
	rest := strings.TrimSpace(text)
	for rest != "" {
		c, after, err := parseComparison(rest)
		if err != nil {
			return nil, invalidField("filter", text, "Invalid list filter expression: %v.", err)
		}
		f = append(f, c)
		rest = strings.TrimSpace(after)
		if joined, is := strings.CutPrefix(rest, "AND "); is {
			if rest = strings.TrimSpace(joined); rest == "" {
				return nil, invalidField("filter", text, "Invalid list filter expression: nothing follows AND.")
			}
		}
	}
	return f, nil
}

var comparisonStart = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_.-]*)\s*(!=|=|:|\seq\s|\sne\s)\s*`)

func parseComparison(text string) (comparison, string, error) {
	open := strings.HasPrefix(text, "(")
	if open {
		text = strings.TrimSpace(text[1:])
	}
	m := comparisonStart.FindStringSubmatch(text)
	if m == nil {
		return comparison{}, "", fmt.Errorf("%q is no comparison", text)
	}
	c := comparison{field: m[1], operator: strings.TrimSpace(m[2])}
	rest := text[len(m[0]):]
	var err error
	if c.value, rest, err = parseValue(rest, open); err != nil {
		return c, "", err
	}
	if open {
		rest = strings.TrimSpace(rest)
		if !strings.HasPrefix(rest, ")") {
			return c, "", fmt.Errorf("a parenthesis is not closed")
		}
		rest = rest[1:]
	}
	return c, rest, c.compile()
}

// parseValue reads a quoted or a bare value.
func parseValue(text string, inside bool) (value, rest string, err error) {
	if quote := text; quote != "" && (quote[0] == '"' || quote[0] == '\'') {
		end := strings.IndexByte(text[1:], text[0])
		if end < 0 {
			return "", "", fmt.Errorf("a quotation is not closed")
		}
		return text[1 : 1+end], text[end+2:], nil
	}
	stops := " \t"
	if inside {
		stops += ")"
	}
	end := strings.IndexAny(text, stops)
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		return "", "", fmt.Errorf("a value is missing")
	}
	return text[:end], text[end:], nil
}

func (c *comparison) compile() (err error) {
	switch c.operator {
	case "eq", "ne":
		c.pattern, err = regexp.Compile("^(?:" + c.value + ")$")
	default:
		quoted := regexp.QuoteMeta(c.value)
		if c.operator == ":" || strings.HasPrefix(c.value, "*") || strings.HasSuffix(c.value, "*") {
			quoted = strings.ReplaceAll(quoted, `\*`, ".*")
		}
		c.pattern, err = regexp.Compile("(?s)^(?:" + quoted + ")$")
	}
	return err
}

// fits says whether a document passes all comparisons.
func (f filter) fits(doc document) bool {
	for _, c := range f {
		if !c.fits(doc) {
			return false
		}
	}
	return true
}

func (c comparison) fits(doc document) bool {
	value, there := field(doc, c.field)
	switch c.operator {
	case "ne", "!=":
		return !there || !c.pattern.MatchString(value)
	}
	return there && c.pattern.MatchString(value)
}

// field finds a field by its path ("labels.team").
func field(doc document, path string) (string, bool) {
	head, rest, deeper := strings.Cut(path, ".")
	value, there := doc[head]
	if !there {
		return "", false
	}
	if deeper {
		inner, isMap := value.(map[string]any)
		if !isMap {
			return "", false
		}
		return field(inner, rest)
	}
	switch v := value.(type) {
	case string:
		return v, true
	case bool, float64:
		return fmt.Sprint(v), true
	}
	return "", false
}
