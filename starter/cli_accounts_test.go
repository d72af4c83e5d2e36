package main

import (
	"strings"
	"testing"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/client/apitest"
)

func TestPeopleComeAndGo(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	if out := m3o("user", "invite", "ada", "--email", "ada@example.com").must(t).out; !strings.HasPrefix(out, string(account.InviteCode)) || strings.Count(out, "\n") != 1 {
		t.Errorf("the code does not stand alone on standard output: %q", out)
	}
	m3o("user", "invite", "ada").fails(t, exitFailed, "ada")
	m3o("user", "invite", "ada", "--again").must(t)
	m3o("user", "invite", "Ada Lovelace").fails(t, exitFailed, "name", "lower-case")
	m3o("role", "grant", "operator", "ada").must(t)
	m3o("role", "grant", "king", "ada").fails(t, exitMisused, `"king" is no role`, "developer", "operator")
	m3o("role", "grant", "operator", "ada", "--project", "shop").fails(t, exitMisused, "--project")
	m3o("role", "revoke", "finance", "ada").fails(t, exitFailed, "finance")
	var ada account.User
	for _, u := range answer[[]account.User](t, m3o("user", "list", "--json").must(t)) {
		if u.Name == "ada" {
			ada = u
		}
	}
	if ada.Status != account.Invited || ada.Email != "ada@example.com" || len(ada.Platform) != 1 {
		t.Errorf("%+v", ada)
	}
	m3o("user", "suspend", "admin").fails(t, exitFailed, "last active operator")
	m3o("user", "remove", "ada").fails(t, exitMisused, "--yes")
	m3o("user", "remove", "ada", "--yes").must(t)
	m3o("user", "suspend", "ada").fails(t, exitFailed, "ada")
}

func TestAProjectHasMembersAndServiceAccounts(t *testing.T) {
	twoRegions(t)
	project := answer[account.Project](t, m3o("project", "create", "shop", "--json").must(t))
	if project.Platform != "micro" || project.Status != account.ProjectActive {
		t.Errorf("%+v", project)
	}
	m3o("project", "create", "shop").fails(t, exitFailed, "shop")
	m3o("project", "create", "a--b").fails(t, exitMisused, "a--b")
	m3o("project", "create", "other", "--platform", "nowhere").fails(t, exitFailed, "nowhere")
	m3o("service-account", "create", "ci", "--project", "shop", "--role", "operator").fails(t, exitMisused, "role")
	m3o("service-account", "create", "ci", "--project", "shop").must(t)
	token := strings.TrimSpace(m3o("token", "create", "deploys", "--service-account", "ci", "--project", "shop").must(t).out)
	if !strings.HasPrefix(token, string(account.ServiceToken)) {
		t.Fatalf("%q", token)
	}
	members := answer[[]account.Member](t, m3o("project", "members", "shop", "--json").must(t))
	if len(members) == 0 {
		t.Error("the service account is no member")
	}
	t.Setenv("M3O_TOKEN", token)
	if who := answer[client.Whoami](t, m3o("whoami", "--json").must(t)); who.Project != "shop" || who.Kind != account.Service {
		t.Errorf("%+v", who)
	}
	m3o("run", program(t, "cart")).must(t)
	m3o("run", "cart", "--project", "default").fails(t, exitFailed, "default")
	t.Setenv("M3O_TOKEN", apitest.Token)
	m3o("project", "delete", "shop", "--yes").fails(t, exitFailed, "cart", "cascade")
	m3o("service-account", "remove", "ci", "--project", "shop", "--yes").must(t)
	t.Setenv("M3O_TOKEN", token)
	m3o("whoami").fails(t, exitFailed, "M3O_TOKEN")
}

// TestAnOwnerDeletesTheProject and with it the role, or the token, that let them ask how far it is.
func TestAnOwnerDeletesTheProject(t *testing.T) {
	w := twoRegions(t)
	owner := account.NewSecret(account.PersonToken)
	if _, _, err := w.Store.InviteUser(t.Context(), "ada", "", account.Hash("code"), "admin"); err != nil {
		t.Fatal(err)
	}
	_, ada, err := w.Store.Redeem(t.Context(), account.Hash("code"), "login", account.Hash(owner))
	if err != nil {
		t.Fatal(err)
	}
	for name, limit := range map[string]string{"shop": "", "bank": "bank"} {
		t.Setenv("M3O_TOKEN", apitest.Token)
		m3o("project", "create", name).must(t)
		m3o("role", "grant", "owner", "ada", "--project", name).must(t)
		token := account.NewSecret(account.PersonToken)
		spec := account.TokenSpec{Owner: ada.ID, Kind: account.Person, Name: name, Project: limit}.WithDefaults()
		if _, err := w.Store.CreateToken(t.Context(), spec, account.Hash(token)); err != nil {
			t.Fatal(err)
		}
		t.Setenv("M3O_TOKEN", token)
		if c := m3o("project", "delete", name, "--yes").must(t); !strings.Contains(c.out, name+" is gone") {
			t.Errorf("%s: %q", name, c.out)
		}
	}
}

func TestTokensAreTheirOwners(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	c := m3o("token", "create", "laptop", "--scope", "services:read", "--expires", "1h").must(t)
	token := strings.TrimSpace(c.out)
	if !strings.HasPrefix(token, string(account.PersonToken)) || strings.Contains(c.errs, token) {
		t.Errorf("stdout %q, stderr %q", c.out, c.errs)
	}
	m3o("token", "create", "laptop").fails(t, exitFailed, "laptop")
	m3o("token", "create", "x", "--scope", "services:fly").fails(t, exitMisused, "services:fly")
	m3o("token", "create", "x", "--expires", "90000h").fails(t, exitMisused, "expires")
	if list := m3o("token", "list").must(t).out; !strings.Contains(list, "laptop") || strings.Contains(list, token) {
		t.Errorf("%s", list)
	}
	t.Setenv("M3O_TOKEN", token)
	m3o("services").must(t)
	m3o("user", "list").fails(t, exitFailed, "users:read")
	t.Setenv("M3O_TOKEN", token[:len(token)-1]+"x")
	m3o("services").fails(t, exitFailed, "mistyped")
	t.Setenv("M3O_TOKEN", apitest.Token)
	m3o("token", "revoke", "laptop").must(t)
	m3o("token", "revoke", "laptop").fails(t, exitFailed, "laptop")
	t.Setenv("M3O_TOKEN", token)
	m3o("services").fails(t, exitFailed, "M3O_TOKEN")
}

func TestASuspendedProjectSaysWhy(t *testing.T) {
	twoRegions(t)
	m3o("project", "create", "shop").must(t)
	m3o("project", "suspend", "shop", "--message", "sends spam").must(t)
	m3o("project", "suspend", "shop", "--reason", "dunning").must(t)
	m3o("project", "suspend", "shop", "--reason", "mood").fails(t, exitMisused, "mood")
	m3o("run", program(t, "cart"), "--project", "shop").fails(t, exitFailed, "suspended", "sends spam", "dunning")
	if out := m3o("project", "unsuspend", "shop").must(t).out; !strings.Contains(out, "still suspended") {
		t.Errorf("%s", out)
	}
	m3o("project", "unsuspend", "shop", "--reason", "dunning").must(t)
	m3o("run", "cart", "--project", "shop").must(t)
}

func TestTheAdminTokenWarnsThatItDoesNotExpire(t *testing.T) {
	w := apitest.New(t)
	at(t, w)
	m3o("whoami").must(t).says(t, "does not expire")
}
