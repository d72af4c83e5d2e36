package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/ticket"
)

// concrete fills in the places of a route's path.
func concrete(path string) string { return concreteIn(path, "default") }

func concreteIn(path, project string) string {
	return strings.NewReplacer("{name}", "hello", "{number}", "1", "{id}", "abc", "{digest}", sourceDigest, "{project}", project, "{user}", "ghost",
		"{token}", "ghost-token", "{role}", "owner", "{reason}", "operator", "{contact}", "con_1", "{schedule}", "primary").Replace(path)
}

func TestEveryRouteWantsAToken(t *testing.T) {
	s := newSite(t)
	for _, r := range s.api.Routes() {
		if rest.OpenRoutes[r.Action] {
			continue
		}
		t.Run(r.Action, func(t *testing.T) {
			for name, h := range map[string]header{"none": {}, "wrong": as("thief"), "expired": as("past"), "empty": {"Authorization", "Bearer "},
				"another scheme": {"Authorization", "Basic dG9rZW4tb2YtYWRtaW46"}, "in the query": {}} {
				path := concrete(r.Path)
				if name == "in the query" {
					path += "?token=" + secretOf("admin") + "&access_token=" + secretOf("admin")
				}
				if h.name == "" {
					h = header{"X-Nothing", "1"}
				}
				got := s.do(r.Method, path, "{}", h)
				if got.refused(t, http.StatusUnauthorized); got.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s: no WWW-Authenticate", name)
				}
			}
		})
	}
	if s.commands.count() > 0 {
		t.Errorf("without a token was done: %v", s.commands.done)
	}
}

func TestEveryRouteWantsItsPermission(t *testing.T) {
	s := newSite(t)
	for _, r := range s.api.Routes() {
		if r.About == rest.AboutPlatform {
			s.do(r.Method, concrete(r.Path), "{}", as("nobody")).refused(t, http.StatusForbidden, string(r.Permission))
		} else if r.About != rest.AboutCaller {
			s.do(r.Method, concrete(r.Path), "{}", as("nobody")).refused(t, http.StatusForbidden)
		}
	}
	if s.commands.count() > 0 {
		t.Errorf("without permission was done: %v", s.commands.done)
	}
}

func TestAReaderMayNotWrite(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	s.do("GET", "/v1/services/hello", nil, as("reader")).ok(t, 200, nil)
	s.do("DELETE", "/v1/services/hello", nil, as("reader")).refused(t, 403, string(account.WriteServices))
	s.do("POST", "/v1/services/hello/call-tickets", nil, as("reader")).refused(t, 403, string(account.CallServices))
}

func TestACookieIsNoTokenButForTheCodec(t *testing.T) {
	s := newSite(t)
	cookie := s.session("admin")
	for _, r := range s.api.Routes() {
		if rest.OpenRoutes[r.Action] || strings.Contains(r.Path, "/codec/") || r.Action == "logout" {
			continue
		}
		s.do(r.Method, concrete(r.Path), "{}", cookie).refused(t, http.StatusUnauthorized)
	}
}

func TestProjectsAreKeptApart(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	s.service("shop", "cart")
	for _, path := range []string{"/v1/services/hello?project=default", "/v1/services/hello/releases?project=default", "/v1/services/hello/releases/1?project=default",
		"/v1/services/hello/releases/1/log?project=default", "/v1/services?project=default", "/v1/services/hello/progress?project=default"} {
		s.do("GET", path, nil, as("shop")).refused(t, 403, `may not act in project \"default\"`)
	}
	for _, r := range []struct{ method, path string }{{"DELETE", "/v1/services/hello?project=default"}, {"POST", "/v1/services/hello/rollback?project=default"},
		{"POST", "/v1/services/hello/releases?project=default"}, {"POST", "/v1/services/hello/call-tickets?project=default"}, {"POST", "/v1/services/hello/log-tickets?project=default"}} {
		body := "{}"
		if strings.Contains(r.path, "/releases") {
			body = `{"image": "x"}`
		}
		s.do(r.method, r.path, body, as("shop")).refused(t, 403, `may not act in project \"default\"`)
	}
	s.do("GET", "/v1/services/hello", nil, as("shop")).refused(t, 404)
	s.do("GET", "/v1/services/hello?project=nowhere", nil, as("shop")).refused(t, 403, `may not act in project \"nowhere\"`)
	var list struct {
		Items []struct{ Key struct{ Name string } }
	}
	s.do("GET", "/v1/services", nil, as("shop")).ok(t, 200, &list)
	if len(list.Items) != 1 || list.Items[0].Key.Name != "cart" {
		t.Errorf("the list of the shop's services is %+v", list)
	}
	s.do("GET", "/v1/services/cart?project=shop", nil, as("admin")).ok(t, 200, nil)
	if s.commands.count() > 0 {
		t.Errorf("in another's project was done: %v", s.commands.done)
	}
}

func TestATicketIsForItsServiceAndTheRegionsWhereItRuns(t *testing.T) {
	s := newSite(t)
	must(t, s.store.RecordRegion(t.Context(), lon1()))
	other := lon1() // of the same name, on another platform
	other.Spec.Platform, other.Endpoints.API = "other", "http://other/"
	must(t, s.store.RecordRegion(t.Context(), other))
	s.service("default", "hello")
	for _, route := range []string{"call-tickets", "log-tickets"} {
		var permit struct {
			Ticket  string
			Regions []struct{ Region, Gateway, Service string }
		}
		s.do("POST", "/v1/services/hello/"+route, nil, as("admin")).ok(t, 201, &permit)
		if len(permit.Regions) != 1 || permit.Regions[0].Region != "micro/lon1" || permit.Regions[0].Service != "http://lon1/hello/" {
			t.Errorf("permitted %+v", permit)
		}
		keys, err := ticket.ParseDocument(s.api.Tickets.(*ticket.Signer).Document())
		must(t, err)
		for region, good := range map[string]bool{"micro/lon1": true, "micro/nyc3": true, "other/lon1": false} {
			if _, err := ticket.NewVerifier(region, keys).Verify(permit.Ticket); (err == nil) != good {
				t.Errorf("%s: the gateway of %s says: %v", route, region, err)
			}
		}
	}
}

// TestServicesThatNobodyBroughtOutMayBeCalled: they may have registered themselves. Logs there are none of.
func TestServicesThatNobodyBroughtOutMayBeCalled(t *testing.T) {
	s := newSite(t)
	s.do("POST", "/v1/services/greeter/call-tickets", nil, as("admin")).refused(t, 404, "greeter") // there is no gateway to ask
	away := lon1()
	away.Spec.Name, away.Status = "nyc3", region.Creating
	must(t, s.store.RecordRegion(t.Context(), lon1()))
	must(t, s.store.RecordRegion(t.Context(), away))
	var permit struct {
		Ticket  string
		Regions []struct{ Region, Service string }
	}
	s.do("POST", "/v1/services/greeter/call-tickets", nil, as("admin")).ok(t, 201, &permit)
	if len(permit.Regions) != 1 || permit.Regions[0].Service != "http://lon1/greeter/" || permit.Ticket == "" {
		t.Errorf("permitted %+v", permit)
	}
	s.do("POST", "/v1/services/greeter/log-tickets", nil, as("admin")).refused(t, 404, "greeter")
	s.do("POST", "/v1/services/No..Name/call-tickets", nil, as("admin")).refused(t, 404)
	s.do("POST", "/v1/services/greeter/call-tickets", nil, as("reader")).refused(t, 403)
}

func TestWhereNothingRunsThereIsNoTicket(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello") // its region is gone
	var permit struct {
		Ticket  string
		Regions []any
	}
	s.do("POST", "/v1/services/hello/call-tickets", nil, as("admin")).ok(t, 201, &permit)
	if permit.Ticket != "" || permit.Regions == nil || len(permit.Regions) != 0 {
		t.Errorf("permitted %+v", permit)
	}
}

// TestAProjectDoesNotOperateThePlatform: what is no project's is not for a principal of one, whatever its scopes.
func TestAProjectDoesNotOperateThePlatform(t *testing.T) {
	s := newSite(t)
	must(t, s.store.RecordRegion(t.Context(), lon1()))
	for _, r := range s.api.Routes() {
		if r.About == rest.AboutPlatform {
			s.do(r.Method, concreteIn(r.Path, "shop"), "{}", as("shop")).refused(t, 403, `acts in project \"shop\" alone`)
		}
	}
	if s.commands.count() > 0 {
		t.Errorf("for one project was done: %v", s.commands.done)
	}
}

func TestRequestIds(t *testing.T) {
	s := newSite(t)
	for given, kept := range map[string]bool{"abc-1": true, "": false, strings.Repeat("a", 65): false, "a b": false, "<script>": false} {
		got := s.do("GET", "/healthz", nil, header{"X-Request-Id", given}).header.Get("X-Request-Id")
		if got == "" || (got == given) != kept {
			t.Errorf("given %q, answered %q", given, got)
		}
	}
}

func TestHealth(t *testing.T) {
	s := newSite(t)
	s.do("GET", "/healthz", nil).ok(t, 200, nil)
	s.do("GET", "/readyz", nil).ok(t, 200, nil)
	s.api.Ready = func(*http.Request) error { return http.ErrServerClosed }
	s.do("GET", "/healthz", nil).ok(t, 200, nil)
	s.do("GET", "/readyz", nil).refused(t, 503, "not ready")
}
