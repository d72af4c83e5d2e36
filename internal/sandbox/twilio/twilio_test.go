package twilio_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/twilio"
	"github.com/m3o/platform/internal/sandbox/world"
)

const ana = "+447700900101"

// platform takes Twilio's calls, and checks each with the official validator.
type platform struct {
	t     *testing.T
	url   string
	token string

	mu    sync.Mutex
	calls []url.Values
	fails int // calls that are answered 503
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	validator := client.NewRequestValidator(p.token)
	if !validator.ValidateBody(p.url+r.URL.RequestURI(), body, r.Header.Get("X-Twilio-Signature")) {
		p.t.Errorf("%s has a wrong signature", r.URL)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		p.t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fails > 0 {
		p.fails--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	p.calls = append(p.calls, form)
	w.WriteHeader(http.StatusNoContent)
}

// heard lists a field of the calls.
func (p *platform) heard(field string) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		all = append(all, c.Get(field))
	}
	return all
}

// account is a sandbox account with Twilio's own client.
type account struct {
	*api.ApiService
	t           *testing.T
	dir         string
	credentials twilio.Credentials
	world       *world.World
	cloud       *twilio.Cloud
	platform    *platform
	stop        func()
}

// elsewhere sends requests to the sandbox instead of api.twilio.com.
type elsewhere string

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(string(e), "http://")
	return http.DefaultTransport.RoundTrip(r)
}

func newAccount(t *testing.T) *account {
	t.Helper()
	credentials, err := twilio.NewCredentials()
	must(t, err)
	p := &platform{t: t, token: credentials.AuthToken}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	a := &account{t: t, dir: t.TempDir(), credentials: credentials, platform: p}
	a.start(0.01)
	return a
}

// start runs the account on its directory.
func (a *account) start(scale float64) {
	a.t.Helper()
	w, err := world.Open(a.dir, world.Clock{Scale: scale})
	must(a.t, err)
	a.world = w
	a.cloud, err = twilio.New(twilio.Config{World: w, Credentials: a.credentials, Webhook: a.platform.url + "/replies", Logger: slog.New(slog.DiscardHandler)})
	must(a.t, err)
	ctx, cancel := context.WithCancel(a.t.Context())
	server := httptest.NewServer(a.cloud)
	stopped := make(chan error, 1)
	go func() { stopped <- a.cloud.Run(ctx) }()
	a.stop = sync.OnceFunc(func() {
		server.Close()
		cancel()
		must(a.t, errors.Join(<-stopped, w.Close()))
	})
	a.t.Cleanup(func() { a.stop() })
	a.ApiService = a.as(server.URL, a.credentials.AuthToken)
}

func (a *account) as(at, token string) *api.ApiService {
	own := &client.Client{Credentials: client.NewCredentials(a.credentials.AccountSID, token), HTTPClient: &http.Client{Transport: elsewhere(at)}}
	own.SetAccountSid(a.credentials.AccountSID)
	return api.NewApiServiceWithClient(own)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (a *account) send(to, text string) (*api.ApiV2010Message, error) {
	return a.CreateMessage(new(api.CreateMessageParams).SetTo(to).SetFrom(a.credentials.Number).SetBody(text).
		SetStatusCallback(a.platform.url + "/status?page=platform%2F7%2Ftrigger%2F1%2Fana"))
}

func (a *account) sent(to, text string) string {
	a.t.Helper()
	m, err := a.send(to, text)
	must(a.t, err)
	return *m.Sid
}

func (a *account) fault(f world.Fault) {
	a.t.Helper()
	f.Provider = twilio.Name
	must(a.t, f.Validate(a.cloud.Operations(), a.cloud.Faults()))
	must(a.t, a.world.Update(a.t.Context(), func(tx *world.Tx) error {
		_, err := tx.AddFault(f)
		return err
	}))
}

func (a *account) inbox(to string) (found []inbox.Message) {
	a.t.Helper()
	must(a.t, a.world.View(a.t.Context(), func(tx *world.Tx) (err error) {
		found, err = inbox.Last(tx, to, 100)
		return err
	}))
	return found
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
	}
}

func (a *account) becomes(sid, status string) {
	a.t.Helper()
	eventually(a.t, sid+" becomes "+status, func() bool {
		m, err := a.FetchMessage(sid, nil)
		must(a.t, err)
		return *m.Status == status
	})
}

func refused(t *testing.T, err error, status, code int) {
	t.Helper()
	var told *client.TwilioRestError
	if !errors.As(err, &told) || told.Code != code || told.Status != status || !strings.HasPrefix(told.MoreInfo, "https://www.twilio.com/docs/errors/") {
		t.Errorf("got %+v, want %d with status %d", err, code, status)
	}
}

func TestAMessageIsDeliveredAndItsStatusIsCalledBack(t *testing.T) {
	a := newAccount(t)
	sid := a.sent(ana, "disk full")
	a.becomes(sid, "delivered")
	eventually(t, "both statuses are heard", func() bool { return slices.Equal(a.platform.heard("MessageStatus"), []string{"sent", "delivered"}) })
	got := a.inbox("ana")
	if len(got) != 1 || got[0].Text != "disk full" || got[0].To != ana || got[0].Person != "ana" || got[0].Key != "platform/7/trigger/1/ana" {
		t.Errorf("ana has %+v", got)
	}
	effects, err := a.world.Effects(t.Context(), 0)
	must(t, err)
	if effects[0].Kind != world.Sent || effects[0].ID != sid || effects[0].Name != ana || effects[0].Key != "platform/7/trigger/1/ana" {
		t.Errorf("the ledger has %+v", effects[0])
	}
	page, err := a.PageMessage(new(api.ListMessageParams).SetTo(ana).SetPageSize(5), "", "")
	must(t, err)
	if len(page.Messages) != 1 || *page.Messages[0].Sid != sid || *page.Messages[0].Direction != "outbound-api" {
		t.Errorf("the list has %+v", page.Messages)
	}
}

// TestAKilledAccountGoesOn: what was accepted is delivered after the next start, and called back.
func TestAKilledAccountGoesOn(t *testing.T) {
	a := newAccount(t)
	a.stop()
	a.start(100) // so slowly that nothing moves
	sid := a.sent(ana, "disk full")
	a.stop()
	a.start(100)
	must(t, a.world.Update(t.Context(), func(tx *world.Tx) error { // its time comes
		return tx.Put(world.Ref{Provider: twilio.Name, Kind: "transit", ID: sid}, world.Meta{}, map[string]any{"sid": sid, "status": "sent", "due": time.Now(), "fault": world.LateReceipt, "wait": time.Millisecond})
	}))
	a.becomes(sid, "delivered")
	eventually(t, "both statuses are heard", func() bool { return len(a.platform.heard("MessageStatus")) == 2 })
}

func TestWhatTwilioRefuses(t *testing.T) {
	a := newAccount(t)
	for to, code := range map[string]int{"": 21604, "07700900101": 21211, "+44": 21211} {
		_, err := a.send(to, "x")
		refused(t, err, 400, code)
	}
	_, err := a.send(ana, strings.Repeat("x", 1601))
	refused(t, err, 400, 21617)
	_, err = a.CreateMessage(new(api.CreateMessageParams).SetTo(ana).SetFrom("+15005550006").SetBody("x"))
	refused(t, err, 400, 21606)
	_, err = a.FetchMessage("SM00000000000000000000000000000000", nil)
	refused(t, err, 404, 20404)
	if len(a.inbox("")) != 0 {
		t.Error("something was delivered")
	}
}

func TestFaults(t *testing.T) {
	for fault, want := range map[string][2]int{world.Throttle: {429, 20429}, world.ServerError: {500, 20500}, world.Denied: {403, 20006},
		world.OptedOut: {400, 21610}, world.Unverified: {400, 21608}} {
		a := newAccount(t)
		a.fault(world.Fault{Operation: "CreateMessage", Match: ana, Fault: fault})
		_, err := a.send(ana, "x")
		refused(t, err, want[0], want[1])
		a.sent(ana, "x") // once
	}
}

func TestFaultsOfDelivery(t *testing.T) {
	a := newAccount(t)
	a.fault(world.Fault{Fault: world.Undeliverable, Operation: "CreateMessage"})
	a.becomes(a.sent(ana, "lost on the way"), "undelivered")
	eventually(t, "the failure is heard", func() bool { return slices.Contains(a.platform.heard("ErrorCode"), "30003") })
	a.fault(world.Fault{Fault: world.Dropped, Operation: "CreateMessage"})
	dropped := a.sent(ana, "dropped")
	a.becomes(dropped, "sent")
	a.fault(world.Fault{Fault: world.LateReceipt, Operation: "CreateMessage", Delay: "300ms"})
	begun := time.Now()
	late := a.sent(ana, "late")
	eventually(t, "it arrives", func() bool { return len(a.inbox(ana)) == 1 })
	a.becomes(late, "delivered")
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("the receipt came after %s", took)
	}
	a.becomes(dropped, "sent")
	if got := a.inbox(ana); len(got) != 1 || got[0].Text != "late" {
		t.Errorf("ana has %+v", got)
	}
}

// TestLostAnswersAreSent: the caller does not know, and finds the message in the list.
func TestLostAnswersAreSent(t *testing.T) {
	a := newAccount(t)
	a.fault(world.Fault{Fault: world.Lost, Operation: "CreateMessage"})
	if _, err := a.send(ana, "disk full"); err == nil {
		t.Error("there was an answer")
	}
	page, err := a.PageMessage(new(api.ListMessageParams).SetTo(ana), "", "")
	must(t, err)
	if len(page.Messages) != 1 {
		t.Errorf("%d messages", len(page.Messages))
	}
	a.fault(world.Fault{Fault: world.Hang, Operation: "ListMessage"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/2010-04-01/Accounts/"+a.credentials.AccountSID+"/Messages.json", nil)
	must(t, err)
	request.SetBasicAuth(a.credentials.AccountSID, a.credentials.AuthToken)
	server := httptest.NewServer(a.cloud)
	defer server.Close()
	if _, err := elsewhere(server.URL).RoundTrip(request); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it does not hang: %v", err)
	}
}

func TestPeopleReplyAndOptOut(t *testing.T) {
	a := newAccount(t)
	a.becomes(a.sent(ana, "disk full"), "delivered")
	m := a.inbox(ana)[0]
	must(t, a.cloud.Reply(t.Context(), m, "1a"))
	eventually(t, "the reply is heard", func() bool { return slices.Contains(a.platform.heard("Body"), "1a") })
	eventually(t, "the inbox says so", func() bool { return a.inbox(ana)[0].Actions[0].Result == "taken (204)" })
	must(t, a.cloud.Reply(t.Context(), m, " stop "))
	_, err := a.send(ana, "x")
	refused(t, err, 400, 21610)
	must(t, a.cloud.Reply(t.Context(), m, "START"))
	a.sent(ana, "x")
	if from := a.platform.heard("From"); !slices.Contains(from, ana) {
		t.Errorf("replies come from %v", from)
	}
}

func TestNobodyElseIsLetIn(t *testing.T) {
	a := newAccount(t)
	server := httptest.NewServer(a.cloud)
	defer server.Close()
	_, err := a.as(server.URL, "wrong").FetchMessage("SM00000000000000000000000000000000", nil)
	refused(t, err, 401, 20003)
}

// TestItCallsTheLoopbackAlone: a callback to elsewhere is never made.
func TestItCallsTheLoopbackAlone(t *testing.T) {
	a := newAccount(t)
	_, err := a.CreateMessage(new(api.CreateMessageParams).SetTo(ana).SetFrom(a.credentials.Number).SetBody("x").SetStatusCallback("http://192.0.2.1/status"))
	must(t, err)
	eventually(t, "the message is delivered", func() bool { return len(a.inbox(ana)) == 1 })
}
