//go:build contract

package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel/sms"
	"github.com/m3o/platform/internal/sandbox/twilio"
	"github.com/m3o/platform/internal/sandbox/world"
)

// twilioDeviations are where Twilio's client or ours, the sandbox and the description are known to differ.
var twilioDeviations = []deviation{}

// twilioRefusal judges a refusal, of which the description says nothing: the documentation has its form.
func twilioRefusal(status int, body []byte) error {
	var told struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		More    string `json:"more_info"`
		Status  int    `json:"status"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&told); err != nil {
		return fmt.Errorf("%s: %w", body, err)
	}
	if status < 400 || told.Status != status || told.Message == "" || told.More != fmt.Sprintf("https://www.twilio.com/docs/errors/%d", told.Code) {
		return fmt.Errorf("status %d with %s", status, body)
	}
	return nil
}

// to has requests go to a server.
type to struct {
	host string
	next http.RoundTripper
}

func (t to) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = "http", t.host, t.host
	return t.next.RoundTrip(r)
}

// phone is a Twilio account, its client through the check, and what faults are ordered with.
type phone struct {
	*api.ApiService
	t           *testing.T
	check       *checker
	cloud       *twilio.Cloud
	world       *world.World
	credentials twilio.Credentials
	server      *httptest.Server
}

func newPhone(t *testing.T) *phone {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 0.001})
	must(t, err)
	credentials, err := twilio.NewCredentials()
	must(t, err)
	cloud, err := twilio.New(twilio.Config{World: w, Credentials: credentials, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(cloud)
	stopped := make(chan error, 1)
	go func() { stopped <- cloud.Run(ctx) }()
	t.Cleanup(func() {
		server.Close()
		cancel()
		must(t, errors.Join(<-stopped, w.Close()))
	})
	check := newCheckerOf(t, description(t, "twilio.json"), twilioDeviations)
	check.headers, check.refusal = []string{"Twilio-Request-Id"}, twilioRefusal
	check.authorized = func(r *http.Request) error {
		if _, _, ok := r.BasicAuth(); !ok {
			return errors.New("no user and password")
		}
		return nil
	}
	own := &client.Client{Credentials: client.NewCredentials(credentials.AccountSID, credentials.AuthToken),
		HTTPClient: &http.Client{Transport: to{strings.TrimPrefix(server.URL, "http://"), check}}}
	own.SetAccountSid(credentials.AccountSID)
	return &phone{ApiService: api.NewApiServiceWithClient(own), t: t, check: check, cloud: cloud, world: w, credentials: credentials, server: server}
}

func (p *phone) create(to string) (*api.ApiV2010Message, error) {
	return p.CreateMessage(new(api.CreateMessageParams).SetTo(to).SetFrom(p.credentials.Number).SetBody("disk full").SetStatusCallback("http://127.0.0.1:1/v1/hooks/twilio/status?page=x"))
}

func (p *phone) refused(fault string) {
	p.t.Helper()
	must(p.t, p.world.Update(p.t.Context(), func(tx *world.Tx) error {
		_, err := tx.AddFault(world.Fault{Provider: twilio.Name, Operation: "CreateMessage", Fault: fault})
		return err
	}))
	if _, err := p.create("+447700900101"); err == nil {
		p.t.Errorf("%s: accepted", fault)
	}
}

// TestTwilio checks what Twilio's own client and our adapter send, and what the sandbox answers, against Twilio's description.
func TestTwilio(t *testing.T) {
	p := newPhone(t)
	m, err := p.create("+447700900101")
	must(t, err)
	_, err = p.create("07700900101")
	if err == nil {
		t.Error("a national number is taken")
	}
	for _, fault := range []string{world.Throttle, world.ServerError, world.Denied, world.OptedOut, world.Unverified} {
		p.refused(fault)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		m, err = p.FetchMessage(*m.Sid, nil)
		must(t, err)
		if *m.Status == "delivered" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not delivered")
		}
	}
	if _, err := p.FetchMessage("SM00000000000000000000000000000000", nil); err == nil {
		t.Error("there is a message that nobody sent")
	}
	for page := range 2 {
		_, err = p.PageMessage(new(api.ListMessageParams).SetTo("+447700900101").SetPageSize(1), "", fmt.Sprint(page))
		must(t, err)
	}
	_, err = p.FetchAccount(p.credentials.AccountSID)
	must(t, err)
	p.adapter()
	p.check.finish(p.cloud.Operations())
}

// adapter has our own adapter send a page, and look for it as after a crash.
func (p *phone) adapter() {
	p.t.Helper()
	adapter, err := sms.New(sms.Config{Account: p.credentials.AccountSID, Token: p.credentials.AuthToken, From: p.credentials.Number, BaseURL: p.server.URL,
		Hooks: "http://127.0.0.1:1", Transport: p.check})
	must(p.t, err)
	page := alert.Page{Key: "platform/7/trigger/1/ana", Project: "platform", Alert: 7, Kind: alert.PageTrigger, Code: 1,
		Contact: alert.Contact{ID: "c1", Channel: alert.SMS, Address: "+447700900101"}, Content: alert.Content{Title: "disk full", Severity: alert.Critical}}
	first, err := adapter.Send(p.t.Context(), page)
	must(p.t, err)
	page.Again = true
	again, err := adapter.Send(p.t.Context(), page)
	must(p.t, err)
	if first.ID == "" || again.ID != first.ID {
		p.t.Errorf("sent as %q, and again as %q", first.ID, again.ID)
	}
}
