package release_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// ran is a release with everything set by hand, as if by flags, but what its manifest says.
func ran(inFile ...string) *release.Release {
	return &release.Release{Number: 3, InFile: inFile,
		Origin: release.Origin{Source: asked().Origin.Source, Package: "./cmd/server",
			Build: release.Build{Tags: []string{"netgo"}, Set: map[string]string{"main.version": "1"}, Include: []string{"static"}, Exclude: []string{"*.psd"}}},
		Spec: release.Spec{Access: release.Public, Preflight: release.Public, Port: 9000, Protocol: release.H2C, Replicas: 3, Health: "/healthz",
			Start: release.Duration(90 * time.Second), Timeout: release.Duration(10 * time.Minute), MaxBody: 1 << 20,
			Env: map[string]string{"LEVEL": "debug", "MODE": "a"}, Args: []string{"-v"}}}
}

func TestWhatARequestDoesNotNameStays(t *testing.T) {
	spec, origin, inFile, err := asked().Over(ran())
	if err != nil || !reflect.DeepEqual(spec, ran().Spec) || !reflect.DeepEqual(origin, ran().Origin) || len(inFile) != 0 {
		t.Errorf("it became %+v %+v %v, %v", spec, origin, inFile, err)
	}
	// An image is not built, and what builds a source is there again when there is one.
	image := asked()
	image.Origin = release.Origin{Image: "registry/hello:1"}
	spec, origin, inFile, err = image.Over(ran("package", "replicas"))
	if err != nil || !reflect.DeepEqual(spec, ran().Spec) || origin.Source != "" || origin.Image != "registry/hello:1" {
		t.Errorf("the image became %+v %+v, %v", spec, origin, err)
	}
	_, origin, inFile, err = asked().Over(&release.Release{Spec: spec, Origin: origin, InFile: inFile})
	if err != nil || !reflect.DeepEqual(origin, ran().Origin) || !reflect.DeepEqual(inFile, []string{"replicas", "package"}) {
		t.Errorf("after the image it became %+v %v, %v", origin, inFile, err)
	}
}

func TestWhereASettingComesFrom(t *testing.T) {
	read := func(names ...string) func(*release.Request) {
		return func(r *release.Request) { r.File = &release.InFile{Settings: names} }
	}
	replicas := func(s release.Spec) any { return s.Replicas }
	env := func(s release.Spec) any { return s.Env }
	for name, c := range map[string]struct {
		base   *release.Release
		change []func(*release.Request)
		of     func(release.Spec) any
		want   any
		inFile string // the names, in order
	}{
		"a default": {nil, nil, replicas, 1, ""},
		"named":     {ran(), []func(*release.Request){func(r *release.Request) { r.Spec.Replicas = 5 }}, replicas, 5, ""},
		"in the file": {ran(), []func(*release.Request){read("replicas"), func(r *release.Request) { r.Spec.Replicas = 5 }}, replicas, 5,
			"replicas"},
		"by a flag over what the file said":    {ran("replicas"), []func(*release.Request){read(), func(r *release.Request) { r.Spec.Replicas = 5 }}, replicas, 5, ""},
		"gone from the file":                   {ran("replicas"), []func(*release.Request){read("port")}, replicas, 1, "port"},
		"never in the file":                    {ran("port"), []func(*release.Request){read()}, replicas, 3, ""},
		"no file was read":                     {ran("replicas"), nil, replicas, 3, "replicas"},
		"reset":                                {ran(), []func(*release.Request){func(r *release.Request) { r.Reset = []string{"replicas"} }}, replicas, 1, ""},
		"reset, what a file said, and no file": {ran("replicas"), []func(*release.Request){func(r *release.Request) { r.Reset = []string{"replicas"} }}, replicas, 1, ""},
		"env is merged by name": {ran(), []func(*release.Request){func(r *release.Request) { r.Spec.Env = map[string]string{"MODE": "b", "NEW": ""} }}, env,
			map[string]string{"LEVEL": "debug", "MODE": "b", "NEW": ""}, ""},
		"env gone from the file": {ran("env.LEVEL", "env.MODE"), []func(*release.Request){read("env.MODE"), func(r *release.Request) { r.Spec.Env = map[string]string{"MODE": "b"} }}, env,
			map[string]string{"MODE": "b"}, "env.MODE"},
		"one of env reset":          {ran(), []func(*release.Request){func(r *release.Request) { r.Reset = []string{"env.LEVEL"} }}, env, map[string]string{"MODE": "a"}, ""},
		"all of env reset":          {ran(), []func(*release.Request){func(r *release.Request) { r.Reset, r.Spec.Env = []string{"env"}, map[string]string{"X": "1"} }}, env, map[string]string{"X": "1"}, ""},
		"no arguments, in the file": {ran(), []func(*release.Request){read("args")}, func(s release.Spec) any { return len(s.Args) }, 0, "args"},
		"arguments as a whole": {ran(), []func(*release.Request){func(r *release.Request) { r.Spec.Args = []string{"-q"} }}, func(s release.Spec) any { return s.Args },
			[]string{"-q"}, ""},
		"everything reset": {ran(), []func(*release.Request){func(r *release.Request) {
			r.Reset = []string{"access", "preflight", "port", "protocol", "replicas", "health", "start", "timeout", "max_body", "env", "args"}
		}}, func(s release.Spec) any { return s }, release.Spec{Access: release.ByKey, Port: 8080, Replicas: 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := asked()
			for _, change := range c.change {
				change(&r)
			}
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			spec, _, inFile, err := r.Over(c.base)
			if got := c.of(spec); err != nil || !reflect.DeepEqual(got, c.want) || strings.Join(inFile, " ") != c.inFile {
				t.Errorf("%+v in file %v, %v; want %+v in file %q", got, inFile, err, c.want, c.inFile)
			}
		})
	}
}

func TestMergingLeavesBothSidesAsTheyAre(t *testing.T) {
	base, r := ran("env.LEVEL"), asked()
	r.Spec.Env = map[string]string{"NEW": "1"}
	spec, origin, _, err := r.Over(base)
	if err != nil {
		t.Fatal(err)
	}
	spec.Env["LEVEL"], spec.Args[0], origin.Build.Set["main.version"], origin.Build.Tags[0] = "x", "x", "x", "x"
	if !reflect.DeepEqual(base, ran("env.LEVEL")) || len(r.Spec.Env) != 1 {
		t.Errorf("they became %+v and %+v", base, r)
	}
}

// Settings that are each within the limits, and together are not.
func TestWhatIsTooMuchTogetherIsRefused(t *testing.T) {
	base, r := ran(), asked()
	base.Spec.Env = map[string]string{"A": strings.Repeat("x", 20<<10)}
	r.Spec.Env = map[string]string{"B": strings.Repeat("x", 20<<10)}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Over(base); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "env: 40962 bytes are more than 32768") {
		t.Errorf("got %v", err)
	}
}

func TestNamesOfSettings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*release.Request)
		want   string
	}{
		"a name that is wrong":   {func(r *release.Request) { r.Reset = []string{"replica"} }, `reset: there is no setting "replica" (did you mean "replicas"?); there are access, `},
		"a group's name":         {func(r *release.Request) { r.Reset = []string{"env.A-B"} }, `reset: there is no setting "env.A-B"`},
		"a variable without one": {func(r *release.Request) { r.Reset = []string{"build.set.version"} }, `there is no setting "build.set.version"`},
		"reset and named":        {func(r *release.Request) { r.Reset, r.Spec.Replicas = []string{"replicas"}, 2 }, "reset: replicas is given a value as well: leave out one of the two"},
		"reset and in the file": {func(r *release.Request) {
			r.Reset, r.File = []string{"args"}, &release.InFile{Settings: []string{"args"}}
		}, "reset: args is given a value"},
		"reset and named in env": {func(r *release.Request) { r.Reset, r.Spec.Env = []string{"env.A"}, map[string]string{"A": ""} }, "reset: env.A is given a value"},
		"long names in the file": {func(r *release.Request) {
			r.File = &release.InFile{Settings: []string{"env." + strings.Repeat("A", 70_000)}}
		}, "file.settings: 70004 bytes are more than 65536"},
		"long names to reset":      {func(r *release.Request) { r.Reset = []string{"env." + strings.Repeat("A", 70_000)} }, "reset: 70004 bytes are more than 65536"},
		"too many":                 {func(r *release.Request) { r.Reset = make([]string, 1001) }, "reset: 1001 names are more than 1000"},
		"a file that says nothing": {func(r *release.Request) { r.File = &release.InFile{Settings: []string{"helth"}} }, `file.settings: there is no setting "helth" (did you mean "health"?)`},
	} {
		t.Run(name, func(t *testing.T) {
			r := asked()
			if c.change(&r); !fault.Is(r.Validate(), fault.Invalid) || !strings.Contains(r.Validate().Error(), c.want) {
				t.Errorf("got %v, want %q", r.Validate(), c.want)
			}
		})
	}
	r := asked()
	for _, name := range release.SettingNames() {
		r.Reset = append(r.Reset, strings.Replace(strings.Replace(name, "set.NAME", "set.example.com/a/b.Version", 1), ".NAME", ".LEVEL_1", 1))
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}

func TestChangesAreSaidInOneLineEach(t *testing.T) {
	after := *ran()
	after.Spec = release.Spec{Access: release.ByKey, Port: 9000, Replicas: 1, Health: "/healthz", Start: release.Duration(2 * time.Hour), MaxBody: 150e6,
		Env: map[string]string{"LEVEL": "info", "EMPTY": "", "LONG": strings.Repeat("ab", 50), "LINES": "a\nb", "SPACED": " x"}, Args: []string{"-v", "a b"}}
	after.Origin.Package, after.Origin.Build = "cmd/server", release.Build{Set: map[string]string{"main.version": "2"}}
	want := []string{"access public → key", "preflight back to its default", "protocol back to its default", "replicas 3 → 1", "start 1m30s → 2h",
		"timeout back to its default", "max_body 1MiB → 150MB", `env.EMPTY set to ""`, "env.LEVEL debug → info", `env.LINES set to "a\nb"`,
		"env.LONG set to " + strings.Repeat("ab", 30) + "…", "env.MODE removed", `env.SPACED set to " x"`, `args -v → -v "a b"`, "include back to its default", "exclude back to its default",
		"build.tags back to its default", "build.set.main.version 1 → 2"}
	var got []string
	for _, c := range release.Diff(*ran(), after) {
		got = append(got, c.String())
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if same := release.Diff(*ran(), *ran("replicas")); len(same) != 0 {
		t.Errorf("the same changes %v", same)
	}
}

func TestSettingsOfARelease(t *testing.T) {
	var got []string
	for _, s := range ran().Settings() {
		got = append(got, s.Name+"="+s.Value)
	}
	want := "access=public preflight=public port=9000 protocol=h2c replicas=3 health=/healthz start=1m30s timeout=10m max_body=1MiB env.LEVEL=debug env.MODE=a args=-v " +
		"package=cmd/server include=static exclude=*.psd build.tags=netgo build.set.main.version=1"
	if strings.Join(got, " ") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, " "), want)
	}
	plain := release.Release{Spec: release.Spec{Access: release.ByKey, Port: 8080, Replicas: 1}, Origin: release.Origin{Package: "."}}
	if got := plain.Settings(); len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "1048576": 1 << 20, "150MB": 150e6, "150 mb": 150e6, "1GiB": 1 << 30, "2kB": 2000, "4KiB": 4096, "7B": 7, "0": 0, "8GB": 8e9} {
		if got, err := release.ParseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5GB", "1TB", "1M", "1 MB x", "9223372036854775807kB", "99999999999999999999", "1e3", "0x10", "1MBMB"} {
		if got, err := release.ParseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func FuzzSizes(f *testing.F) {
	for _, n := range []int64{0, 1, 999, 1000, 1024, 150e6, 1 << 30, 1<<63 - 1} {
		f.Add(n, "1GiB")
	}
	f.Fuzz(func(t *testing.T, n int64, text string) {
		if parsed, err := release.ParseSize(text); err == nil && parsed < 0 {
			t.Errorf("%q is %d", text, parsed)
		}
		if n <= 0 {
			return
		}
		if back, err := release.ParseSize(release.SizeText(n)); err != nil || back != n {
			t.Errorf("%d is written %s and read %d, %v", n, release.SizeText(n), back, err)
		}
	})
}

func TestSpansOfTime(t *testing.T) {
	for text, want := range map[string]string{"90s": "1m30s", "600s": "10m", "2m": "2m", "60m": "1h", "1h0m5s": "1h0m5s", "100ms": "100ms", "10s": "10s", "0s": "0s", "20m": "20m", "10h": "10h"} {
		var d release.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%s is written %s, %v", text, d, err)
		}
		var back release.Duration
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Errorf("%s is read %s, %v", d, back, err)
		}
	}
}
