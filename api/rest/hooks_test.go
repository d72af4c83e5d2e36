package rest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel/link"
	"github.com/m3o/platform/internal/channel/slack"
	"github.com/m3o/platform/internal/channel/sms"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/ticket"
)

const slackSecret = "8f742231b10e8888abcd99yyyzzz85a5"

// linkKey signs the links of tests.
var linkKey = ticket.NewSigner(ed25519.NewKeyFromSeed([]byte("the seed of links in these tests")))

func linkKeys() ticket.Keys {
	keys, err := ticket.ParseDocument(linkKey.Document())
	if err != nil {
		panic(err)
	}
	return keys
}

// linkCommands do to the read model what the workflow of an alert would.
type linkCommands struct{ store *store.Store }

func (l linkCommands) CommandAlert(ctx context.Context, id, project, _, update string, in alert.Command) (alert.Alert, error) {
	a, err := l.store.Alert(ctx, project, in.Number)
	if err != nil || a.Status.Final() {
		return a, fault.New(fault.Conflict, "alert %d has ended", in.Number)
	}
	a.Version++
	a.Status, a.AcknowledgedBy = alert.Acknowledged, in.By
	if update == alert.ResolveUpdate {
		a.Status = alert.Closed
	}
	return a, l.store.RecordAlert(ctx, a, []alert.Entry{{Key: id, Kind: alert.LogAcknowledged, By: in.By, Channel: in.Via, At: time.Now()}})
}

// opens begins an alert of the shop, and returns its number.
func (s *site) opens(title string) int64 {
	s.t.Helper()
	g := alert.Group{Project: "shop", Route: "default", Labels: map[string]string{"dedup_key": title}}
	a := alert.Alert{Project: "shop", Group: g.Hash(), Route: "default", Title: title, Severity: alert.Critical, Status: alert.Open, StartedAt: time.Now(), Version: 1}
	opened, err := s.store.OpenAlert(s.t.Context(), alert.Opening{Group: g, Hash: g.Hash(), First: 1, Alert: a})
	must(s.t, err)
	a.Number, a.Version = opened.Number, 2
	must(s.t, s.store.RecordAlert(s.t.Context(), a, nil))
	return opened.Number
}

// mailed is the path of a link as it was mailed to somebody.
func (s *site) mailed(number int64, to, do string, at time.Time) string {
	s.t.Helper()
	made, err := link.Signer{Key: linkKey, URL: ""}.Make(link.Link{Project: "shop", Alert: number, Person: to, Address: to + "@example.com", Do: do}, at)
	must(s.t, err)
	return made
}

func (s *site) status(number int64) alert.Status {
	s.t.Helper()
	a, err := s.store.Alert(s.t.Context(), "shop", number)
	must(s.t, err)
	return a.Status
}

// Mail scanners follow links: the page asks, and the answer alone acts.
func TestALinkAsksBeforeItActs(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	number := s.opens(`disk full <script>alert("x")</script>`)
	path := s.mailed(number, "ana", alert.AcknowledgeUpdate, time.Now())
	for range 2 {
		page := s.do("GET", path, nil)
		if page.status != 200 || s.status(number) != alert.Open || !strings.Contains(page.body, `<button>Acknowledge</button>`) || strings.Contains(page.body, "<script") {
			t.Fatalf("the page is %d: %s; the alert is %s", page.status, page.body, s.status(number))
		}
		if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "script") || page.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("the page may do %q, and sends its address to others: %q", csp, page.header.Get("Referrer-Policy"))
		}
	}
	if done := s.do("POST", path, nil); done.status != 200 || s.status(number) != alert.Acknowledged || !strings.Contains(done.body, "is acknowledged") {
		t.Errorf("the button: %d %s; the alert is %s", done.status, done.body, s.status(number))
	}
	if again := s.do("POST", path, nil); again.status != 200 || !strings.Contains(again.body, "was acknowledged already by ana") {
		t.Errorf("the button pressed twice: %d %s", again.status, again.body)
	}
	if page := s.do("GET", path, nil); strings.Contains(page.body, "<button") || !strings.Contains(page.body, "nothing to do") {
		t.Errorf("the page still asks: %s", page.body)
	}
	resolve := s.mailed(number, "ana", alert.ResolveUpdate, time.Now())
	if done := s.do("POST", resolve, nil); done.status != 200 || s.status(number) != alert.Closed {
		t.Errorf("resolve: %d %s", done.status, done.body)
	}
	if late := s.do("POST", resolve, nil); late.status != 409 || !strings.Contains(late.body, "is closed already") {
		t.Errorf("resolve what is closed: %d %s", late.status, late.body)
	}
	used := 0
	for _, entry := range s.audits() {
		if entry.Action == "use-link" && entry.Subject == "ana" && entry.Target == fmt.Sprintf("/v1/alerts/%d", number) && entry.Status == 200 {
			used++
		}
		if strings.Contains(entry.Target, "ey") {
			t.Errorf("the audit log holds a link: %s", entry.Target)
		}
	}
	if used != 2 {
		t.Errorf("%d uses are in the audit log, not 2", used)
	}
}

func TestALinkToADrillSaysSo(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	n := s.opens("disk full")
	a, err := s.store.Alert(t.Context(), "shop", n)
	must(t, err)
	a.Drill, a.Version = true, a.Version+1
	must(t, s.store.RecordAlert(t.Context(), a, nil))
	if page := s.do("GET", s.mailed(n, "ana", alert.AcknowledgeUpdate, time.Now()), nil); page.status != 200 || !strings.Contains(page.body, "DRILL #") {
		t.Errorf("%d: %s", page.status, page.body)
	}
}

func TestALinkThatIsNotOursOrTooOldActsNot(t *testing.T) {
	s := newSite(t)
	s.user("ana", "shop/developer")
	number := s.opens("disk full")
	good := s.mailed(number, "ana", alert.AcknowledgeUpdate, time.Now())
	other := ticket.NewSigner(ed25519.NewKeyFromSeed([]byte("the seed of somebody else's key!")))
	strange, err := link.Signer{Key: other}.Make(link.Link{Project: "shop", Alert: number, Person: "ana", Do: alert.AcknowledgeUpdate}, time.Now())
	must(t, err)
	call, err := linkKey.Sign(ticket.Grant{Subject: "ana", Regions: []string{"micro/lon1"}, Scopes: []string{"services:call"}})
	must(t, err)
	for name, c := range map[string]struct {
		path   string
		status int
	}{
		"changed":            {good[:len(good)-4] + "AAAA", 403},
		"another's key":      {strange, 403},
		"a ticket":           {link.Path + call, 403},
		"no token":           {link.Path + "x", 403},
		"expired":            {s.mailed(number, "ana", alert.AcknowledgeUpdate, time.Now().Add(-8*24*time.Hour)), 409},
		"of nobody any more": {s.mailed(number, "gone", alert.AcknowledgeUpdate, time.Now()), 403},
		"of no alert":        {s.mailed(number+7, "ana", alert.AcknowledgeUpdate, time.Now()), 404},
		"of another action":  {s.mailed(number, "ana", alert.EscalateUpdate, time.Now()), 403},
	} {
		for _, method := range []string{"GET", "POST"} {
			got := s.do(method, c.path, nil)
			if got.status != c.status || !strings.Contains(got.body, "<h1>") || s.status(number) != alert.Open {
				t.Errorf("%s: %s gives %d %s; the alert is %s", name, method, got.status, got.body, s.status(number))
			}
		}
	}
}

// pressed sends a request as Slack signs it.
func (s *site) pressed(body, secret string, at time.Time) reply {
	s.t.Helper()
	return s.hook(slack.HookPath, body, at, s.signature(body, secret, at))
}

func (s *site) signature(body, secret string, at time.Time) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "v0:%d:%s", at.Unix(), body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// hook sends a request with a signature of Slack's kind.
func (s *site) hook(path, body string, at time.Time, signature string) reply {
	s.t.Helper()
	return s.do("POST", path, strings.NewReader(body), header{"Content-Type", "application/x-www-form-urlencoded"},
		header{"X-Slack-Request-Timestamp", strconv.FormatInt(at.Unix(), 10)}, header{"X-Slack-Signature", signature})
}

func (s *site) callbacks() []alert.Callback {
	s.t.Helper()
	all, err := s.store.Callbacks(s.t.Context(), 0, 100)
	must(s.t, err)
	return all
}

func (s *site) events(kind string) (found []event.Event) {
	s.t.Helper()
	all, err := s.store.Events(s.t.Context(), 0, nil, 0)
	must(s.t, err)
	for _, e := range all {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

func TestSlacksRequestsAreVerified(t *testing.T) {
	s := newSite(t)
	body := url.Values{"payload": {`{"type":"block_actions"}`}}.Encode()
	for name, got := range map[string]reply{
		"forged":   s.pressed(body, "another secret", time.Now()),
		"old":      s.pressed(body, slackSecret, time.Now().Add(-6*time.Minute)),
		"ahead":    s.pressed(body, slackSecret, time.Now().Add(6*time.Minute)),
		"unsigned": s.do("POST", slack.HookPath, strings.NewReader(body)),
		"large":    s.pressed(strings.Repeat("x", 65<<10), slackSecret, time.Now()),
	} {
		if want := map[bool]int{true: 413, false: 403}[name == "large"]; got.status != want {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if kept := s.callbacks(); len(kept) != 0 {
		t.Errorf("it is kept: %v", kept)
	}
	if told := s.events(store.ForgedEvent); len(told) != 1 {
		t.Errorf("operators are told %d times", len(told))
	}
	at := time.Now()
	for range 3 { // replayed
		if got := s.pressed(body, slackSecret, at); got.status != 200 || got.body != "" {
			t.Errorf("pressed: %d %s", got.status, got.body)
		}
	}
	shouted := strings.ToUpper(s.signature(body, slackSecret, at)[3:])
	for path, signature := range map[string]string{slack.HookPath + "?x=1": "v0=" + strings.ToLower(shouted), slack.HookPath: "v0=" + shouted} { // replayed in other bytes
		if got := s.hook(path, body, at, signature); got.status != 200 {
			t.Errorf("%s signed %s: %d %s", path, signature, got.status, got.body)
		}
	}
	if kept := s.callbacks(); len(kept) != 1 || !kept[0].Trusted || kept[0].Body != body {
		t.Errorf("kept are %+v", kept)
	}
}

// Nobody but the workers of pages can verify Twilio's signature: what came is kept as it came, bounded, and once.
func TestTwiliosCallbacksAreKeptAsTheyCame(t *testing.T) {
	s := newSite(t, func(a *rest.API) { a.PublicURL = "https://api.example.com" })
	path := sms.StatusPath + "?page=shop%2F1%2Ftrigger%2F1%2Fana"
	send := func(body, signature string) reply {
		return s.do("POST", path, strings.NewReader(body), header{"Content-Type", "application/x-www-form-urlencoded"}, header{"X-Twilio-Signature", signature})
	}
	for _, body := range []string{"MessageStatus=delivered", "MessageStatus=delivered", "MessageStatus=%64elivered", "MessageStatus=delivered&MessageStatus=failed"} { // once, and repeated in other bytes
		if got := send(body, "c2lnbmF0dXJl"); got.status != 204 {
			t.Errorf("a report: %d %s", got.status, got.body)
		}
	}
	if told := s.events(store.ForgedEvent); len(told) != 1 || !strings.Contains(told[0].Message, "came before") {
		t.Errorf("of what was repeated operators are told %+v", told)
	}
	if got := send("MessageStatus=delivered", "Zm9yZ2Vk"); got.status != 204 {
		t.Errorf("a forged report: %d %s", got.status, got.body)
	}
	kept := s.callbacks()
	if len(kept) != 2 || kept[0].URL != "https://api.example.com"+path || kept[0].Body != "MessageStatus=delivered" || kept[0].Headers["X-Twilio-Signature"] != "c2lnbmF0dXJl" || kept[0].Trusted {
		t.Errorf("kept are %+v", kept)
	}
	if got := send(strings.Repeat("x", 65<<10), "c2ln"); got.status != 413 {
		t.Errorf("a large one: %d %s", got.status, got.body)
	}
	if got := s.do("POST", sms.ReplyPath, strings.NewReader("Body=1a")); got.status != 403 || len(s.callbacks()) != 2 {
		t.Errorf("an unsigned one: %d %s", got.status, got.body)
	}
	refused := 0
	for range 300 {
		if got := send("x", "c2ln"); got.status == http.StatusTooManyRequests && got.header.Get("Retry-After") != "" {
			refused++
		}
	}
	if refused == 0 {
		t.Error("one address sends as many as it likes")
	}
}
