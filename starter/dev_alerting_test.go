//go:build embedded

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/client/apitest"
	"github.com/m3o/platform/internal/oncall"
	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// localRules are what `make run` applies.
func localRules(t *testing.T) alert.Rules {
	t.Helper()
	data, err := os.ReadFile("../deploy/local/alerting.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := alert.ParseRules(data)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// codes is a sandbox's inbox to which everybody's code was sent, after older messages.
func codes(t *testing.T) string {
	t.Helper()
	w, err := world.Open(t.TempDir(), world.Clock{Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	err = w.Update(t.Context(), func(tx *world.Tx) error {
		people, err := inbox.People(tx)
		for _, p := range people {
			for channel, address := range map[string]string{inbox.Slack: p.Member(), inbox.SMS: p.Phone, inbox.Email: p.Email} {
				for _, text := range []string{"WRONG234 is your M3O code.", "CRITICAL #1: disk full", apitest.Code + " is your M3O code. Whoever has it can be sent alerts here."} {
					if err := inbox.Put(tx, inbox.Message{ID: channel + p.Name + text[:3], Channel: channel, To: address, Text: text, ReceivedAt: time.Now()}); err != nil {
						return err
					}
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	inbox.Server{World: w}.Routes(mux, mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestThePeopleOfTheLocalFileAreMadeReachable: as if they had done it themselves, once, however often it is started; and nobody else is invited.
func TestThePeopleOfTheLocalFileAreMadeReachable(t *testing.T) {
	w := apitest.New(t)
	r := rota{admin: &client.Client{Base: w.URL, Token: apitest.Token}, inbox: codes(t), tokens: filepath.Join(t.TempDir(), "people"), say: t.Logf}
	w.LateCodes = 200 * time.Millisecond // a message may be read before the store knows what it says
	began := time.Now()
	for range 2 {
		if err := r.prepare(t.Context(), localRules(t).People()); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > codeAgain/2 {
		t.Errorf("it took %s: a code that came before it was in force is not tried again", took)
	}
	users, err := r.admin.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		known := u.Name == "ana" || u.Name == "bob"
		if !known && u.Name != "admin" || known && (u.Status != account.Active || !slices.Equal(u.Platform, []account.Role{account.OnCall})) {
			t.Errorf("there is %+v", u)
		}
	}
	token, err := readTokenFile(r.tokenOf("ana"))
	if err != nil {
		t.Fatal(err)
	}
	has, err := (&client.Client{Base: w.URL, Token: token}).Contacts(t.Context())
	if err != nil || len(has) != 3 {
		t.Fatalf("ana has %+v, %v", has, err)
	}
	for _, c := range has {
		if c.Status != alert.ContactVerified {
			t.Errorf("ana has %+v", c)
		}
	}
	if err := os.Remove(r.tokenOf("bob")); err != nil { // lost: another one cannot be made by whoever starts the platform
		t.Fatal(err)
	}
	if err := r.prepare(t.Context(), []string{"bob"}); err == nil {
		t.Error("a user's token can be made again without them")
	}
}

// TestTheLocalFileEscalatesFromAnaToBob, by Slack, SMS and mail, and wakes nobody for a warning.
func TestTheLocalFileEscalatesFromAnaToBob(t *testing.T) {
	rules := localRules(t)
	if rules.Project != alert.Platform {
		t.Errorf("it is of project %s", rules.Project)
	}
	for i, want := range []string{"ana", "bob"} {
		step := rules.Policies[0].Steps[i]
		at := slices.IndexFunc(rules.Schedules, func(s oncall.Schedule) bool { return s.Name == step.Targets[0].Schedule })
		if at < 0 {
			t.Fatalf("step %d targets %+v", i+1, step.Targets)
		}
		for _, when := range []time.Time{time.Date(2026, 1, 6, 3, 0, 0, 0, time.UTC), time.Date(2026, 7, 31, 12, 0, 0, 0, time.UTC), time.Now()} {
			if shift := rules.Schedules[at].At(when, nil); shift.Person != want {
				t.Errorf("step %d at %s pages %q, want %s", i+1, when, shift.Person, want)
			}
		}
	}
	if route := rules.RouteOf(map[string]string{"kind": "region", "severity": "critical"}); route.Policy != "on-call" || route.Urgency == alert.Low {
		t.Errorf("a region that is down goes by %+v", route)
	}
	if route := rules.RouteOf(map[string]string{"kind": "region", "severity": "warning"}); route.Urgency != alert.Low {
		t.Errorf("a warning goes by %+v", route)
	}
}
