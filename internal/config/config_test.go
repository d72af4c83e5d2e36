package config

import (
	"slices"
	"strings"
	"testing"
)

// parts are what settings may be for.
var parts = []Part{Everything, API, Worker, Migrate, Flows, Build, Cloud, Pages}

// cloudTest is the part of one provider, with settings of its own.
type cloudTest struct {
	KeyFile string `env:"M3O_TEST_KEY_FILE" say:"file with the key"`
	Zone    string `env:"M3O_TEST_ZONE" say:"where"`
}

var ofTest = Part{Name: "cloud-test", Own: cloudTest{}}

func TestEverySettingSaysWhatItIsAndWhoNeedsIt(t *testing.T) {
	seen := map[string]bool{}
	each(new(Settings), func(f field) {
		name, needed := f.Tag.Get("env"), strings.Fields(f.Tag.Get("for"))
		if !strings.HasPrefix(name, "M3O_") || seen[name] || f.Tag.Get("say") == "" || len(needed) == 0 {
			t.Errorf("%s: variable %q for %v: %q", f.Name, name, needed, f.Tag.Get("say"))
		}
		seen[name] = true
		for _, part := range needed {
			if !slices.ContainsFunc(parts, func(p Part) bool { return p.Name == part }) {
				t.Errorf("%s is for %q, which is not one of %v", f.Name, part, parts)
			}
		}
	})
}

func TestSettingsAreReadAndPassedOn(t *testing.T) {
	t.Setenv("M3O_STORE", "sqlite:///x.db")
	t.Setenv("M3O_LOG_LEVEL", "")
	s := Load(API)
	if s.Store != "sqlite:///x.db" || s.LogLevel != "" {
		t.Errorf("read %+v", s)
	}
	env := Settings{Store: "sqlite:///y.db"}.Environ()
	if !slices.Contains(env, "M3O_STORE=sqlite:///y.db") || slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "M3O_TEMPORAL") }) {
		t.Errorf("passed on %v", env)
	}
}

func TestAProcessHoldsNoKeyItHasNoUseFor(t *testing.T) {
	all := Settings{LogLevel: "info", Store: "s", Temporal: "t", PayloadKeys: "p", TicketKey: "private", TicketKeys: "public", Blobs: "b",
		RegistrySecretFile: "r"}.With(cloudTest{KeyFile: "k"})
	for name, c := range map[string]struct{ got, want Settings }{
		"the API": {all.Of(API), Settings{LogLevel: "info", Store: "s", Temporal: "t", PayloadKeys: "p", TicketKey: "private", Blobs: "b"}},
		"flows":   {all.Of(Worker, Flows), Settings{LogLevel: "info", Store: "s", Temporal: "t", PayloadKeys: "p", TicketKey: "private"}},
		"builds":  {all.Of(Worker, Build), Settings{LogLevel: "info", Temporal: "t", PayloadKeys: "p", Blobs: "b", RegistrySecretFile: "r"}},
		"a cloud": {all.Of(Worker, Cloud, ofTest), Settings{LogLevel: "info", Temporal: "t", PayloadKeys: "p", TicketKeys: "public"}.With(cloudTest{KeyFile: "k"})},
	} {
		if got, want := c.got.Environ(), c.want.Environ(); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// TestAPartHasSettingsOfItsOwn: they are described, read, passed on and found again with the part, and without it they are not.
func TestAPartHasSettingsOfItsOwn(t *testing.T) {
	t.Setenv("M3O_TEST_KEY_FILE", "/keys/test")
	t.Setenv("M3O_POLL", "1s")
	for name, c := range map[string]struct {
		settings Settings
		want     cloudTest
		poll     string
	}{
		"read with the part":    {Load(Worker, Cloud, ofTest), cloudTest{KeyFile: "/keys/test"}, "1s"},
		"read without it":       {Load(Worker, Flows), cloudTest{}, ""},
		"said in place of that": {Load(Cloud, ofTest).With(cloudTest{KeyFile: "other", Zone: "z"}), cloudTest{KeyFile: "other", Zone: "z"}, "1s"},
		"taken away again":      {Load(Cloud, ofTest).Of(Cloud), cloudTest{}, "1s"},
	} {
		var own cloudTest
		c.settings.Own(&own)
		if own != c.want || c.settings.Poll != c.poll {
			t.Errorf("%s: %+v and %q", name, own, c.settings.Poll)
		}
	}
	if env := Load(ofTest).Environ(); !slices.Contains(env, "M3O_TEST_KEY_FILE=/keys/test") || slices.Contains(env, "M3O_TEST_ZONE=") {
		t.Errorf("passed on %v", env)
	}
}

func TestDescribe(t *testing.T) {
	text := Describe(Cloud, ofTest)
	for _, word := range []string{"M3O_TICKET_PUBLIC_KEYS", "M3O_TEST_KEY_FILE", "file with the key", "M3O_TEST_ZONE"} {
		if !strings.Contains(text, word) {
			t.Errorf("%s is not described:\n%s", word, text)
		}
	}
	if strings.Contains(text, "M3O_TICKET_KEY ") || strings.Contains(text, "M3O_STORE") || strings.Contains(Describe(Cloud), "M3O_TEST") {
		t.Errorf("a cloud's worker needs:\n%s", text)
	}
}

func TestAChildFindsItsWayOut(t *testing.T) {
	for _, name := range network {
		t.Setenv(name, "of "+name)
	}
	t.Setenv("M3O_TOKEN", "the token")
	env := Settings{Registry: "127.0.0.1:5000"}.Environ()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if !slices.Contains(env, name+"=of "+name) {
			t.Errorf("%s is not handed on", name)
		}
	}
	if !slices.Contains(env, "M3O_REGISTRY=127.0.0.1:5000") || slices.Contains(env, "M3O_TOKEN=the token") {
		t.Errorf("env = %q", env)
	}
}
