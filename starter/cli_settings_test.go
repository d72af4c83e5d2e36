package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// settingsOf are those of a release of hello in the default project, as its status shows them.
func settingsOf(t *testing.T, w *apitest.World, number int) string {
	t.Helper()
	r, err := w.Store.Release(t.Context(), release.Key{Project: "default", Name: "hello"}, number)
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, s := range r.Settings() {
		text = append(text, s.Name+"="+s.Value)
	}
	return strings.Join(text, " ")
}

// changes is what a command says that it changes.
func changes(c commanded) string {
	_, after, _ := strings.Cut(c.errs, "What changes against release ")
	var lines []string
	for _, line := range strings.Split(after, "\n")[1:] {
		change, found := strings.CutPrefix(line, "  ")
		if !found {
			break
		}
		lines = append(lines, change)
	}
	return strings.Join(lines, "; ")
}

func TestARedeployChangesWhatItNames(t *testing.T) {
	w := twoRegions(t)
	dir := program(t, "hello")
	step := func(want, settings string, args ...string) {
		t.Helper()
		c := m3o(append([]string{"run"}, args...)...).must(t)
		if got := changes(c); got != want {
			t.Errorf("%v changes %q, want %q: %s", args, got, want, c.errs)
		}
		v, err := w.Store.Service(t.Context(), release.Key{Project: "default", Name: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		if got := settingsOf(t, w, v.Current); got != settings {
			t.Errorf("after %v it has %s, want %s", args, got, settings)
		}
	}
	first := m3o("run", dir, "--public", "--replicas", "2", "--env", "A=1").must(t)
	if strings.Contains(first.errs, "settings") || strings.Contains(first.errs, "changes") {
		t.Errorf("a first release changes something: %s", first.errs)
	}
	step("", "access=public port=8080 replicas=2 env.A=1", dir)
	step("", "access=public port=8080 replicas=2 env.A=1", "--image", "registry.example.com/hello:1", "--name", "hello")
	write(t, dir+"/m3o.yaml", "name: hello\nreplicas: 3\ntimeout: 10m\nenv: {LEVEL: debug, A: 01}\n")
	step("replicas 2 → 3; timeout set to 10m; env.A 1 → 01; env.LEVEL set to debug", "access=public port=8080 replicas=3 timeout=10m env.A=01 env.LEVEL=debug", dir)
	step("replicas 3 → 5", "access=public port=8080 replicas=5 timeout=10m env.A=01 env.LEVEL=debug", dir, "--replicas", "5")
	write(t, dir+"/m3o.yaml", "name: hello\nenv: {LEVEL: info}\n")
	step("timeout back to its default; env.A removed; env.LEVEL debug → info", "access=public port=8080 replicas=5 env.LEVEL=info", dir)
	step("env.NEW set to x y", "access=public port=8080 replicas=5 env.LEVEL=info env.NEW=x y", "--image", "registry.example.com/hello:2", "--name", "hello", "--env", "NEW=x y")
	step("access public → key; replicas 5 → 1; env.NEW removed; env.OLD had its default already", "access=key port=8080 replicas=1 env.LEVEL=info", dir, "--reset", "public", "--reset", "replicas",
		"--reset", "env.NEW", "--reset", "env.OLD")
	if err := os.Remove(dir + "/m3o.yaml"); err != nil {
		t.Fatal(err)
	}
	step("env.LEVEL removed", "access=key port=8080 replicas=1", dir, "--name", "hello")
	if c := m3o("rollback", "hello", "--to", "4").must(t); changes(c) != "access key → public; replicas 1 → 3; timeout set to 10m; env.A set to 01; env.LEVEL set to debug" {
		t.Errorf("the rollback says %s", c.errs)
	}
	c := m3o("status", "hello").must(t)
	for _, line := range []string{"replicas   3", "timeout    10m", "env.A      01", "env.LEVEL  debug"} {
		if !strings.Contains(c.out, line+"\n") {
			t.Errorf("the status does not say %q:\n%s", line, c.out)
		}
	}
}

func TestChangesAreFieldsOfTheAnswer(t *testing.T) {
	twoRegions(t)
	dir := program(t, "hello")
	type changed struct {
		Changes []struct {
			Setting  string
			From, To *string
		}
	}
	m3o("run", dir, "--env", "A=1").must(t)
	for _, args := range [][]string{{"run", dir, "--json", "--replicas", "2", "--reset", "env.A"}, {"rollback", "hello", "--json"}, {"run", dir, "--json", "-d", "--replicas", "2", "--reset", "env.A"}} {
		got := answer[changed](t, m3o(args...).must(t)).Changes
		text, _ := json.Marshal(got)
		want := `[{"Setting":"replicas","From":"1","To":"2"},{"Setting":"env.A","From":"1","To":null}]`
		if args[0] == "rollback" {
			want = `[{"Setting":"replicas","From":"2","To":"1"},{"Setting":"env.A","From":null,"To":"1"}]`
		}
		if string(text) != want {
			t.Errorf("%v answers %s, want %s", args, text, want)
		}
	}
	if got := answer[struct{ Current release.Release }](t, m3o("status", "hello", "--json").must(t)); got.Current.Spec.Replicas == 0 {
		t.Errorf("the status has no settings: %+v", got)
	}
}

func TestAllSettingsByFlags(t *testing.T) {
	w := twoRegions(t)
	dir := program(t, "hello")
	m3o("run", dir, "--public", "--preflight", "public", "--port", "3000", "--protocol", "h2c", "--replicas", "2", "--health", "/healthz", "--start", "90s", "--timeout", "10m",
		"--max-body", "150MB", "--env", "A=1", "--arg", "-v", "--arg", "x y", "--package", ".", "--include", "static", "--exclude", "*.psd", "--tags", "netgo,osusergo",
		"--ldflags", "-X main.version=1.10").must(t)
	want := "access=public preflight=public port=3000 protocol=h2c replicas=2 health=/healthz start=1m30s timeout=10m max_body=150MB env.A=1 args=-v \"x y\" include=static exclude=*.psd " +
		"build.tags=netgo osusergo build.set.main.version=1.10"
	if got := settingsOf(t, w, 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	m3o("run", dir, "--public=false", "--preflight", "", "--protocol", "", "--health", "", "--tags", "", "--reset", "max-body", "--reset", "arg", "--reset", "ldflags", "--reset", "env",
		"--reset", "start", "--reset", "timeout", "--reset", "include", "--reset", "exclude").must(t)
	if got := settingsOf(t, w, 2); got != "access=key port=3000 replicas=2" {
		t.Errorf("after the reset it has %s", got)
	}
}

func TestSettingsThatAreRefusedBeforeAnythingIsSent(t *testing.T) {
	w := twoRegions(t)
	dir := program(t, "hello")
	write(t, dir+"/m3o.yaml", "replicas: 3\n")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no port":              {[]string{"--port", "0"}, exitMisused, "--port: 0 is not above 0"},
		"no replicas":          {[]string{"--replicas", "0"}, exitMisused, "--replicas: 0 is not above 0"},
		"no number":            {[]string{"--replicas", "many"}, exitMisused, `--replicas: "many" is not a number`},
		"a time without unit":  {[]string{"--timeout", "600"}, exitMisused, `--timeout: "600" is not a span of time such as 90s or 2m`},
		"a size":               {[]string{"--max-body", "lots"}, exitMisused, `--max-body: "lots" is not a size such as 150MB or 1GiB`},
		"no size":              {[]string{"--max-body", "0"}, exitMisused, `--max-body: "0" is not above 0`},
		"other linker flags":   {[]string{"--ldflags", "-X main.a=1 -extldflags=x"}, exitMisused, `--ldflags: "-extldflags=x" is not taken`},
		"a protocol":           {[]string{"--protocol", "grpc"}, exitFailed, `protocol: "grpc" is neither "http" nor "h2c"`},
		"who may preflight":    {[]string{"--preflight", "all"}, exitFailed, `preflight: "all" is neither "public" nor "key"`},
		"a name":               {[]string{"--reset", "replica"}, exitFailed, `reset: there is no setting "replica" (did you mean "replicas"?)`},
		"what the file says":   {[]string{"--reset", "replicas"}, exitMisused, "--reset: replicas is said in m3o.yaml: remove it there"},
		"what a flag says too": {[]string{"--reset", "env.A", "--env", "A=1"}, exitFailed, "reset: env.A is given a value as well: leave out one of the two"},
	} {
		t.Run(name, func(t *testing.T) { m3o(append([]string{"run", dir}, c.args...)...).fails(t, c.code, c.want) })
	}
	if len(w.Orders()) != 0 {
		t.Errorf("ordered: %v", w.Orders())
	}
}

// What is too much only with what is kept is refused by the API, in the words of the file, and changes nothing.
func TestTooMuchTogetherIsRefused(t *testing.T) {
	w := twoRegions(t)
	dir := program(t, "hello")
	many := func(prefix string) (flags []string) {
		for i := range 150 {
			flags = append(flags, "--env", prefix+number(i)+"=x")
		}
		return flags
	}
	m3o(append([]string{"run", dir}, many("A")...)...).must(t)
	m3o(append([]string{"run", dir}, many("B")...)...).fails(t, exitFailed, "m3o: env: 300 settings are more than 200")
	if list, _, err := w.Store.Releases(t.Context(), release.Key{Project: "default", Name: "hello"}, store.Page{}); err != nil || len(list) != 1 {
		t.Errorf("there are %d releases, %v", len(list), err)
	}
}

// A package that a release keeps is the one that is checked before the source is sent.
func TestThePackageIsKept(t *testing.T) {
	w := twoRegions(t)
	write(t, "app/go.mod", "module example.com/app\n\ngo 1.24\n")
	write(t, "app/lib.go", "package app\n")
	for _, name := range []string{"one", "two"} {
		write(t, "app/cmd/"+name+"/main.go", "package main\n\nfunc main() {}\n")
	}
	m3o("run", "app", "--name", "hello", "--package", "./cmd/two").must(t)
	m3o("run", "app", "--name", "hello").must(t)
	if got := settingsOf(t, w, 2); !strings.HasSuffix(got, "package=cmd/two") {
		t.Errorf("it became %s", got)
	}
	w.Build = func(func(string), release.Release) error {
		return fault.New(fault.Failed, "the source does not compile")
	}
	for range statusReleases {
		m3o("run", "app", "--name", "hello").fails(t, exitFailed, "does not compile")
	}
	w.Build = nil
	m3o("run", "app", "--name", "hello").must(t)
	if got := settingsOf(t, w, 3+statusReleases); !strings.HasSuffix(got, "package=cmd/two") {
		t.Errorf("after failures it became %s", got)
	}
	m3o("kill", "hello", "--yes").must(t)
	m3o("run", "app", "--name", "hello").fails(t, exitFailed, "found main packages in ./cmd/one, ./cmd/two; name one with --package")
}

// A token of a pipeline that may write alone brings releases out; what it may not read is not told.
func TestWhoeverMayOnlyWriteBringsOutReleases(t *testing.T) {
	twoRegions(t)
	dir := program(t, "hello")
	token := strings.TrimSpace(m3o("token", "create", "pipeline", "--scope", "services:write").must(t).out)
	m3o("run", dir).must(t)
	t.Setenv("M3O_TOKEN", token)
	c := m3o("run", dir, "-d", "--replicas", "2").must(t)
	if !strings.Contains(c.errs, "Release 2 of hello accepted.") || changes(c) != "" {
		t.Errorf("it says %s", c.errs)
	}
}

func TestLinkVariables(t *testing.T) {
	for flags, want := range map[string][]linkVariable{
		"": nil, "-s -w": nil, "-X a.b=c": {{"a.b", "c"}}, "-X=a.b=c=d -X a.c=": {{"a.b", "c=d"}, {"a.c", ""}}, `-X "a.b=c d"  -X 'a.c="'`: {{"a.b", "c d"}, {"a.c", `"`}},
	} {
		if got, err := linkVariables(flags); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", flags, got, err)
		}
	}
}

func FuzzLinkVariables(f *testing.F) {
	for _, seed := range []string{"-X a.b=c", "-X 'a.b=c d' -s", `-X "`, "-X", "-X=a", "''", "-w\t-X\na.b=''"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, flags string) {
		set, err := linkVariables(flags)
		for _, v := range set {
			if err == nil && (v.name == "" || strings.Contains(v.name, "=")) {
				t.Errorf("%q sets %+v", flags, v)
			}
		}
	})
}
