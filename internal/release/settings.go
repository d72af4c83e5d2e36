package release

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/fault"
)

// settings are what a release keeps of the one that it follows: how it runs, and how its source is built.
type settings struct {
	Spec
	Package string
	Build   Build
}

func (r Request) settings() settings { return settings{r.Spec, r.Origin.Package, r.Origin.Build} }
func (r Release) settings() settings { return settings{r.Spec, r.Origin.Package, r.Origin.Build} }

// setting is one of them under the name that users know it by.
type setting struct {
	name  string
	group string                                     // "env" of "env.LEVEL"
	named func(of *settings) bool                    // whether it has a value at all
	text  func(of *settings) (value string, ok bool) // for people; not ok: it is at its default
	take  func(to, from *settings)
}

// value makes a setting of a single value. Its text is "" at its default.
func value[T comparable](name string, at func(*settings) *T, text func(T) string) setting {
	return setting{name: name,
		named: func(of *settings) bool { return *at(of) != *new(T) },
		text:  func(of *settings) (string, bool) { s := text(*at(of)); return s, s != "" },
		take:  func(to, from *settings) { *at(to) = *at(from) }}
}

// list makes a setting of a list that is kept or replaced as a whole.
func list(name string, at func(*settings) *[]string) setting {
	return setting{name: name,
		named: func(of *settings) bool { return len(*at(of)) > 0 },
		text:  func(of *settings) (string, bool) { return inWords(*at(of)), len(*at(of)) > 0 },
		take:  func(to, from *settings) { *at(to) = slices.Clone(*at(from)) }}
}

// entries makes a setting of each name that one of the maps has.
func entries(group string, at func(*settings) *map[string]string, of []*settings) []setting {
	names := map[string]bool{}
	for _, s := range of {
		for name := range *at(s) {
			names[name] = true
		}
	}
	var made []setting
	for _, name := range slices.Sorted(maps.Keys(names)) {
		made = append(made, entry(group, name, at))
	}
	return made
}

func entry(group, name string, at func(*settings) *map[string]string) setting {
	text := func(of *settings) (string, bool) { v, ok := (*at(of))[name]; return v, ok }
	return setting{name: group + "." + name, group: group, text: text,
		named: func(of *settings) bool { _, ok := text(of); return ok },
		take: func(to, from *settings) {
			v, ok := text(from)
			if !ok {
				return
			}
			if *at(to) == nil {
				*at(to) = map[string]string{}
			}
			(*at(to))[name] = v
		}}
}

// The groups of settings that have names of their own.
const (
	groupEnv = "env"
	groupSet = "build.set"
)

// table lists all settings, with those of groups that any of the given have.
func table(of ...*settings) []setting {
	all := []setting{
		value("access", func(s *settings) *Access { return &s.Access }, plain[Access]),
		value("preflight", func(s *settings) *Access { return &s.Preflight }, plain[Access]),
		value("port", func(s *settings) *int { return &s.Port }, strconv.Itoa),
		value("protocol", func(s *settings) *Protocol { return &s.Protocol }, plain[Protocol]),
		value("replicas", func(s *settings) *int { return &s.Replicas }, strconv.Itoa),
		value("health", func(s *settings) *string { return &s.Health }, plain[string]),
		value("start", func(s *settings) *Duration { return &s.Start }, spanText),
		value("timeout", func(s *settings) *Duration { return &s.Timeout }, spanText),
		value("max_body", func(s *settings) *int64 { return &s.MaxBody }, SizeText),
	}
	all = append(all, entries(groupEnv, func(s *settings) *map[string]string { return &s.Env }, of)...)
	all = append(all, list("args", func(s *settings) *[]string { return &s.Args }),
		value("package", func(s *settings) *string { return &s.Package }, folder),
		list("include", func(s *settings) *[]string { return &s.Build.Include }),
		list("exclude", func(s *settings) *[]string { return &s.Build.Exclude }),
		list("build.tags", func(s *settings) *[]string { return &s.Build.Tags }))
	return append(all, entries(groupSet, func(s *settings) *map[string]string { return &s.Build.Set }, of)...)
}

func plain[T ~string](v T) string { return string(v) }

// spanText is empty where a span is not set.
func spanText(d Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// folder is a package's folder in the source, "" for the source's own.
func folder(name string) string {
	if name = path.Clean(name); name == "." {
		return ""
	}
	return name
}

// inWords writes a list so that it can be told where an element ends.
func inWords(list []string) string {
	words := make([]string, len(list))
	for i, w := range list {
		if words[i] = w; w == "" || strings.ContainsAny(w, " \t\n\"'") {
			words[i] = strconv.Quote(w)
		}
	}
	return strings.Join(words, " ")
}

// SettingNames are the names of the settings, as m3o.yaml and --reset know them; groups end in ".NAME".
func SettingNames() []string {
	var names []string
	for _, s := range table(&settings{}) {
		names = append(names, s.name)
	}
	return append(names, groupEnv+".NAME", groupSet+".NAME")
}

// isSetting reports whether there is a setting of that name.
func isSetting(name string) bool {
	if variable, ok := strings.CutPrefix(name, groupSet+"."); ok {
		return buildVariable.MatchString(variable)
	}
	if variable, ok := strings.CutPrefix(name, groupEnv+"."); ok {
		return envName.MatchString(variable)
	}
	return slices.Contains(SettingNames(), name)
}

// Bounds of the settings that a request names in one list: how many, and how long their names are together.
const (
	maxSettings     = 1000
	maxSettingBytes = 64 << 10
)

// checkLength holds a list of names to its bounds, and returns what of it is worth a look.
func checkLength(c *fault.Checker, field string, names []string) []string {
	size := 0
	for _, name := range names {
		size += len(name)
	}
	c.Check(len(names) <= maxSettings, field, "%d names are more than %d", len(names), maxSettings)
	c.Check(size <= maxSettingBytes, field, "%d bytes are more than %d", size, maxSettingBytes)
	if size > maxSettingBytes {
		return nil
	}
	return names[:min(len(names), maxSettings)]
}

// checkNames says what is wrong with the names of settings in the request.
func (r Request) checkNames(c *fault.Checker) {
	asked := r.settings()
	all := table(&asked)
	for _, name := range checkLength(c, "reset", r.Reset) {
		c.Check(isSetting(name) || isGroup(name), "reset", "there is no setting %.80q%s; there are %s", name, fault.DidYouMean(name, SettingNames()), strings.Join(SettingNames(), ", "))
		said := slices.ContainsFunc(all, func(s setting) bool { return s.name == name && s.named(&asked) })
		c.Check(!said && !r.fileSays(name), "reset", "%s is given a value as well: leave out one of the two", name)
	}
	if r.File == nil {
		return
	}
	for _, name := range checkLength(c, "file.settings", r.File.Settings) {
		c.Check(isSetting(name), "file.settings", "there is no setting %.80q%s", name, fault.DidYouMean(name, SettingNames()))
	}
}

// isGroup reports whether the name stands for all settings of a group.
func isGroup(name string) bool { return name == groupEnv || name == groupSet }

func (r Request) fileSays(name string) bool {
	return r.File != nil && slices.Contains(r.File.Settings, name)
}

// Setting is a setting of a release that is not at its default, for people to read.
type Setting struct {
	Name  string
	Value string
}

// Short is the value on one line, cut when it is long.
func (s Setting) Short() string { return brief(s.Value) }

// Settings lists what a release runs with and was built with, in the order of the documentation; what is at a default that is the
// platform's own is left out.
func (r Release) Settings() []Setting {
	of := r.settings()
	var told []Setting
	for _, s := range table(&of) {
		if text, ok := s.text(&of); ok {
			told = append(told, Setting{s.name, text})
		}
	}
	return told
}

// Change is a setting that differs between two releases. A side that is nil is at its default, or is not there.
type Change struct {
	Setting string  `json:"setting"`
	From    *string `json:"from"`
	To      *string `json:"to"`
}

// Diff lists the settings that after has otherwise than before.
func Diff(before, after Release) []Change {
	from, to := before.settings(), after.settings()
	changes := []Change{}
	for _, s := range table(&from, &to) {
		was, had := s.text(&from)
		is, has := s.text(&to)
		if had == has && was == is {
			continue
		}
		c := Change{Setting: s.name}
		if had {
			c.From = &was
		}
		if has {
			c.To = &is
		}
		changes = append(changes, c)
	}
	return changes
}

// String says the change in one line.
func (c Change) String() string {
	inGroup := strings.HasPrefix(c.Setting, groupEnv+".") || strings.HasPrefix(c.Setting, groupSet+".")
	switch {
	case c.From != nil && c.To != nil:
		return fmt.Sprintf("%s %s → %s", c.Setting, brief(*c.From), brief(*c.To))
	case c.To != nil:
		return fmt.Sprintf("%s set to %s", c.Setting, brief(*c.To))
	case inGroup:
		return c.Setting + " removed"
	}
	return c.Setting + " back to its default"
}

// maxBrief bounds how much of a value is shown, in runes.
const maxBrief = 60

// brief is a value on one line, cut when it is long.
func brief(value string) string {
	if runes := []rune(value); len(runes) > maxBrief {
		value = string(runes[:maxBrief]) + "…"
	}
	if value == "" || strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(value)
	}
	return value
}
