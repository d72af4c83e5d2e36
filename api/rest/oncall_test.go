package rest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/oncall"
)

// rota gives a project a schedule of people who take turns by the day.
func (s *site) rota(project string, people ...string) {
	s.t.Helper()
	rules := alert.DefaultRules(project)
	rules.Default.Urgency = alert.Low
	rules.Schedules = []oncall.Schedule{{Name: "primary", Zone: "Europe/London", Layers: []oncall.Layer{
		{Name: "days", People: people, Rotation: oncall.Daily, Start: "2026-01-05T09:00"}}}}
	_, err := s.store.ApplyRules(s.t.Context(), rules, "admin")
	must(s.t, err)
}

// verifies gives a person a verified contact.
func (s *site) verifies(who, address string) {
	s.t.Helper()
	ctx := s.t.Context()
	c, err := s.store.CreateContact(ctx, who, alert.Email, address)
	must(s.t, err)
	n, err := s.store.BeginCode(ctx, who, c.ID)
	must(s.t, err)
	must(s.t, s.store.RecordCode(ctx, alert.CodeRecord{Contact: c.ID, N: n, Hash: alert.HashCode("ABCDEFGH"), Expires: time.Now().Add(time.Hour)}))
	_, err = s.store.VerifyContact(ctx, who, c.ID, "ABCDEFGH")
	must(s.t, err)
}

func TestContactsAreTheCallersOwn(t *testing.T) {
	s := newSite(t)
	s.user("ana")
	var added rest.ContactView
	s.do("POST", "/v1/contacts", map[string]string{"channel": "email", "address": "ana@example.com"}, as("ana")).ok(t, 201, &added)
	if !added.CodeSent || added.Person != "ana" || len(s.commands.done) != 1 || s.commands.ids[0] != alert.VerifyID(added.ID, 1) {
		t.Errorf("added %+v; done %v by %v", added, s.commands.done, s.commands.ids)
	}
	path := "/v1/contacts/" + added.ID
	soon := s.do("POST", path+"/code", nil, as("ana"))
	if soon.refused(t, http.StatusTooManyRequests, "less than 1m ago"); soon.header.Get("Retry-After") == "" {
		t.Errorf("it does not say when to come back: %v", soon.header)
	}
	for _, r := range []struct{ method, path string }{{"POST", path + "/code"}, {"POST", path + "/verify"}, {"DELETE", path}} {
		var body any
		if strings.HasSuffix(r.path, "verify") {
			body = map[string]string{"code": "x"}
		}
		s.do(r.method, r.path, body, as("admin")).refused(t, http.StatusNotFound, "there is no contact")
		s.do(r.method, r.path, body, as("shop")).refused(t, http.StatusForbidden, "contacts are people's")
	}
	var list rest.List[alert.Contact]
	if s.do("GET", "/v1/contacts", nil, as("admin")).ok(t, 200, &list); len(list.Items) != 0 {
		t.Errorf("the administrator has %+v", list.Items)
	}
	s.do("POST", "/v1/contacts", map[string]string{"channel": "sms", "address": "0770"}, as("ana")).refused(t, 422, "address", "E.164", `\"0770\"`)
	s.do("DELETE", path, nil, as("ana")).ok(t, 204, nil)
}

// TestAContactIsKeptWhenNoCodeCanBeSent: another code is asked for later.
func TestAContactIsKeptWhenNoCodeCanBeSent(t *testing.T) {
	s := newSite(t)
	s.user("ana")
	s.commands.failing["VerifyContact"] = http.ErrServerClosed
	var added rest.ContactView
	s.do("POST", "/v1/contacts", map[string]string{"channel": "slack", "address": "U012ABCDEF"}, as("ana")).ok(t, 201, &added)
	if added.CodeSent || !strings.Contains(added.Message, "no code was sent") {
		t.Errorf("added %+v", added)
	}
}

// TestOthersSeeOfContactsWhatIsOfNoUse: and nothing of who has no role in the project, whom an owner can name all the same.
func TestOthersSeeOfContactsWhatIsOfNoUse(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	s.user("owner", "shop/owner")
	s.user("developer", "shop/developer")
	s.user("stranger")
	s.verifies("ana", "ana.lovelace@example.com")
	s.verifies("stranger", "stranger@example.com")
	s.rota("shop", "ana", "stranger")
	s.do("GET", "/v1/projects/shop/contacts", nil, as("developer")).refused(t, http.StatusForbidden)
	got := s.do("GET", "/v1/projects/shop/contacts", nil, as("owner"))
	var list rest.List[rest.Reach]
	got.ok(t, 200, &list)
	if len(list.Items) != 2 || len(list.Items[0].Contacts) != 1 || list.Items[0].Contacts[0].Address != "a***@example.com" || list.Items[0].Why != "" {
		t.Errorf("of ana it shows %+v", list.Items)
	}
	if strings.Contains(got.body, "lovelace") || strings.Contains(got.body, "con_") || len(list.Items[1].Contacts) != 0 || !strings.Contains(list.Items[1].Why, "may not act") {
		t.Errorf("it shows %s", got.body)
	}
}

func TestAnOverrideIsMadeOnce(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	s.rota("shop", "ana")
	body := map[string]any{"schedule": "primary", "person": "ana", "ends": time.Now().Add(time.Hour)}
	var first, second oncall.Override
	s.do("POST", "/v1/overrides?project=shop", body, as("ana"), once("k")).ok(t, 201, &first)
	s.do("POST", "/v1/overrides?project=shop", body, as("ana"), once("k")).ok(t, 201, &second)
	var list rest.List[oncall.Override]
	s.do("GET", "/v1/overrides?project=shop", nil, as("ana")).ok(t, 200, &list)
	if first.ID != second.ID || first.By != "ana" || len(list.Items) != 1 {
		t.Errorf("made %+v and %+v; there are %+v", first, second, list.Items)
	}
	body["ends"] = time.Now().Add(-time.Hour)
	s.do("POST", "/v1/overrides?project=shop", body, as("ana")).refused(t, 422, "ends", "is not after begins")
	s.do("DELETE", "/v1/overrides/"+first.ID, nil, as("ana")).refused(t, http.StatusForbidden) // in the default project
	s.do("DELETE", "/v1/overrides/"+first.ID+"?project=shop", nil, as("ana")).ok(t, 200, nil)
}
