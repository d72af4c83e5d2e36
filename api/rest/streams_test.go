package rest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// listener reads one event stream.
type listener struct {
	t     *testing.T
	lines *bufio.Reader
	stop  context.CancelFunc
}

func (s *site) listen(path string, headers ...header) *listener {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", s.server.URL+path, nil)
	must(s.t, err)
	for _, h := range headers {
		req.Header.Set(h.name, h.value)
	}
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	s.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("answered %d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &listener{t: s.t, lines: bufio.NewReader(resp.Body), stop: cancel}
}

// next returns the next event as "id kind subject".
func (l *listener) next() string {
	l.t.Helper()
	var id, kind, data string
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			l.t.Fatalf("the stream ended: %v", err)
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if kind != "" {
				_, subject, _ := strings.Cut(data, `"subject":"`)
				subject, _, _ = strings.Cut(subject, `"`)
				return id + " " + kind + " " + subject
			}
		}
	}
}

// happens records a region with another status, which is told as an event.
func (s *site) happens(version int64, status region.Status) {
	s.t.Helper()
	r := lon1()
	r.Version, r.Status = version, status
	must(s.t, s.store.RecordRegion(s.t.Context(), r))
}

func TestEventsAreStreamedToAll(t *testing.T) {
	s := newSite(t)
	s.happens(1, region.Creating)
	a, b := s.listen("/v1/events", as("admin")), s.listen("/v1/events?after=0", as("reader"))
	if got := b.next(); got != "1 region.creating micro/lon1" {
		t.Errorf("from the beginning: %s", got)
	}
	s.happens(2, region.Ready)
	for _, l := range []*listener{a, b} {
		if got := l.next(); got != "2 region.ready micro/lon1" {
			t.Errorf("next: %s", got)
		}
	}
	a.stop() // one that goes away keeps nothing from the other
	s.happens(3, region.Degraded)
	if got := b.next(); got != "3 region.degraded micro/lon1" {
		t.Errorf("next: %s", got)
	}
}

func TestAStreamGoesOnWhereItWas(t *testing.T) {
	s := newSite(t)
	for i, status := range []region.Status{region.Creating, region.Ready, region.Degraded} {
		s.happens(int64(i+1), status)
	}
	l := s.listen("/v1/events?after=0", as("admin"), header{"Last-Event-ID", "1"})
	if a, b := l.next(), l.next(); a != "2 region.ready micro/lon1" || b != "3 region.degraded micro/lon1" {
		t.Errorf("went on with %s and %s", a, b)
	}
}

func TestAStreamOfAnotherDatabaseIsNotSilent(t *testing.T) {
	s := newSite(t)
	s.happens(1, region.Creating)
	l := s.listen("/v1/events", as("admin"), header{"Last-Event-ID", "4711"})
	s.happens(2, region.Ready)
	if got := l.next(); got != "2 region.ready micro/lon1" {
		t.Errorf("next: %s", got)
	}
}

func TestManyEventsAreStreamedInOrder(t *testing.T) {
	s := newSite(t)
	for i := range 450 {
		s.happens(int64(i+1), []region.Status{region.Ready, region.Degraded}[i%2])
	}
	l := s.listen("/v1/events?after=0", as("admin"))
	for i := range 450 {
		if got := l.next(); !strings.HasPrefix(got, fmt.Sprintf("%d ", i+1)) {
			t.Fatalf("event %d is %s", i+1, got)
		}
	}
}

func TestAProjectHearsOfItselfAlone(t *testing.T) {
	s := newSite(t)
	s.happens(1, region.Ready)
	s.service("default", "hello")
	s.service("shop", "cart")
	for _, path := range []string{"/v1/events?after=0", "/v1/events?after=0&project=shop"} {
		l := s.listen(path, as("shop"))
		for got := ""; !strings.Contains(got, "shop/cart"); {
			if got = l.next(); strings.Contains(got, "default/") || strings.Contains(got, "lon1") {
				t.Errorf("the shop heard %s", got)
			}
		}
	}
	s.do("GET", "/v1/events?after=0&project=default", nil, as("shop")).refused(t, 403, `may not act in project \"default\"`)
	if got := s.listen("/v1/events?after=0&project=default", as("admin")).next(); !strings.Contains(got, "default/hello") {
		t.Errorf("of the default project was heard %s", got)
	}
}

// asking counts how often it is asked who holds a token.
type asking struct {
	rest.Accounts
	times atomic.Int64
}

func (a *asking) Principal(ctx context.Context, hash []byte) (account.Principal, error) {
	a.times.Add(1)
	return a.Accounts.Principal(ctx, hash)
}

func TestAStreamDoesNotAskAtEachCommit(t *testing.T) {
	count := &asking{}
	s := newSite(t, func(a *rest.API) { count.Accounts, a.Accounts = a.Accounts, count })
	l := s.listen("/v1/events", as("admin"))
	began := time.Now()
	for i := range 20 {
		s.happens(int64(i+1), []region.Status{region.Ready, region.Degraded}[i%2])
		l.next()
	}
	if asked, most := count.times.Load(), 3+int64(time.Since(began)/time.Second); asked > most {
		t.Errorf("it was asked %d times who reads", asked)
	}
}

func TestEventStreamsOfOneReaderAreBounded(t *testing.T) {
	s := newSite(t)
	var last *listener
	for range 16 {
		last = s.listen("/v1/events", as("reader"))
	}
	if r := s.do("GET", "/v1/events", nil, as("admin")); r.status != 429 || r.header.Get("Retry-After") == "" { // another token of the same user
		t.Errorf("one more is answered with %d, %v", r.status, r.header)
	}
	s.listen("/v1/events", as("shop"))
	last.stop()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		req, err := http.NewRequestWithContext(ctx, "GET", s.server.URL+"/v1/events", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+secretOf("reader"))
		resp, err := http.DefaultClient.Do(req)
		cancel()
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode == 200 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a stream that ended counts for ever")
		}
	}
}

func TestAPlaceInTheStreamThatIsNone(t *testing.T) {
	s := newSite(t)
	for _, id := range []string{"x", "-1", "99999999999999999999"} {
		s.do("GET", "/v1/events", nil, as("admin"), header{"Last-Event-ID", id}).refused(t, 422, "is not the id of an event")
	}
}

// Build logs.

func TestABuildLogIsFollowedToItsEnd(t *testing.T) {
	s := newSite(t)
	key := s.service("default", "hello")
	s.do("GET", "/v1/services/hello/releases/1/log", nil, as("admin")).refused(t, 404, "there is no log of this build")
	name := release.BuildInput{Service: key, Number: 1}.LogName()
	log, err := s.blobs.Append(t.Context(), name)
	must(t, err)
	_, err = io.WriteString(log, "compiling\n")
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.server.URL+"/v1/services/hello/releases/1/log?follow=true", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+secretOf("admin"))
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "compiling\n" {
		t.Fatalf("the first line is %q, %v", line, err)
	}
	_, err = io.WriteString(log, "pushed\n") // while somebody reads
	must(t, err)
	if line, err := lines.ReadString('\n'); err != nil || line != "pushed\n" {
		t.Fatalf("the second line is %q, %v", line, err)
	}
	must(t, log.Close())
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("after the end came %q, %v", rest, err)
	}
	if r := s.do("GET", "/v1/services/hello/releases/1/log", nil, as("admin")); r.body != "compiling\npushed\n" || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		t.Errorf("the whole log is %q as %s", r.body, r.header.Get("Content-Type"))
	}
}

func TestAFollowedLogEndsWithWhatLetItsReaderIn(t *testing.T) {
	s := newSite(t)
	key := s.service("default", "hello")
	log, err := s.blobs.Append(t.Context(), release.BuildInput{Service: key, Number: 1}.LogName())
	must(t, err)
	defer log.Close()
	_, err = io.WriteString(log, "line\n")
	must(t, err)
	s.user("ada", "default/viewer")
	s.user("eve", "default/viewer")
	follow := func(who string) *listener {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, "GET", s.server.URL+"/v1/services/hello/releases/1/log?follow=true", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+secretOf(who))
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		l := &listener{t: t, lines: bufio.NewReader(resp.Body), stop: cancel}
		if line, err := l.lines.ReadString('\n'); resp.StatusCode != 200 || err != nil {
			t.Fatalf("answered %d: %q, %v", resp.StatusCode, line, err)
		}
		return l
	}
	ada, eve, admin := follow("ada"), follow("eve"), follow("admin")
	must(t, s.store.Revoke(t.Context(), "default", "ada", account.Viewer, "admin"))
	must(t, s.store.RevokeToken(t.Context(), s.named("eve"), "eve", "admin"))
	ada.ends("her role was taken")
	eve.ends("her token was revoked")
	_, err = io.WriteString(log, "for the rest\n")
	must(t, err)
	for line := ""; line != "for the rest\n"; {
		line, err = admin.lines.ReadString('\n')
		must(t, err)
	}
	_, err = s.store.RecordSuspension(t.Context(), account.SuspendInput{Project: "default", Reason: account.ByOperator, By: "admin"})
	must(t, err)
	admin.ends("its project was suspended")
}

// The codec endpoint and the way into it.

func TestTheTemporalUIReadsPayloads(t *testing.T) {
	s := newSite(t)
	sealed, err := s.codec.Encode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"a secret"`)}})
	must(t, err)
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: sealed})
	must(t, err)
	origin, cookie := header{"Origin", ui}, s.session("admin")
	for name, h := range map[string]header{"cookie": cookie, "token": as("admin")} {
		r := s.do("POST", "/v1/codec/decode", string(body), h, origin)
		r.ok(t, 200, nil)
		var back commonpb.Payloads
		must(t, protojson.Unmarshal([]byte(r.body), &back))
		if len(back.Payloads) != 1 || string(back.Payloads[0].Data) != `"a secret"` {
			t.Errorf("%s: decoded to %s", name, r.body)
		}
		if r.header.Get("Access-Control-Allow-Origin") != ui || r.header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: a browser may not read it: %v", name, r.header)
		}
	}
	for _, wrong := range []string{"wrong", secretOf("admin"), ""} {
		s.do("POST", "/v1/codec/decode", string(body), header{"Cookie", rest.SessionCookie + "=" + wrong}, origin).refused(t, 401)
	}
	s.do("POST", "/v1/codec/decode", string(body), s.session("reader"), origin).refused(t, 403)
	if r := s.do("POST", "/v1/codec/decode", "{", cookie, origin); r.status < 400 || r.status > 499 {
		t.Errorf("a body that is none was answered with %d", r.status)
	}
}

func TestNothingIsEncryptedForTheTemporalUI(t *testing.T) {
	s := newSite(t)
	for name, h := range map[string]header{"cookie": s.session("admin"), "token": as("admin")} {
		if r := s.do("POST", "/v1/codec/encode", `{"payloads":[{"data":"e30="}]}`, h, header{"Origin", ui}); r.status != 404 {
			t.Errorf("%s: answered %d: %s", name, r.status, r.body)
		}
	}
}

func TestOnlyTheTemporalUIMayAskFromABrowser(t *testing.T) {
	s := newSite(t)
	if h := s.do("OPTIONS", "/v1/codec/decode", nil, header{"Origin", ui}).header; h.Get("Access-Control-Allow-Origin") != ui || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Content-Type") {
		t.Errorf("the UI's preflight was answered with %v", h)
	}
	for _, origin := range []string{"http://evil.example", "null", ui + ".evil.example", ""} {
		if h := s.do("OPTIONS", "/v1/codec/decode", nil, header{"Origin", origin}).header; h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q may read answers", origin)
		}
	}
}

// session logs in, and is the cookie of it.
func (s *site) session(who string) header {
	s.t.Helper()
	in := s.do("POST", "/login", url.Values{"token": {secretOf(who)}}.Encode(), header{"Content-Type", "application/x-www-form-urlencoded"})
	cookie, err := http.ParseSetCookie(in.header.Get("Set-Cookie"))
	must(s.t, err)
	return header{"Cookie", cookie.Name + "=" + cookie.Value}
}

func TestASessionEndsWithItsToken(t *testing.T) {
	s := newSite(t)
	session := s.session("admin")
	s.do("POST", "/v1/codec/decode", `{"payloads":[]}`, session).ok(t, 200, nil)
	must(t, s.store.RevokeToken(t.Context(), s.named("admin"), "admin.token", "admin"))
	s.do("POST", "/v1/codec/decode", `{"payloads":[]}`, session).refused(t, 401)
	s.do("POST", "/v1/codec/decode", `{"payloads":[]}`, newSite(t, func(a *rest.API) { a.SessionKey = []byte("of another platform") }).session("admin")).refused(t, 401, "log in at /login")
}

func TestLoggingIn(t *testing.T) {
	s := newSite(t)
	page := s.do("GET", "/login", nil)
	if page.ok(t, 200, nil); !strings.Contains(page.body, `type="password"`) || page.header.Get("Content-Security-Policy") == "" {
		t.Errorf("the page is %s", page.body)
	}
	form := header{"Content-Type", "application/x-www-form-urlencoded"}
	in := s.do("POST", "/login", url.Values{"token": {secretOf("admin")}}.Encode(), form)
	if in.status != 303 || in.header.Get("Location") != ui {
		t.Errorf("answered %d to %s", in.status, in.header.Get("Location"))
	}
	cookie, err := http.ParseSetCookie(in.header.Get("Set-Cookie"))
	must(t, err)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/v1/" {
		t.Errorf("the cookie is %s", cookie)
	}
	s.do("GET", "/v1/services", nil, header{"Authorization", "Bearer " + cookie.Value}).refused(t, 401)
	bad := s.do("POST", "/login", url.Values{"token": {"<script>"}}.Encode(), form)
	if bad.status != 401 || bad.header.Get("Set-Cookie") != "" || strings.Contains(bad.body, "<script>") {
		t.Errorf("a wrong token was answered with %d %s", bad.status, bad.body)
	}
	s.do("POST", "/login", "token="+strings.Repeat("x", 1<<20), form)
	if s.do("POST", "/login?token="+secretOf("admin"), "", form).status == 303 {
		t.Error("a token in the address was taken")
	}
}
