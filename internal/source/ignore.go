package source

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// rule is one line of an ignore file.
type rule struct {
	match   *regexp.Regexp // against the path below the ignore file's folder, or against the last segment alone
	negated bool
	dirOnly bool
	whole   bool // against the path
	line    int  // where it stands in its file, from 1
	text    string
}

// ignoreFile is the rules of one folder.
type ignoreFile struct {
	name  string // ".gitignore" or ".m3oignore", as it is reached from the source's top
	dir   string // "." or a path in the source
	below string // where the source lies below the file's folder, if that is above the source
	rules []rule
}

// ignores is the chain of ignore files that speak about a folder, outermost first.
type ignores []ignoreFile

// always holds what is never part of a source: repositories, and the platform's own data folder.
var always = map[string]bool{".git": true, ".m3o": true}

// match says whether the path is ignored. As in git the innermost file that knows the path decides, and in it the last
// line that does. Callers do not ask about paths in folders that are ignored.
func (g ignores) match(name string, isDir bool) bool {
	if always[path.Base(name)] {
		return true
	}
	file, line := g.deciding(name, isDir)
	return file >= 0 && !g[file].rules[line].negated
}

// admit drops the lines by which the folder is ignored.
func (g ignores) admit(name string) {
	for {
		file, line := g.deciding(name, true)
		if file < 0 || g[file].rules[line].negated {
			return
		}
		g[file].rules = slices.Delete(g[file].rules, line, line+1)
	}
}

// deciding finds the line that decides about the path; file is -1 if none knows it.
func (g ignores) deciding(name string, isDir bool) (file, line int) {
	for i := len(g) - 1; i >= 0; i-- {
		below := path.Join(g[i].below, name)
		if g[i].dir != "." {
			below = strings.TrimPrefix(name, g[i].dir+"/")
		}
		for j := len(g[i].rules) - 1; j >= 0; j-- {
			if g[i].rules[j].matches(below, isDir) {
				return i, j
			}
		}
	}
	return -1, -1
}

func (r rule) matches(below string, isDir bool) bool {
	if r.dirOnly && !isDir {
		return false
	}
	if !r.whole {
		below = path.Base(below)
	}
	return r.match.MatchString(inBytes(below))
}

// inBytes makes one character of each byte. Git matches bytes and regular expressions match characters; so both the
// pattern and the name are written as characters that stand for bytes.
func inBytes(s string) string {
	characters := make([]rune, len(s))
	for i := range len(s) {
		characters[i] = rune(s[i])
	}
	return string(characters)
}

func parseIgnore(dir, content string) ignoreFile {
	file := ignoreFile{dir: dir}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(content, "\ufeff")) {
		number++
		text := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if r, ok := parseRule(text); ok {
			r.line, r.text = number, text
			file.rules = append(file.rules, r)
		}
	}
	return file
}

func parseRule(line string) (rule, bool) {
	var r rule
	if strings.HasPrefix(line, "#") {
		return r, false
	}
	line = trimSpaces(line)
	if strings.HasPrefix(line, "!") {
		r.negated, line = true, line[1:]
	}
	if strings.HasSuffix(line, "/") {
		r.dirOnly, line = true, line[:len(line)-1]
	}
	r.whole = strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return r, false
	}
	expression, ok := translate(line)
	if !ok {
		return r, false
	}
	var err error
	r.match, err = regexp.Compile(`(?s)\A` + expression + `\z`)
	return r, err == nil // what is too long for an expression is too long for a path
}

// trimSpaces drops trailing spaces that no backslash keeps.
func trimSpaces(line string) string {
	for strings.HasSuffix(line, " ") {
		before := line[:len(line)-1]
		if (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1 {
			return line
		}
		line = before
	}
	return line
}

// translate turns a pattern into a regular expression. A pattern that can match nothing (an open bracket, a backslash at
// the end) is not ok.
func translate(pattern string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); {
		switch c := pattern[i]; c {
		case '*':
			n := len(pattern[i:]) - len(strings.TrimLeft(pattern[i:], "*"))
			expression, used := stars(pattern, i, n)
			b.WriteString(expression)
			i += used
		case '?':
			b.WriteString(`[^/]`)
			i++
		case '[':
			expression, used := class(pattern[i:])
			if used == 0 {
				return "", false
			}
			b.WriteString(expression)
			i += used
		case '\\':
			if i+1 == len(pattern) {
				return "", false
			}
			b.WriteString(regexp.QuoteMeta(inBytes(pattern[i+1 : i+2])))
			i += 2
		default:
			b.WriteString(regexp.QuoteMeta(inBytes(pattern[i : i+1])))
			i++
		}
	}
	return b.String(), true
}

// stars translates a run of n stars at i: two or more that fill a segment cross folders. Git compares what stands before
// the first wildcard apart from the rest, so that stars there count as the beginning of a segment.
func stars(pattern string, i, n int) (expression string, used int) {
	rest := pattern[i+n:]
	begins := i == strings.IndexAny(pattern, `*?[\`) || pattern[i-1] == '/'
	fills := n > 1 && begins && (rest == "" || rest[0] == '/')
	switch {
	case !fills:
		return `[^/]*`, n
	case rest == "":
		return `.*`, n
	}
	return `(?:.*/)?`, n + 1
}

var posix = map[string]string{
	"alnum": `a-zA-Z0-9`, "alpha": `a-zA-Z`, "blank": ` \t`, "cntrl": `\x00-\x1f\x7f`, "digit": `0-9`, "graph": `!-.0-~`,
	"lower": `a-z`, "print": ` -.0-~`, "punct": `!-.:-@\[-` + "`" + `{-~`, "space": `\s\x0b`, "upper": `A-Z`, "xdigit": `0-9A-Fa-f`,
}

// class translates a bracket expression at the start of s; used is 0 when it never ends.
func class(s string) (expression string, used int) {
	i, negated := 1, false
	if i < len(s) && (s[i] == '!' || s[i] == '^') {
		negated, i = true, i+1
	}
	var set strings.Builder
	for first := true; i < len(s) && (first || s[i] != ']'); first = false {
		if name, n := posixName(s[i:]); n > 0 {
			set.WriteString(name)
			i += n
			continue
		}
		low, n := literal(s[i:])
		i += n
		high := low
		if i+1 < len(s) && s[i] == '-' && s[i+1] != ']' {
			high, n = literal(s[i+1:])
			i += 1 + n
		}
		set.WriteString(span(low, high))
	}
	if i >= len(s) {
		return "", 0
	}
	return bracket(set.String(), negated), i + 1
}

func bracket(set string, negated bool) string {
	switch {
	case negated:
		return `[^/` + set + `]`
	case set == "":
		return `[^\x00-\x{10FFFF}]` // nothing
	}
	return `[` + set + `]`
}

func posixName(s string) (set string, used int) {
	if !strings.HasPrefix(s, "[:") {
		return "", 0
	}
	end := strings.Index(s, ":]")
	if end < 0 {
		return "", 0
	}
	return posix[s[2:end]], end + 2
}

func literal(s string) (c byte, used int) {
	if s[0] == '\\' && len(s) > 1 {
		return s[1], 2
	}
	return s[0], 1
}

// span is the characters from low to high without the slash, which no bracket matches. As in git a span that runs
// backwards still holds its first character.
func span(low, high byte) string {
	high = max(low, high)
	switch {
	case low == '/' && high == '/':
		return ""
	case low == '/':
		return span('/'+1, high)
	case low < '/' && '/' <= high:
		return span(low, '/'-1) + span('/', high)
	}
	return fmt.Sprintf(`\x%02x-\x%02x`, low, high)
}
