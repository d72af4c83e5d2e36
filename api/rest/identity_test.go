package rest_test

import (
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/account"
)

// bearer presents a secret that was just made.
func bearer(secret string) header { return header{"Authorization", "Bearer " + secret} }

func TestAnInvitedUserLogsInOnce(t *testing.T) {
	s := newSite(t)
	var invited account.Invitation
	s.do("POST", "/v1/users", map[string]string{"name": "ada", "email": "ada@example.com"}, as("admin")).ok(t, 201, &invited)
	if invited.User.Status != account.Invited || !strings.HasPrefix(invited.Code, "m3o_inv_") || time.Until(invited.ExpiresAt) < 6*24*time.Hour {
		t.Errorf("invited %+v", invited)
	}
	var made rest.NewToken
	s.do("POST", "/v1/login", map[string]string{"code": invited.Code, "name": "laptop"}).ok(t, 201, &made)
	s.do("POST", "/v1/login", map[string]string{"code": invited.Code}).refused(t, 401, "ask for another invitation")
	if made.Subject != "ada" || made.Token.Name != "laptop" || time.Until(made.Token.ExpiresAt) < 89*24*time.Hour {
		t.Errorf("made %+v", made)
	}
	var who rest.Whoami
	s.do("GET", "/v1/whoami", nil, bearer(made.Secret)).ok(t, 200, &who)
	if who.Subject != "ada" || len(who.Warnings) > 0 || who.Token.Name != "laptop" {
		t.Errorf("she is %+v", who)
	}
	list := s.audits()
	if len(list) != 2 || list[1].Action != "invite-user" || list[1].Target != "/v1/users/ada" || list[1].Subject != "admin" || list[1].Status != 201 ||
		list[0].Action != "login-by-code" || list[0].Subject != "ada" || list[0].Target != "/v1/tokens/laptop" || list[0].Status != 201 {
		t.Errorf("audited %+v", list)
	}
	s.do("POST", "/v1/logout", nil, bearer(made.Secret)).ok(t, 204, nil)
	s.do("GET", "/v1/whoami", nil, bearer(made.Secret)).refused(t, 401, "revoked")
}

// TestNobodyIsInvitedToBeAnother: whoever may write users, and no more, gets no code for an operator, nor for anybody.
func TestNobodyIsInvitedToBeAnother(t *testing.T) {
	s := newSite(t)
	s.user("ada", "/operator")
	s.token("narrow", account.TokenSpec{Owner: s.named("ada"), Scopes: []string{"users:*", "roles:*", "tokens:*"}})
	s.do("POST", "/v1/users", map[string]string{"name": "eve"}, as("narrow")).refused(t, 403, "an invitation makes a token")
	s.do("POST", "/v1/users/admin/invitation", nil, as("narrow")).refused(t, 403, "an invitation makes a token")
	s.do("POST", "/v1/users/admin/invitation", nil, as("ada")).refused(t, 409, "is active and holds a token")
	s.user("bob")
	s.do("DELETE", "/v1/users/bob/tokens/bob", nil, as("ada")).ok(t, 204, nil)
	var again account.Invitation
	s.do("POST", "/v1/users/bob/invitation", nil, as("ada")).ok(t, 201, &again)
	s.do("POST", "/v1/login", map[string]string{"code": again.Code}).ok(t, 201, nil)
	s.do("POST", "/v1/users/bob/invitation", nil, as("ada")).refused(t, 409)
}

func TestAMistypedTokenIsRefusedWithoutALook(t *testing.T) {
	s := newSite(t)
	s.api.Accounts, s.api.Identity = nil, nil // nothing can be looked up
	secret := secretOf("admin")
	s.do("GET", "/v1/whoami", nil, bearer(secret[:len(secret)-1]+"!")).refused(t, 401, "mistyped")
	s.do("GET", "/v1/whoami", nil, bearer(secret[:20])).refused(t, 401, "not copied whole")
	s.do("GET", "/v1/whoami", nil, bearer("something else")).refused(t, 401, "not of the form")
	s.do("POST", "/v1/login", map[string]string{"code": "m3o_inv_x"}).refused(t, 401, "not copied whole")
}

func TestTheFirstTokenWarns(t *testing.T) {
	s := newSite(t)
	var who rest.Whoami
	s.do("GET", "/v1/whoami", nil, as("admin")).ok(t, 200, &who)
	if len(who.Warnings) != 1 || !strings.Contains(who.Warnings[0], "does not expire") || !slices.Equal(who.Platform, []account.Role{account.Operator}) {
		t.Errorf("the administrator is %+v", who)
	}
}

func TestLoggingInIsLimited(t *testing.T) {
	s := newSite(t)
	for range 10 {
		s.do("POST", "/v1/login", map[string]string{"code": account.NewSecret(account.InviteCode)}).refused(t, 401)
	}
	r := s.do("POST", "/v1/login", map[string]string{"code": account.NewSecret(account.InviteCode)})
	if r.refused(t, 429, "too many attempts"); r.header.Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
	if r := s.do("POST", "/login", url.Values{"token": {secretOf("admin")}}.Encode(), header{"Content-Type", "application/x-www-form-urlencoded"}); r.status != 429 {
		t.Errorf("the page is a way around: %d", r.status)
	}
	s.do("GET", "/v1/whoami", nil, as("admin")).ok(t, 200, nil) // who has a token is not slowed down
}

func TestBehindAProxyAddressesAreToldApart(t *testing.T) {
	s := newSite(t, func(a *rest.API) { a.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	try := func(forwarded string) reply {
		return s.do("POST", "/v1/login", map[string]string{"code": account.NewSecret(account.InviteCode)}, header{"X-Forwarded-For", forwarded})
	}
	for range 11 {
		try("6.6.6.6, 203.0.113.7") // what came before the proxy's own word is anybody's
	}
	try("1.2.3.4, 203.0.113.7").refused(t, 429)
	try("203.0.113.7, 203.0.113.8").refused(t, 401)
	plain := newSite(t)
	for range 10 {
		plain.do("POST", "/v1/login", map[string]string{"code": account.NewSecret(account.InviteCode)}, header{"X-Forwarded-For", "203.0.113.9"})
	}
	plain.do("POST", "/v1/login", map[string]string{"code": account.NewSecret(account.InviteCode)}, header{"X-Forwarded-For", "203.0.113.10"}).refused(t, 429)
}

func TestTheCookieIsForHTTPSWhereverThatEnds(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, c := range map[string]struct {
		change func(*rest.API)
		proto  string
		want   bool
	}{
		"plain":                   {func(*rest.API) {}, "", false},
		"somebody says https":     {func(*rest.API) {}, "https", false},
		"a public URL over https": {func(a *rest.API) { a.PublicURL = "https://api.example.com" }, "", true},
		"a proxy of ours says so": {func(a *rest.API) { a.TrustedProxies = proxies }, "https", true},
		"a proxy of ours says no": {func(a *rest.API) { a.TrustedProxies = proxies }, "http", false},
	} {
		s := newSite(t, c.change)
		r := s.do("POST", "/login", url.Values{"token": {secretOf("admin")}}.Encode(), header{"Content-Type", "application/x-www-form-urlencoded"}, header{"X-Forwarded-Proto", c.proto})
		cookie, err := http.ParseSetCookie(r.header.Get("Set-Cookie"))
		must(t, err)
		if cookie.Secure != c.want {
			t.Errorf("%s: %s", name, cookie)
		}
	}
}

func TestABrowserLogsOut(t *testing.T) {
	s := newSite(t)
	session := s.session("admin")
	s.do("POST", "/v1/codec/decode", `{"payloads":[]}`, session).ok(t, 200, nil)
	s.do("POST", "/v1/logout", nil, session).ok(t, 204, nil)
	s.do("POST", "/v1/codec/decode", `{"payloads":[]}`, session).refused(t, 401, "has ended")
	s.do("GET", "/v1/whoami", nil, as("admin")).ok(t, 200, nil) // the token is another matter
}

// ends fails the test unless the stream ends within seconds.
func (l *listener) ends(why string) {
	l.t.Helper()
	ended := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, l.lines); ended <- err }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		l.t.Errorf("the stream goes on: %s", why)
	}
}

func TestAStreamEndsWithWhatLetItsReaderIn(t *testing.T) {
	s := newSite(t)
	s.user("ada", "shop/viewer", "/auditor")
	ada := s.named("ada")
	revoked := s.listen("/v1/events", as("ada"))
	must(t, s.store.RevokeToken(t.Context(), ada, "ada", "admin"))
	revoked.ends("its token was revoked")
	s.token("ada", account.TokenSpec{Owner: ada})
	all, one := s.listen("/v1/events", as("ada")), s.listen("/v1/events?project=shop", as("ada"))
	must(t, s.store.Revoke(t.Context(), "", "ada", account.Auditor, "admin"))
	time.Sleep(2500 * time.Millisecond) // who reads is asked every two seconds
	s.happens(1, "ready")               // of the platform, which she may no longer read
	s.service("shop", "cart")
	for got := ""; !strings.Contains(got, "release.pending shop/cart/1"); {
		if got = all.next(); strings.Contains(got, "lon1") {
			t.Errorf("she still hears of the platform: %s", got)
		}
	}
	must(t, s.store.Revoke(t.Context(), "shop", "ada", account.Viewer, "admin"))
	all.ends("her last role was taken")
	one.ends("her role in it was taken")
}

func TestATokenMakesNoneThatIsWider(t *testing.T) {
	s := newSite(t)
	s.user("ada", "/operator")
	ada := s.named("ada")
	s.token("narrow", account.TokenSpec{Owner: ada, Scopes: []string{"tokens:*", "services:read"}})
	s.token("one", account.TokenSpec{Owner: ada, Project: "shop"})
	ask := func(who string, body map[string]any) reply { return s.do("POST", "/v1/tokens", body, as(who)) }
	ask("narrow", map[string]any{"name": "a", "scopes": []string{"*"}}).refused(t, 403, "does not hold the scope")
	ask("narrow", map[string]any{"name": "a", "scopes": []string{"services:*"}}).refused(t, 403)
	ask("one", map[string]any{"name": "a", "project": "default"}).refused(t, 403, `project \"shop\" alone`)
	ask("ada", map[string]any{"name": "ada"}).refused(t, 409, "already")
	ask("ada", map[string]any{"name": "a", "expires_in": "soon"}).refused(t, 422, "expires_in")
	ask("ada", map[string]any{"name": "a", "expires_in": "0s"}).refused(t, 422, "expires_in")
	ask("ada", map[string]any{"name": "a", "project": "nowhere"}).refused(t, 404)
	for who, want := range map[string]account.Token{"narrow": {Scopes: []string{"tokens:*", "services:read"}}, "one": {Scopes: []string{"*"}, Project: "shop"}} {
		var made rest.NewToken
		ask(who, map[string]any{"name": "made by " + who, "expires_in": "2h"}).ok(t, 201, &made)
		if !slices.Equal(made.Token.Scopes, want.Scopes) || made.Token.Project != want.Project || time.Until(made.Token.ExpiresAt) > 2*time.Hour {
			t.Errorf("%s made %+v", who, made.Token)
		}
	}
	r := s.do("GET", "/v1/tokens", nil, as("ada"))
	var list struct{ Items []account.Token }
	if r.ok(t, 200, &list); len(list.Items) != 5 || strings.Contains(r.body, secretOf("ada")) {
		t.Errorf("listed %s", r.body)
	}
	s.do("DELETE", "/v1/tokens/"+list.Items[1].ID, nil, as("ada")).ok(t, 204, nil)
	s.do("DELETE", "/v1/tokens/"+list.Items[1].ID, nil, as("ada")).refused(t, 404)
	s.do("DELETE", "/v1/users/ada/tokens/narrow", nil, as("admin")).ok(t, 204, nil)
	s.do("GET", "/v1/tokens", nil, as("narrow")).refused(t, 401)
}

func TestATokenDoesNotTellWhichProjectsThereAre(t *testing.T) {
	s := newSite(t)
	s.user("ada", "default/viewer")
	for _, project := range []string{"shop", "nowhere"} {
		s.do("POST", "/v1/tokens", map[string]any{"name": "a", "project": project}, as("ada")).refused(t, 403, `may not act in project \"`+project)
	}
	s.do("POST", "/v1/tokens", map[string]any{"name": "a", "project": "default"}, as("ada")).ok(t, 201, nil)
}

func TestANarrowTokenIsNotOutlived(t *testing.T) {
	s := newSite(t)
	s.user("ada", "/operator")
	ada := s.named("ada")
	s.token("hour", account.TokenSpec{Owner: ada, Scopes: []string{"tokens:*"}, Life: time.Hour})
	s.token("whole", account.TokenSpec{Owner: ada, Life: time.Hour})
	s.do("POST", "/v1/tokens", map[string]any{"name": "a", "expires_in": "8760h"}, as("hour")).refused(t, 403, "good for longer")
	var made rest.NewToken
	s.do("POST", "/v1/tokens", map[string]any{"name": "b"}, as("hour")).ok(t, 201, &made)
	if left := time.Until(made.Token.ExpiresAt); left > time.Hour || left < time.Hour-time.Minute {
		t.Errorf("the token is good for %s", left)
	}
	s.do("POST", "/v1/tokens", map[string]any{"name": "c", "expires_in": "8760h"}, as("whole")).ok(t, 201, nil)
}

func TestASecretIsKeptNowhere(t *testing.T) {
	s := newSite(t)
	body := map[string]any{"name": "ci"}
	s.do("POST", "/v1/tokens", body, as("admin"), once("k1")).ok(t, 201, nil)
	s.do("POST", "/v1/tokens", body, as("admin"), once("k1")).refused(t, 409, "already")
}

func TestWhoReadsInOneProjectAndWritesInAnother(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	s.service("shop", "cart")
	s.user("ada", "default/viewer", "shop/developer")
	s.do("GET", "/v1/services/hello?project=default", nil, as("ada")).ok(t, 200, nil)
	s.do("DELETE", "/v1/services/hello?project=default", nil, as("ada")).refused(t, 403, `in project \"default\": it needs \"services:write\"`)
	s.do("POST", "/v1/services/hello/releases?project=default", `{"image": "x"}`, as("ada")).refused(t, 403)
	s.do("POST", "/v1/services/hello/call-tickets", nil, as("ada")).refused(t, 403)
	s.do("DELETE", "/v1/services/cart?project=shop", nil, as("ada")).ok(t, 202, nil)
	s.do("DELETE", "/v1/services/hello?project=shop&project=default", nil, as("ada")).refused(t, 404) // of two the first counts, everywhere
	if got := strings.Join(s.commands.done, ", "); got != "KillService shop/cart" {
		t.Errorf("done: %s", got)
	}
	var list struct{ Items []account.Project }
	s.do("GET", "/v1/projects", nil, as("ada")).ok(t, 200, &list)
	if len(list.Items) != 2 {
		t.Errorf("she may read %+v", list.Items)
	}
	s.do("GET", "/v1/projects", nil, as("shop")).ok(t, 200, &list)
	if len(list.Items) != 1 || list.Items[0].Name != "shop" {
		t.Errorf("the shop may read %+v", list.Items)
	}
}

func TestASuspendedProjectIsRefusedItsWork(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	for _, reason := range []string{"operator", "dunning"} {
		s.do("PUT", "/v1/projects/default/suspensions/"+reason, map[string]string{"message": "because"}, as("admin")).ok(t, 200, nil)
	}
	s.do("PUT", "/v1/projects/default/suspensions/mood", "{}", as("admin")).refused(t, 422, "mood")
	s.do("PUT", "/v1/projects/nowhere/suspensions/cap", "{}", as("admin")).refused(t, 404)
	for _, r := range s.api.Routes() {
		if r.Works() {
			s.do(r.Method, concrete(r.Path), "{}", as("admin")).refused(t, 403, `project \"default\" is suspended: operator (because), dunning (because)`)
		}
	}
	s.do("GET", "/v1/services/hello", nil, as("admin")).ok(t, 200, nil)
	s.do("GET", "/v1/projects/default", nil, as("admin")).ok(t, 200, nil)
	s.do("DELETE", "/v1/services/hello", nil, as("admin")).ok(t, 202, nil) // less is always possible
	s.do("DELETE", "/v1/projects/default/suspensions/operator", nil, as("admin")).ok(t, 200, nil)
	s.do("POST", deployPath, `{"image": "x"}`, as("admin")).refused(t, 403, "suspended: dunning")
	s.do("DELETE", "/v1/projects/default/suspensions/dunning", nil, as("admin")).ok(t, 200, nil)
	s.do("POST", deployPath, `{"image": "x"}`, as("admin")).ok(t, 202, nil)
}

func TestAProjectOnItsWayOutTakesNothingNew(t *testing.T) {
	s := newSite(t)
	s.service("shop", "cart")
	s.do("DELETE", "/v1/projects/shop", nil, as("admin")).refused(t, 409, "cart", "cascade")
	var started rest.Started
	s.do("DELETE", "/v1/projects/shop?cascade=true", nil, as("shop")).ok(t, 202, &started)
	if started.ID != "project/shop/remove" {
		t.Errorf("started %+v", started)
	}
	var view rest.ProjectView
	s.do("GET", "/v1/projects/shop", nil, as("admin")).ok(t, 200, &view)
	if view.Status != account.ProjectRemoving || view.Removal == nil || view.Removal.Waiting == "" {
		t.Errorf("it is shown as %+v", view)
	}
	s.do("POST", "/v1/services/cart/releases?project=shop", `{"image": "x"}`, as("admin")).refused(t, 409, "is being removed")
	s.do("POST", "/v1/projects/shop/service-accounts", map[string]string{"name": "ci"}, as("admin")).refused(t, 409)
	s.do("PUT", "/v1/projects/shop/suspensions/cap", "{}", as("admin")).refused(t, 409)
	s.do("DELETE", "/v1/projects/shop?cascade=true", nil, as("admin")).ok(t, 202, nil)
	s.do("DELETE", "/v1/projects/default?cascade=true", nil, as("admin")).refused(t, 409)
}

func TestProjectsMembersAndServiceAccounts(t *testing.T) {
	s := newSite(t)
	must(t, s.store.RecordRegion(t.Context(), lon1()))
	var made account.Project
	s.do("POST", "/v1/projects", map[string]string{"name": "bank"}, as("admin")).ok(t, 201, &made)
	if made.Platform != "micro" {
		t.Errorf("made %+v", made)
	}
	s.do("POST", "/v1/projects", map[string]string{"name": "a--b"}, as("admin")).refused(t, 422, "two hyphens")
	s.user("ada")
	s.do("PUT", "/v1/projects/bank/members/ada/roles/owner", nil, as("admin")).ok(t, 204, nil)
	s.do("PUT", "/v1/projects/bank/members/ada/roles/king", nil, as("admin")).refused(t, 422, "king")
	s.do("PUT", "/v1/projects/bank/members/nobody/roles/developer", nil, as("ada")).ok(t, 204, nil) // an owner brings others in
	s.do("PUT", "/v1/users/ada/roles/operator", nil, as("ada")).refused(t, 403)
	var account1 account.ServiceAccount
	s.do("POST", "/v1/projects/bank/service-accounts", map[string]string{"name": "ci"}, as("ada")).ok(t, 201, &account1)
	if account1.Role != account.Developer {
		t.Errorf("made %+v", account1)
	}
	var token rest.NewToken
	s.do("POST", "/v1/projects/bank/service-accounts/ci/tokens", map[string]any{"name": "ci"}, as("ada")).ok(t, 201, &token)
	s.do("POST", "/v1/projects/bank/service-accounts/ci/tokens", map[string]any{"name": "ci2", "project": "default"}, as("ada")).refused(t, 422, "project")
	if !strings.HasPrefix(token.Secret, "m3o_sat_") || token.Subject != "bank/ci" {
		t.Errorf("made %+v", token)
	}
	s.do("GET", "/v1/services", nil, bearer(token.Secret)).ok(t, 200, nil)
	s.do("GET", "/v1/services?project=default", nil, bearer(token.Secret)).refused(t, 403)
	var members struct{ Items []account.Member }
	s.do("GET", "/v1/projects/bank/members", nil, bearer(token.Secret)).ok(t, 200, &members)
	if len(members.Items) != 3 || members.Items[2].Name != "sa:ci" {
		t.Errorf("members are %+v", members.Items)
	}
	s.do("DELETE", "/v1/projects/bank/service-accounts/ci", nil, as("ada")).ok(t, 204, nil)
	s.do("GET", "/v1/services", nil, bearer(token.Secret)).refused(t, 401)
	s.do("DELETE", "/v1/projects/bank/members/nobody/roles/developer", nil, as("ada")).ok(t, 204, nil)
	s.do("DELETE", "/v1/users/admin", nil, as("admin")).refused(t, 409, "last active operator")
	if list := s.audits(); list[len(list)-3].Target != "/v1/projects/bank/members/ada/roles/owner" || list[len(list)-3].Project != "bank" {
		t.Errorf("audited %+v", list[len(list)-3])
	}
}
