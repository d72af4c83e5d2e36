//go:build embedded

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/inbox"
	"github.com/m3o/platform/internal/sandbox/world"
)

// monitor is a system that sends alerts with an integration key.
type monitor struct {
	p    *watchedPlatform
	hook string
}

// newSource makes an integration key of the default project that takes as much as there is.
func (p *watchedPlatform) newSource(name string) monitor {
	p.t.Helper()
	var made struct{ URL string }
	p.ask(http.MethodPost, p.api+"/v1/alerting/keys", map[string]any{"name": name, "rate": alert.MaxRate, "burst": alert.MaxBurst}, &made)
	return monitor{p: p, hook: made.URL}
}

// says sends an event of ours, and fails the test unless it is accepted.
func (s monitor) says(action alert.Action, key, summary string, labels map[string]string) {
	s.p.t.Helper()
	s.p.must("send an alert", s.post(http.DefaultClient, map[string]any{"action": action, "dedup_key": key, "summary": summary, "severity": alert.Critical, "labels": labels}))
}

func (s monitor) fires(key, summary string) { s.p.t.Helper(); s.says(alert.Trigger, key, summary, nil) }

func (s monitor) ends(key string) { s.p.t.Helper(); s.says(alert.Resolve, key, "", nil) }

// post sends a body to the hook; without an error it was accepted.
func (s monitor) post(client *http.Client, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := client.Post(s.hook, "application/json", bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: %s", r.Status, text)
	}
	return err
}

// alertRules are applied to the default project.
func (p *watchedPlatform) alertRules(file string) {
	p.t.Helper()
	p.ask(http.MethodPut, p.api+"/v1/alerting", map[string]any{"file": file, "version": 0}, nil)
}

// person is somebody who can be paged: a user with contacts at the sandbox's channels.
type person struct {
	p        *watchedPlatform
	name     string
	token    string
	address  map[alert.Channel]string
	contacts map[alert.Channel]string // ids
}

var codeInText = regexp.MustCompile(`\b[0-9A-Z]{8}\b`)

// newPerson invites a user, who adds a contact at each of the channels and hands in the code that arrives there.
func (p *watchedPlatform) newPerson(name string, channels ...alert.Channel) *person {
	p.t.Helper()
	var known struct{ People []inbox.Person }
	p.ask(http.MethodGet, p.control+"/_sandbox/people", nil, &known)
	i := slices.IndexFunc(known.People, func(one inbox.Person) bool { return one.Name == name })
	if i < 0 {
		p.t.Fatalf("the sandbox knows no %s", name)
	}
	of := known.People[i]
	who := &person{p: p, name: name, contacts: map[alert.Channel]string{},
		address: map[alert.Channel]string{alert.Email: of.Email, alert.SMS: of.Phone, alert.Slack: of.Member()}}
	var invited account.Invitation
	p.ask(http.MethodPost, p.api+"/v1/users", map[string]any{"name": name, "email": of.Email}, &invited)
	p.ask(http.MethodPut, p.api+"/v1/projects/"+account.DefaultProject+"/members/"+name+"/roles/"+string(account.Developer), nil, nil)
	var login struct{ Secret string }
	p.ask(http.MethodPost, p.api+"/v1/login", map[string]any{"code": invited.Code}, &login)
	who.token = login.Secret
	for _, c := range channels {
		who.verify(c)
	}
	return who
}

func (w *person) verify(c alert.Channel) {
	w.p.t.Helper()
	var made alert.Contact
	w.p.askAs(w.token, http.MethodPost, w.p.api+"/v1/contacts", map[string]any{"channel": c, "address": w.address[c]}, &made)
	code := ""
	w.p.until("a code arrives by "+string(c), func() bool {
		for _, m := range w.inbox() {
			if m.Channel == string(c) {
				code = codeInText.FindString(m.Text)
			}
		}
		return code != ""
	})
	// Nobody is so fast with a real one: the code arrives a moment before it is good.
	w.p.until("the code is good", func() bool {
		_, err := w.p.tryAs(w.token, http.MethodPost, w.p.api+"/v1/contacts/"+made.ID+"/verify", map[string]any{"code": code}, nil)
		return err == nil
	})
	w.contacts[c] = made.ID
}

// inbox is what the person has received, oldest first.
func (w *person) inbox() []inbox.Message {
	w.p.t.Helper()
	var list struct{ Messages []inbox.Message }
	w.p.ask(http.MethodGet, w.p.control+"/_sandbox/inbox?n=1000&to="+url.QueryEscape(w.name), nil, &list)
	return list.Messages
}

// had are the messages of a channel that say so.
func (w *person) had(c alert.Channel, text string) (found []inbox.Message) {
	w.p.t.Helper()
	for _, m := range w.inbox() {
		if (c == "" || m.Channel == string(c)) && strings.Contains(m.Subject+"\n"+m.Text, text) {
			found = append(found, m)
		}
	}
	return found
}

// gets waits for a message of a channel that says so.
func (w *person) gets(c alert.Channel, text string) inbox.Message {
	w.p.t.Helper()
	var found []inbox.Message
	w.p.until(fmt.Sprintf("%s gets %q by %s", w.name, text, c), func() bool { found = w.had(c, text); return len(found) > 0 })
	return found[0]
}

// paged are the messages that asked the person to act on an alert.
func (w *person) paged(a alert.Alert) []inbox.Message {
	w.p.t.Helper()
	return slices.DeleteFunc(w.inbox(), func(m inbox.Message) bool {
		return !strings.HasPrefix(m.Key, fmt.Sprintf("%s/%d/%s/", a.Project, a.Number, alert.PageTrigger))
	})
}

// replies answers a message, as the phone or the mail program does.
func (w *person) replies(to inbox.Message, text string) {
	w.p.t.Helper()
	w.p.ask(http.MethodPost, w.p.control+"/_sandbox/inbox/"+url.PathEscape(to.ID)+"/reply", map[string]any{"text": text}, nil)
}

// alertCalled waits for an alert of that title.
func (p *watchedPlatform) alertCalled(title string) alert.Alert {
	p.t.Helper()
	var found alert.Alert
	p.until("there is an alert "+title, func() bool {
		var list struct{ Items []alert.Alert }
		p.ask(http.MethodGet, p.api+"/v1/alerts?limit=200", nil, &list)
		i := slices.IndexFunc(list.Items, func(a alert.Alert) bool { return a.Title == title })
		if i >= 0 {
			found = list.Items[i]
		}
		return i >= 0
	})
	return found
}

// becomes waits until an alert has a status.
func (p *watchedPlatform) becomes(number int64, status alert.Status) alert.Alert {
	p.t.Helper()
	var shown rest.AlertDetails
	p.until(fmt.Sprintf("alert %d is %s", number, status), func() bool {
		shown = rest.AlertDetails{}
		p.ask(http.MethodGet, fmt.Sprintf("%s/v1/alerts/%d", p.api, number), nil, &shown)
		return shown.Alert.Status == status
	})
	return shown.Alert
}

// misbehaves has a channel of the sandbox misbehave towards an address, until the faults are cleared.
func (p *watchedPlatform) misbehaves(provider, operation, fault, address string) {
	p.t.Helper()
	p.ask(http.MethodPost, p.control+"/_sandbox/faults", world.Fault{Provider: provider, Operation: operation, Fault: fault, Match: address, Times: -1}, nil)
}

// patience is what a busy machine may take beyond what a test waits for.
const patience = 5 * time.Second

// newAlertingPlatform is the platform with what alerts go through, in this process.
func newAlertingPlatform(t *testing.T) *watchedPlatform {
	t.Helper()
	p := newBarePlatform(t, ground{limit: 4 * time.Minute, runner: clusterstest.New(1)})
	p.serveQueues(p.settings, queue.Flows, queue.Pages)
	return p
}

// pagedBy has the person be paged by these channels, each a second after the one before.
func (w *person) pagedBy(first alert.Channel, then ...alert.Channel) {
	w.p.t.Helper()
	lines := []alert.Notify{{Channel: first}}
	for _, c := range then {
		lines = append(lines, alert.Notify{Channel: c, After: alert.Duration(delay)})
	}
	w.p.askAs(w.token, http.MethodPut, w.p.api+"/v1/contacts/rules", map[string]any{"high": lines}, nil)
}

// pagesOf are the pages of an alert, as the platform accounts for them.
func (p *watchedPlatform) pagesOf(number int64) []alert.PageRow {
	p.t.Helper()
	var shown struct{ Pages []alert.PageRow }
	p.ask(http.MethodGet, fmt.Sprintf("%s/v1/alerts/%d", p.api, number), nil, &shown)
	return shown.Pages
}

func (p *watchedPlatform) clearFaults() {
	p.t.Helper()
	p.ask(http.MethodDelete, p.control+"/_sandbox/faults", nil, nil)
}
