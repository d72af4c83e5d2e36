package rest_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/release"
)

func TestEveryChangeIsAudited(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	s.do("DELETE", "/v1/services/hello", nil, as("admin"), header{"X-Request-Id", "abc-1"}).ok(t, 202, nil)
	s.do("DELETE", "/v1/services/hello", nil, as("reader")).refused(t, 403)
	s.do("DELETE", "/v1/services/nothing", nil, as("admin")).refused(t, 404)
	s.do("POST", "/v1/plans", "{", as("admin"))
	s.do("POST", "/v1/services/hello/rollback?project=shop", "{}", as("admin"))
	s.do("PUT", "/v1/sources/"+sourceDigest, "not an archive", as("admin"))
	s.do("GET", "/v1/services/hello", nil, as("admin"))
	list := s.audits()
	if len(list) != 6 {
		t.Fatalf("%d entries, want one for each of the 6 changes: %+v", len(list), list)
	}
	first, refused := list[5], list[4]
	if first.Subject != "admin" || first.Action != "kill-service" || first.Target != "/v1/services/hello" || first.Status != 202 || first.RequestID != "abc-1" || first.From != "127.0.0.1" || first.Kind != "user" {
		t.Errorf("the first entry is %+v", first)
	}
	if refused.Subject != "admin" || refused.Status != 403 {
		t.Errorf("the refused one is %+v", refused)
	}
	if list[1].Project != "shop" || list[0].Action != "put-source" || list[0].Status < 400 {
		t.Errorf("the last ones are %+v and %+v", list[1], list[0])
	}
}

// TestASuspensionIsAuditedOfItsProject: the permission is the platform's, and what is changed is one project.
func TestASuspensionIsAuditedOfItsProject(t *testing.T) {
	s := newSite(t)
	s.do("PUT", "/v1/projects/shop/suspensions/cap", "{}", as("admin")).ok(t, 200, nil)
	s.do("DELETE", "/v1/projects/shop/suspensions/cap", nil, as("reader")).refused(t, 403)
	list := s.audits()
	if len(list) != 2 || list[0].Project != "shop" || list[1].Project != "shop" {
		t.Errorf("kept is %+v", list)
	}
}

func TestStrangersDoNotFillTheAuditLog(t *testing.T) {
	s := newSite(t)
	for _, h := range []header{{"X-Nothing", "1"}, as("thief"), as("past")} {
		s.do("DELETE", "/v1/services/"+strings.Repeat("x", 4000), nil, h).refused(t, 401)
		s.do("POST", "/login", "token=wrong", header{"Content-Type", "application/x-www-form-urlencoded"})
	}
	if list := s.audits(); len(list) != 0 {
		t.Errorf("strangers made %d entries", len(list))
	}
	long := strings.Repeat("x", 4000)
	s.do("DELETE", "/v1/services/"+long+"?project="+long, nil, as("admin"))
	if list := s.audits(); len(list) != 1 || len(list[0].Target) > 300 || len(list[0].Project) > 100 {
		t.Errorf("of a long request is kept: %+v", list)
	}
}

func TestLoggingInIsAudited(t *testing.T) {
	s := newSite(t)
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	s.do("POST", "/login", url.Values{"token": {secretOf("reader")}}.Encode(), form).ok(t, http.StatusSeeOther, nil)
	list := s.audits()
	if len(list) != 1 || list[0].Action != "login" || list[0].Subject != "admin" || list[0].Status != http.StatusSeeOther || list[0].RequestID == "" {
		t.Errorf("kept is %+v", list)
	}
}

// panicking breaks down after it has killed a service.
type panicking struct{ *commands }

func (p panicking) KillService(ctx context.Context, id string, key release.Key, in release.KillInput) (release.Accepted, error) {
	_, _ = p.commands.KillService(ctx, id, key, in)
	panic(http.ErrAbortHandler)
}

func TestAChangeWhoseHandlerPanicsIsAudited(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	s.api.ServiceCommands = panicking{s.commands}
	r, err := http.NewRequest("DELETE", s.server.URL+"/v1/services/hello", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+secretOf("admin"))
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Fatalf("answered %s", resp.Status)
	}
	s.server.Close() // once the handler is done
	if list := s.audits(); len(list) != 1 || list[0].Action != "kill-service" || list[0].Status != 500 {
		t.Errorf("kept is %+v", list)
	}
}

// forgetful cannot write the audit log, or not the end of an entry.
type forgetful struct {
	rest.AuditLog
	append, conclude error
}

func (f forgetful) AppendAudit(ctx context.Context, a event.Audit) (int64, error) {
	if f.append != nil {
		return 0, f.append
	}
	return f.AuditLog.AppendAudit(ctx, a)
}

func (f forgetful) ConcludeAudit(ctx context.Context, seq int64, status int, target string) error {
	if f.conclude != nil {
		return f.conclude
	}
	return f.AuditLog.ConcludeAudit(ctx, seq, status, target)
}

func TestWhatCannotBeAuditedIsNotDone(t *testing.T) {
	s := newSite(t)
	s.service("default", "hello")
	s.api.AuditLog = forgetful{AuditLog: s.store, append: errors.New("disk full")}
	s.do("DELETE", "/v1/services/hello", nil, as("admin")).refused(t, 503, "audit log cannot be written")
	if r := s.do("POST", "/login", "token="+secretOf("admin"), header{"Content-Type", "application/x-www-form-urlencoded"}); r.status != 503 || r.header.Get("Set-Cookie") != "" {
		t.Errorf("logged in: %d %v", r.status, r.header)
	}
	if s.commands.count() > 0 {
		t.Errorf("unseen was done: %v", s.commands.done)
	}
	s.do("GET", "/v1/services/hello", nil, as("admin")).ok(t, 200, nil)

	s.api.AuditLog = forgetful{AuditLog: s.store, conclude: errors.New("disk full")}
	s.do("DELETE", "/v1/services/hello", nil, as("admin")).ok(t, 202, nil)
	if list := s.audits(); len(list) != 1 || list[0].Action != "kill-service" || list[0].Status != 0 {
		t.Errorf("kept is %+v", list)
	}
}

func TestTheAuditLogIsPaged(t *testing.T) {
	s := newSite(t)
	for range 5 {
		s.do("DELETE", "/v1/services/nothing", nil, as("admin"))
	}
	var page struct {
		Items []struct{ Action string }
		Next  string
	}
	s.do("GET", "/v1/audit?limit=3", nil, as("admin")).ok(t, 200, &page)
	if len(page.Items) != 3 || page.Next == "" {
		t.Fatalf("the first page is %+v", page)
	}
	s.do("GET", "/v1/audit?limit=3&cursor="+page.Next, nil, as("admin")).ok(t, 200, &page)
	if len(page.Items) != 2 {
		t.Errorf("the second page is %+v", page)
	}
	s.do("GET", "/v1/audit?cursor=nonsense", nil, as("admin")).refused(t, 422)
	s.do("GET", "/v1/audit?limit=9999", nil, as("admin")).refused(t, 422)
}
