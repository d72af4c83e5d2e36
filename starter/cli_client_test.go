package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/region"
)

func TestTheDataDirectoryIsFoundAsGitFindsItsOwn(t *testing.T) {
	w := apitest.New(t)
	user(t)
	write(t, ".m3o/admin.token", apitest.Token+"\n")
	write(t, ".m3o/run/api.url", w.URL+"\n")
	if err := os.MkdirAll("deep/er", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("deep/er")
	c := m3o("whoami").must(t)
	if !strings.Contains(c.out, "admin") || !strings.Contains(c.out, w.URL) {
		t.Errorf("%s", c.out)
	}
	m3o("whoami", "--data-dir", "elsewhere").fails(t, exitFailed, filepath.Join("elsewhere", "admin.token"), "m3o dev")
}

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	w := apitest.New(t)
	user(t)
	t.Setenv("M3O_API", "http://127.0.0.1:1")
	t.Setenv("M3O_TOKEN", "wrong")
	write(t, "token", apitest.Token)
	m3o("whoami", "--api", w.URL, "--token-file", "token").must(t)
}

func TestTokens(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	t.Setenv("M3O_TOKEN", "not-the-token")
	m3o("region", "list").fails(t, exitFailed, "this is not of the form", "M3O_TOKEN")
	t.Setenv("M3O_TOKEN", account.NewSecret(account.PersonToken))
	m3o("region", "list").fails(t, exitFailed, "the token is not known", "M3O_TOKEN")
	t.Setenv("M3O_TOKEN", "")
	m3o("region", "list").fails(t, exitFailed, "no token", "m3o dev")
	write(t, ".m3o/admin.token", apitest.Token)
	m3o("region", "list").must(t)
	// A token that was found by chance is not sent to strangers.
	m3o("region", "list", "--api", "https://api.example.com").fails(t, exitFailed, "no token for https://api.example.com")
	write(t, ".m3o/admin.token", "\n")
	m3o("region", "list").fails(t, exitFailed, "does not hold a token")
}

func TestAnAPIThatIsDownOrIsNone(t *testing.T) {
	user(t)
	t.Setenv("M3O_TOKEN", "x")
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	began := time.Now()
	m3o("services", "--api", gone.URL).fails(t, exitFailed, "does not answer", "`m3o dev`", "retrying")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s to say so", took)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer page.Close()
	m3o("services", "--api", page.URL).fails(t, exitFailed, "is it the API of m3o?")
	m3o("services", "--api", "localhost:8080").fails(t, exitMisused, "not the address of an API")
	m3o("services", "--api", page.URL, "--project", "No Label").fails(t, exitMisused, "--project")
}

// TestATokenIsNotSentInTheClear, wherever the address comes from.
func TestATokenIsNotSentInTheClear(t *testing.T) {
	user(t)
	t.Setenv("M3O_TOKEN", "x")
	m3o("services", "--api", "http://api.example.com").fails(t, exitMisused, "in the clear", "https://")
	t.Setenv("M3O_API", "http://API.example.com:8080/")
	m3o("services").fails(t, exitMisused, "in the clear")
	m3o("login").fails(t, exitMisused, "in the clear")
}

func TestAContextIsFoundHoweverItsHostIsWritten(t *testing.T) {
	w := apitest.New(t)
	user(t)
	t.Setenv("M3O_TOKEN", "")
	api := strings.Replace(w.URL, "127.0.0.1", "localhost", 1)
	contexts, err := readContexts()
	if err != nil {
		t.Fatal(err)
	}
	contexts.put(loginContext{API: api, Subject: "admin", Token: apitest.Token})
	if err := contexts.save(); err != nil {
		t.Fatal(err)
	}
	m3o("whoami", "--api", strings.Replace(api, "localhost", "LocalHost", 1)+"/").must(t)
}

func TestMistypedCommands(t *testing.T) {
	user(t)
	m3o("regoin").fails(t, exitMisused, `did you mean "region"`)
	m3o("region", "shwo", "x").fails(t, exitMisused, `did you mean "show"`)
	m3o("services", "--bad").fails(t, exitMisused, "--bad")
	m3o("status").fails(t, exitMisused, "m3o status NAME")
	m3o("services", "x").fails(t, exitMisused, "too many")
	m3o("region").must(t)
	m3o().must(t)
}

func TestEventsAuditAndWhoami(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	if c := m3o("events").must(t); c.out != "" {
		t.Errorf("%q", c.out)
	}
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Creating, Message: "step: network"})
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready})
	if c := m3o("events").must(t); !strings.Contains(c.out, "region.creating") || !strings.Contains(c.out, "micro/lon1") || !strings.Contains(c.out, "region.ready") {
		t.Errorf("%q", c.out)
	}
	if e := answer[event.Event](t, m3o("events", "--tail", "1", "--json").must(t)); e.Kind != "region.ready" {
		t.Errorf("%+v", e)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	go func() {
		time.Sleep(1500 * time.Millisecond)
		w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Degraded, Message: "a node is lost"})
	}()
	if c := typing(t, ctx, "", nil, "events", "-f", "--tail", "0"); c.code != exitDone || !strings.Contains(c.out, "a node is lost") || strings.Contains(c.out, "creating") {
		t.Errorf("exit %d: %q %s", c.code, c.out, c.errs)
	}
	if p := answer[map[string]any](t, m3o("whoami", "--json").must(t)); p["subject"] != "admin" {
		t.Errorf("%v", p)
	}
	m3o("kill", "nothing", "--yes").fails(t, exitFailed)
	m3o("region", "retry", "lon1").fails(t, exitFailed)
	entries := answer[[]event.Audit](t, m3o("audit", "--json").must(t))
	if len(entries) != 1 || entries[0].Action != "retry-region" || entries[0].Status != http.StatusConflict {
		t.Errorf("%+v", entries)
	}
	if c := m3o("audit").must(t); !strings.Contains(c.out, "retry-region") {
		t.Errorf("%s", c.out)
	}
}

func TestCompletion(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	w.AddRegion(region.Region{Spec: apitest.Spec("lon1"), Status: region.Ready})
	program(t, "hello")
	m3o("run", "hello").must(t)
	for _, c := range []struct{ args, want string }{
		{"region show ", "lon1"}, {"status ", "hello"}, {"logs hello --region ", "lon1"}, {"region ", "kubeconfig"}, {"ro", "rollback"},
	} {
		if got := m3o(append([]string{"__complete"}, strings.Split(c.args, " ")...)...).must(t); !strings.Contains(got.out, c.want) {
			t.Errorf("%q is completed by %q", c.args, got.out)
		}
	}
	t.Setenv("M3O_API", "http://127.0.0.1:1")
	if got := m3o("__complete", "status", "").must(t); strings.Contains(got.out, "hello") {
		t.Errorf("without an API: %q", got.out)
	}
	m3o("completion", "bash").must(t)
}
