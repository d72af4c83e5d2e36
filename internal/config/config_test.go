package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// parts are what settings may be for.
var parts = []string{Everything, API, Worker, Migrate, "flows", "build", "cloud-digitalocean"}

func TestEverySettingSaysWhatItIsAndWhoNeedsIt(t *testing.T) {
	seen := map[string]bool{}
	each(new(Settings), func(f reflect.StructField, _ reflect.Value) {
		name, needed := f.Tag.Get("env"), strings.Fields(f.Tag.Get("for"))
		if !strings.HasPrefix(name, "M3O_") || seen[name] || f.Tag.Get("say") == "" || len(needed) == 0 {
			t.Errorf("%s: variable %q for %v: %q", f.Name, name, needed, f.Tag.Get("say"))
		}
		seen[name] = true
		for _, part := range needed {
			if !slices.Contains(parts, part) {
				t.Errorf("%s is for %q, which is not one of %v", f.Name, part, parts)
			}
		}
	})
}

func TestSettingsAreReadAndPassedOn(t *testing.T) {
	t.Setenv("M3O_STORE", "sqlite:///x.db")
	t.Setenv("M3O_LOG_LEVEL", "")
	s := Load()
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
		RegistrySecretFile: "r", DigitalOceanTokenFile: "d"}
	for name, c := range map[string]struct{ got, want Settings }{
		"the API": {all.Of(API), Settings{LogLevel: "info", Store: "s", Temporal: "t", PayloadKeys: "p", TicketKey: "private", Blobs: "b"}},
		"flows":   {all.Of(Worker, "flows"), Settings{LogLevel: "info", Store: "s", Temporal: "t", PayloadKeys: "p", TicketKey: "private"}},
		"builds":  {all.Of(Worker, "build"), Settings{LogLevel: "info", Temporal: "t", PayloadKeys: "p", Blobs: "b", RegistrySecretFile: "r"}},
		"a cloud": {all.Of(Worker, "cloud-digitalocean"), Settings{LogLevel: "info", Temporal: "t", PayloadKeys: "p", TicketKeys: "public", DigitalOceanTokenFile: "d"}},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, c.got, c.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	text := Describe("cloud-digitalocean")
	if !strings.Contains(text, "M3O_TICKET_PUBLIC_KEYS") || strings.Contains(text, "M3O_TICKET_KEY ") || strings.Contains(text, "M3O_STORE") {
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
