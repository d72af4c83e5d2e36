package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/source"
)

// settingFlags are the flags of run that name settings, as they are given.
type settingFlags struct {
	pkg, health, preflight, protocol, start, timeout, maxBody, ldflags string
	port, replicas                                                     int
	public                                                             bool
	env, args, tags, include, exclude, reset                           []string
}

func (f *settingFlags) declare(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.public, "public", false, "let everybody call it (at first: only with a key)")
	flags.StringVar(&f.preflight, "preflight", "", "who may send CORS preflights, public or key (at first: whoever may call it)")
	flags.IntVar(&f.port, "port", 0, "port the program listens on; it is told by $PORT (at first 8080)")
	flags.StringVar(&f.protocol, "protocol", "", "what the program speaks there: http, or h2c for HTTP/2 without TLS and for gRPC (at first http)")
	flags.IntVar(&f.replicas, "replicas", 0, "instances in each region (at first 1)")
	flags.StringVar(&f.health, "health", "", "path of an HTTP health check (at first: a connection is enough)")
	flags.StringVar(&f.start, "start", "", "until when an instance must be ready (at first 2m)")
	flags.StringVar(&f.timeout, "timeout", "", "how long an exchange may stand still, such as 10m")
	flags.StringVar(&f.maxBody, "max-body", "", "largest body of a request, such as 150MB or 1GiB")
	flags.StringArrayVar(&f.env, "env", nil, "a setting NAME=VALUE, no secrets; may be repeated")
	flags.StringArrayVar(&f.args, "arg", nil, "an argument of the program; may be repeated")
	flags.StringVar(&f.pkg, "package", "", "folder of the main package in the source (at first .)")
	flags.StringSliceVar(&f.tags, "tags", nil, "build tags, separated by commas")
	flags.StringVar(&f.ldflags, "ldflags", "", "variables to set in the program, as \"-X main.version=1.2\"")
	flags.StringArrayVar(&f.include, "include", nil, "pattern of files beside the program that come along; may be repeated")
	flags.StringArrayVar(&f.exclude, "exclude", nil, "pattern of files that do not; may be repeated")
	flags.StringArrayVar(&f.reset, "reset", nil, "a setting that goes back to its default, such as replicas or env.LEVEL; may be repeated")
}

// override puts the flags that were given in place of what the file says. What is empty says that the setting has its default.
func (m *manifest) override(cmd *cobra.Command, f *settingFlags) error {
	for _, o := range []struct {
		flag, setting string
		set           func() error
	}{
		{"public", "access", func() error { m.Access = accessOf(f.public); return nil }},
		{"preflight", "preflight", word(&m.Preflight, f.preflight)},
		{"port", "port", aboveZero(&m.Port, f.port)},
		{"protocol", "protocol", word(&m.Protocol, f.protocol)},
		{"replicas", "replicas", aboveZero(&m.Replicas, f.replicas)},
		{"health", "health", word(&m.Health, f.health)},
		{"start", "start", func() error { return parseSpan(f.start, &m.Start) }},
		{"timeout", "timeout", func() error { return parseSpan(f.timeout, &m.Timeout) }},
		{"max-body", "max_body", func() error { return parseSize(f.maxBody, &m.MaxBody) }},
		{"arg", "args", func() error { m.Args = f.args; return nil }},
		{"package", "package", word(&m.Package, f.pkg)},
		{"tags", "build.tags", func() error { m.Build.Tags = f.tags; return nil }},
		{"include", "include", func() error { m.Include = f.include; return nil }},
		{"exclude", "exclude", func() error { m.Exclude = f.exclude; return nil }},
	} {
		if !cmd.Flags().Changed(o.flag) {
			continue
		}
		if err := o.set(); err != nil {
			return misuse("--%s: %s", o.flag, err)
		}
		m.overrules(o.setting)
		if said := cmd.Flags().Lookup(o.flag).Value.String(); said == "" || said == "[]" {
			m.Reset = append(m.Reset, o.setting)
		}
	}
	return m.overrideEntries(f)
}

// overrideEntries does so with the settings that have names of their own, and takes down what is reset.
func (m *manifest) overrideEntries(f *settingFlags) error {
	for _, setting := range f.env {
		name, value, ok := strings.Cut(setting, "=")
		if !ok || name == "" {
			return misuse("--env: %q is not of the form NAME=VALUE", setting)
		}
		m.setEnv(name, value)
		m.overrules("env." + name)
	}
	variables, err := linkVariables(f.ldflags)
	if err != nil {
		return misuse("--ldflags: %s", err)
	}
	for _, v := range variables {
		m.setVariable(v.name, v.value)
		m.overrules("build.set." + v.name)
	}
	for _, name := range f.reset {
		name = settingOf(name)
		if m.File != nil && slices.Contains(m.File.Settings, name) {
			return misuse("--reset: %s is said in %s: remove it there", name, manifestFile)
		}
		m.Reset = append(m.Reset, name)
	}
	return nil
}

// overrules notes that a flag says a setting, whatever the file says.
func (m *manifest) overrules(setting string) {
	if m.File != nil {
		m.File.Settings = slices.DeleteFunc(m.File.Settings, func(name string) bool { return name == setting })
	}
}

// settingOf is the setting that a flag's name, which people may know better, stands for.
func settingOf(name string) string {
	if setting, ok := map[string]string{"public": "access", "max-body": "max_body", "arg": "args", "tags": "build.tags", "ldflags": "build.set"}[name]; ok {
		return setting
	}
	return name
}

func accessOf(public bool) release.Access {
	if public {
		return release.Public
	}
	return release.ByKey
}

func word[T ~string](to *T, text string) func() error {
	return func() error { *to = T(text); return nil }
}

func aboveZero(to *int, n int) func() error {
	return func() error {
		if *to = n; n < 1 {
			return fmt.Errorf("%d is not above 0", n)
		}
		return nil
	}
}

// linkVariable is a variable of a program that is set when it is linked.
type linkVariable struct{ name, value string }

// linkVariables reads what -ldflags sets. What the linker leaves out of every program anyway (-s, -w) may be said; all else is refused.
func linkVariables(flags string) ([]linkVariable, error) {
	words, err := splitQuoted(flags)
	if err != nil {
		return nil, err
	}
	var set []linkVariable
	for len(words) > 0 {
		flag := words[0]
		words = words[1:]
		definition, joined := strings.CutPrefix(flag, "-X=")
		switch {
		case flag == "-s", flag == "-w":
			continue
		case joined:
		case flag == "-X" && len(words) > 0:
			definition, words = words[0], words[1:]
		default:
			return nil, fmt.Errorf("%.80q is not taken: only -X importpath.name=value is", flag)
		}
		name, value, ok := strings.Cut(definition, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%.80q is not of the form importpath.name=value", definition)
		}
		set = append(set, linkVariable{name, value})
	}
	return set, nil
}

// splitQuoted splits a text at spaces as the go command does with its flags: what begins with a quote goes to the next one.
func splitQuoted(text string) ([]string, error) {
	var words []string
	for {
		text = strings.TrimLeft(text, " \t\n\r")
		if text == "" {
			return words, nil
		}
		if quote := text[0]; quote == '"' || quote == '\'' {
			end := strings.IndexByte(text[1:], quote)
			if end < 0 {
				return nil, fmt.Errorf("the quote in %.80q has no end", text)
			}
			words, text = append(words, text[1:1+end]), text[end+2:]
			continue
		}
		end := strings.IndexAny(text, " \t\n\r")
		if end < 0 {
			end = len(text)
		}
		words, text = append(words, text[:end]), text[end:]
	}
}

// tellChanges says what the settings of a new release change against those of the release it follows. A first release changes nothing. What
// was reset and is as it was, has its default already, or a name that is wrong. Whoever may not read releases is told nothing.
func (s *session) tellChanges(name string, number int, reset []string) error {
	after, err := s.api.Release(s.ctx(), name, number)
	if fault.Is(err, fault.Denied) {
		return nil
	}
	if err != nil || after.Follows == 0 {
		return err
	}
	before, err := s.api.Release(s.ctx(), name, after.Follows)
	if err != nil {
		return err
	}
	s.changes = release.Diff(before, after)
	if len(s.changes) == 0 {
		fmt.Fprintf(s.err, "Its settings are those of release %d.\n", before.Number)
	} else {
		fmt.Fprintf(s.err, "What changes against release %d:\n", before.Number)
	}
	for _, c := range s.changes {
		fmt.Fprintf(s.err, "  %s\n", printable(c.String()))
	}
	for _, setting := range reset {
		if !slices.ContainsFunc(s.changes, func(c release.Change) bool { return c.Setting == setting || strings.HasPrefix(c.Setting, setting+".") }) {
			fmt.Fprintf(s.err, "  %s had its default already\n", setting)
		}
	}
	return nil
}

// currentRelease is what is meant to run of a service, nil while there is nothing. It may be older than the newest.
func (s *session) currentRelease(v release.Service, newest []release.Release) (*release.Release, error) {
	if v.Current == 0 {
		return nil, nil
	}
	for i := range newest {
		if newest[i].Number == v.Current {
			return &newest[i], nil
		}
	}
	r, err := s.api.Release(s.ctx(), v.Key.Name, v.Current)
	return &r, err
}

// settingRows are the settings of a release for a table that says who may call it: what is at a default of the platform is left out.
func settingRows(r release.Release) [][]string {
	var rows [][]string
	for _, setting := range r.Settings() {
		if setting.Name == "access" {
			continue
		}
		rows = append(rows, []string{setting.Name, setting.Short()})
	}
	return rows
}

// keptOrigin is the main package that a release keeps when neither flag nor file names one, and the build tags that it is built with,
// kept or named. The API decides; it is asked so that a source can be checked before it is sent.
func (s *session) keptOrigin(m *manifest) (release.Origin, error) {
	kept := release.Origin{Build: release.Build{Tags: m.Build.Tags}}
	before, err := s.followed(m.Name)
	if err != nil || before == nil {
		return kept, err
	}
	stays := func(setting string) bool {
		return !slices.Contains(m.Reset, setting) && !slices.Contains(before.InFile, setting)
	}
	if stays("package") {
		kept.Package = before.Origin.Package
	}
	if len(m.Build.Tags) == 0 && stays("build.tags") {
		kept.Build.Tags = before.Origin.Build.Tags
	}
	return kept, nil
}

// followed is the release whose settings the next one keeps, nil without one, or for whoever may not know.
func (s *session) followed(name string) (*release.Release, error) {
	v, err := s.api.Service(s.ctx(), name)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) || err == nil && v.Status == release.Killed {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	newest, err := s.api.Releases(s.ctx(), name, statusReleases)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(newest, func(r release.Release) bool { return r.Status != release.Failed && r.Status != release.RolledBack })
	if i < 0 {
		return s.currentRelease(v, newest)
	}
	return &newest[i], nil
}

// keptIn is the package of the release before, if the folder is a whole source in which it can be.
func keptIn(dir, pkg string) string {
	place, err := source.Locate(dir, "")
	if err != nil || place.Package != "." || pkg == "." || !isFolder(filepath.Join(dir, filepath.FromSlash(pkg))) {
		return ""
	}
	return pkg
}
