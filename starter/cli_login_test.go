package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/client/apitest"
)

// invited is a user whom the world's operator invites: the code, and a machine of their own with nothing in its environment.
func invited(t *testing.T, w *apitest.World, name string, roles ...string) (code string) {
	t.Helper()
	at(t, w)
	invitation := answer[account.Invitation](t, m3o("user", "invite", name, "--json").must(t))
	for _, role := range roles {
		m3o("role", "grant", role, name).must(t)
	}
	user(t)
	return invitation.Code
}

func TestACodeLogsInOnce(t *testing.T) {
	w := twoRegions(t)
	code := invited(t, w, "ada", "developer")
	c := m3o("login", w.URL, "--code", code, "--name", "laptop").must(t)
	if !strings.Contains(c.out, "as ada with the token laptop") {
		t.Errorf("said %q", c.out)
	}
	if who := answer[client.Whoami](t, m3o("whoami", "--json").must(t)); who.Subject != "ada" || len(who.Projects["default"]) != 1 {
		t.Errorf("%+v", who)
	}
	m3o("run", program(t, "hello")).must(t)
	m3o("region", "teardown", "lon1", "--yes").fails(t, exitFailed, "ada may not", "regions:")
	m3o("login", w.URL, "--code", code).fails(t, exitFailed, "invitation")
	if who := answer[client.Whoami](t, m3o("whoami", "--json").must(t)); who.Subject != "ada" {
		t.Errorf("a login that failed changed who is logged in: %+v", who)
	}
}

func TestTheCodeIsReadFromStandardInput(t *testing.T) {
	w := apitest.New(t)
	code := invited(t, w, "ada")
	typing(t, t.Context(), code+"\n", nil, "login", w.URL, "--code", "-").must(t)
	m3o("whoami").must(t)
}

func TestLogoutRevokesWhatLoginMade(t *testing.T) {
	w := apitest.New(t)
	code := invited(t, w, "ada")
	m3o("login", w.URL, "--code", code).must(t)
	contexts, err := readContexts()
	if err != nil || len(contexts.Contexts) != 1 {
		t.Fatalf("%+v %v", contexts, err)
	}
	token := contexts.Contexts[0].Token
	m3o("logout").must(t)
	t.Setenv("M3O_TOKEN", token)
	m3o("whoami", "--api", w.URL).fails(t, exitFailed, "M3O_TOKEN")
	m3o("logout").fails(t, exitFailed, "nobody is logged in")
}

func TestATokenOfAFileStaysGoodAfterLogout(t *testing.T) {
	w := apitest.New(t)
	user(t)
	file := write(t, "ci.token", apitest.Token+"\n")
	m3o("login", w.URL, "--token-file", file).must(t)
	m3o("whoami").must(t)
	m3o("logout").must(t)
	m3o("whoami", "--api", w.URL, "--token-file", file).must(t)
}

// The last login is what commands use; an address that is named has its own token, and no other's.
func TestTokensAreKeptPerAddress(t *testing.T) {
	one, two := apitest.New(t), apitest.New(t)
	user(t)
	file := write(t, "admin.token", apitest.Token)
	m3o("login", one.URL, "--token-file", file).must(t)
	m3o("login", two.URL, "--token-file", file).must(t)
	var asked int
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if asked++; r.Header.Get("Authorization") != "" {
			t.Errorf("a stranger was sent %q", r.Header.Get("Authorization"))
		}
	}))
	defer stranger.Close()
	m3o("whoami", "--api", stranger.URL).fails(t, exitFailed, "no token")
	if out := m3o("whoami").must(t).out; !strings.Contains(out, two.URL) {
		t.Errorf("not the last login: %s", out)
	}
	m3o("login", one.URL).must(t)
	if out := m3o("whoami").must(t).out; !strings.Contains(out, one.URL) {
		t.Errorf("not the login that was repeated: %s", out)
	}
	m3o("whoami", "--api", two.URL).must(t)
	if asked > 0 {
		t.Errorf("the stranger was asked %d times", asked)
	}
}

func TestTheFileOfContextsIsOursAlone(t *testing.T) {
	w := apitest.New(t)
	user(t)
	m3o("login", w.URL, "--token-file", write(t, "admin.token", apitest.Token)).must(t)
	path := filepath.Join(os.Getenv("M3O_CONFIG_DIR"), "contexts.json")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	m3o("whoami").fails(t, exitFailed, "chmod 600")
}

func TestALoginThatCannotBe(t *testing.T) {
	user(t)
	for name, c := range map[string]struct {
		args  []string
		code  int
		words []string
	}{
		"in the clear":           {[]string{"http://api.example.com", "--code", "x"}, exitMisused, []string{"in the clear", "https://"}},
		"no address":             {[]string{"ftp://api.example.com"}, exitMisused, []string{"is not the address of an API"}},
		"a user in the address":  {[]string{"https://ada:secret@api.example.com"}, exitMisused, []string{"is not the address"}},
		"a code that is cut off": {[]string{"http://127.0.0.1:1", "--code", account.NewSecret(account.InviteCode)[:40]}, exitMisused, []string{"--code", "not copied whole"}},
		"a token for a code":     {[]string{"http://127.0.0.1:1", "--code", account.NewSecret(account.PersonToken)}, exitMisused, []string{"m3o_inv_"}},
		"two ways":               {[]string{"http://127.0.0.1:1", "--code", "x", "--token-file", "y"}, exitMisused, []string{"say one of them"}},
		"nobody to ask":          {[]string{"http://127.0.0.1:1"}, exitMisused, []string{"nobody is logged in"}},
		"no such file":           {[]string{"http://127.0.0.1:1", "--token-file", "none"}, exitFailed, []string{"none"}},
	} {
		t.Run(name, func(t *testing.T) { m3o(append([]string{"login"}, c.args...)...).fails(t, c.code, c.words...) })
	}
}

func TestADataDirectoryThatIsNamedHasTheTokenThatCounts(t *testing.T) {
	w := apitest.New(t)
	code := invited(t, w, "ada")
	m3o("login", w.URL, "--code", code).must(t)
	write(t, "dir/admin.token", apitest.Token)
	write(t, "dir/run/api.url", w.URL)
	if err := os.Chmod("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if out := m3o("whoami", "--data-dir", "dir").must(t).out; !strings.Contains(out, "admin") {
		t.Errorf("%s", out)
	}
	if out := m3o("whoami", "--api", w.URL).must(t).out; !strings.Contains(out, "ada") {
		t.Errorf("%s", out)
	}
}
