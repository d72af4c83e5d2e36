package account_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// everywhere has every permission.
func everywhere() account.Principal {
	return account.Principal{Subject: "ada", Scopes: []string{account.All}, Platform: []account.Role{account.Operator}}
}

func TestWhatScopesLeaveOfARole(t *testing.T) {
	for _, c := range []struct {
		scopes []string
		need   account.Permission
		want   bool
	}{
		{nil, account.ReadServices, false},
		{nil, account.Known, true},
		{nil, account.WriteTokens, false},
		{[]string{account.All}, account.DecodePayloads, true},
		{[]string{"services:read"}, account.ReadServices, true},
		{[]string{"services:read"}, account.WriteServices, false},
		{[]string{"services:read"}, account.WriteTokens, false},
		{[]string{"tokens:*"}, account.WriteTokens, true},
		{[]string{"services:*"}, account.CallServices, true},
		{[]string{"services:*"}, account.ReadRegions, false},
		{[]string{"services"}, account.ReadServices, false},
		{[]string{"*:read"}, account.ReadServices, false},
		{[]string{"regions:access"}, account.InspectRegions, true},
		{[]string{"regions:inspect"}, account.AccessRegions, false},
		{[]string{"regions:read", "services:write"}, account.WriteServices, true},
	} {
		p := everywhere()
		p.Scopes = c.scopes
		if got := p.May(c.need, ""); got != c.want {
			t.Errorf("%q may %q: %t", c.scopes, c.need, got)
		}
	}
}

// TestAWriterInOneProjectAndReaderInAnother writes in the one alone.
func TestAWriterInOneProjectAndReaderInAnother(t *testing.T) {
	p := account.Principal{Scopes: []string{account.All}, Projects: map[string][]account.Role{"a": {account.Viewer}, "b": {account.Developer}}}
	for project, writes := range map[string]bool{"a": false, "b": true, "c": false, "": false} {
		if p.May(account.WriteServices, project) != writes || p.May(account.ReadServices, project) != (project == "a" || project == "b") {
			t.Errorf("in %q: writes %t, reads %t", project, p.May(account.WriteServices, project), p.May(account.ReadServices, project))
		}
	}
	if within, all := p.Within(account.ReadServices); all || !slices.Equal(within, []string{"a", "b"}) {
		t.Errorf("reads within %v, %t", within, all)
	}
	if within, all := p.Within(account.WriteServices); all || !slices.Equal(within, []string{"b"}) {
		t.Errorf("writes within %v, %t", within, all)
	}
}

// TestThePlatformsOwnNameIsNoProjects: its images are in the registry where a project of that name would have its own.
func TestThePlatformsOwnNameIsNoProjects(t *testing.T) {
	for name, fine := range map[string]bool{"m3o": false, "m3o-shop": true, "shop": true, "": false, "a--b": false} {
		if err := account.CheckProject("name", name); (err == nil) != fine || !fine && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestATokenForOneProjectHoldsNothingElse(t *testing.T) {
	p := everywhere()
	p.Project = "shop"
	for _, need := range []account.Permission{account.ReadServices, account.ReadRegions, account.WriteUsers, account.ReadEvents} {
		if p.May(need, "") || p.May(need, "default") || p.May(need, "shop") == need.PlatformWide() {
			t.Errorf("%s: on the platform %t, in default %t, in shop %t", need, p.May(need, ""), p.May(need, "default"), p.May(need, "shop"))
		}
	}
	if within, all := p.Within(account.ReadServices); all || !slices.Equal(within, []string{"shop"}) {
		t.Errorf("reads within %v, %t", within, all)
	}
	if p.Home() != "shop" || everywhere().Home() != account.DefaultProject {
		t.Error("a request without a project is about the wrong one")
	}
}

func TestEveryPermissionIsHeldByTheOperator(t *testing.T) {
	for _, role := range append(account.ProjectRoles(), account.PlatformRoles()...) {
		for _, scope := range []account.Permission{account.ReadRegions, account.WriteUsers, account.WriteRoles, account.WriteServices, account.WriteMembers} {
			if role.Holds(scope) && !account.Operator.Holds(scope) {
				t.Errorf("%s holds %s, which the operator does not", role, scope)
			}
		}
	}
	for _, role := range account.ProjectRoles() {
		for _, need := range []account.Permission{account.ReadRegions, account.ReadAudit, account.ReadUsers, account.CreateProjects, account.SuspendProjects} {
			if role.Holds(need) {
				t.Errorf("%s, a role in projects, holds %s", role, need)
			}
		}
	}
}

func TestASecretThatWasMistyped(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range []account.Prefix{account.PersonToken, account.ServiceToken, account.InviteCode} {
		for range 50 {
			secret := account.NewSecret(kind)
			if seen[secret] || !strings.HasPrefix(secret, string(kind)) || account.CheckSecret(secret, kind) != nil {
				t.Fatalf("made %q: %v", secret, account.CheckSecret(secret, kind))
			}
			seen[secret] = true
			for i := len(kind); i < len(secret); i++ {
				wrong := []byte(secret)
				if wrong[i] = 'a'; secret[i] == 'a' {
					wrong[i] = 'b'
				}
				err := account.CheckSecret(string(wrong), kind)
				if !fault.Is(err, fault.Unauthenticated) || strings.Contains(err.Error(), string(wrong[len(kind):])) {
					t.Fatalf("with another letter at %d: %v", i, err)
				}
			}
			if err := account.CheckSecret(secret[:len(secret)-1], kind); !fault.Is(err, fault.Unauthenticated) || !strings.Contains(err.Error(), "not copied whole") {
				t.Errorf("cut off: %v", err)
			}
		}
	}
	if err := account.CheckSecret(account.NewSecret(account.InviteCode), account.PersonToken, account.ServiceToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a code was taken for a token: %v", err)
	}
}

func TestWhatTokensCanBeAskedFor(t *testing.T) {
	good := account.TokenSpec{Name: "Ada's laptop"}
	good.Name = "laptop 2"
	if err := good.WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		spec account.TokenSpec
		want string
	}{
		"no name":           {account.TokenSpec{}, "name:"},
		"a name with a /":   {account.TokenSpec{Name: "a/b"}, `name: "a/b"`},
		"a scope":           {account.TokenSpec{Name: "a", Scopes: []string{"*", "services:sing"}}, `scopes[1]: "services:sing"`},
		"a noun":            {account.TokenSpec{Name: "a", Scopes: []string{"songs:*"}}, `scopes[0]: "songs:*"`},
		"all of everything": {account.TokenSpec{Name: "a", Scopes: []string{"*:*"}}, "scopes[0]"},
		"too many":          {account.TokenSpec{Name: "a", Scopes: slices.Repeat([]string{"*"}, 51)}, "51 are more than 50"},
		"for ever":          {account.TokenSpec{Name: "a", Life: 366 * 24 * time.Hour}, "expires_in: 8784h0m0s"},
		"for no time":       {account.TokenSpec{Name: "a", Life: time.Second}, "expires_in: 1s"},
	} {
		if err := c.spec.WithDefaults().Validate(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
