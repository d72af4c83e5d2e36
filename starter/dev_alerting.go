//go:build embedded

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/sandbox/inbox"
)

// How long a code may take to the sandbox's inbox: workers start with the API, and are ready some seconds later.
const (
	codePatience = 3 * time.Minute
	codeAgain    = alert.CodePause + 5*time.Second
	codeLook     = 300 * time.Millisecond
	maxInbox     = 4 << 20
)

// rota makes the people of a policy file reachable as they would do it themselves: they are invited, log in, add their contacts, and verify
// them by the codes in the sandbox's inbox. Done twice, it finds everybody reachable.
type rota struct {
	admin  *client.Client
	inbox  string // base URL of the sandbox's control routes
	tokens string // folder where people's tokens are kept
	say    func(format string, args ...any)
}

// tokenOf is the file with a person's token.
func (r rota) tokenOf(person string) string { return filepath.Join(r.tokens, person+".token") }

// prepareRota makes the people of a policy file reachable whom the sandbox knows, and returns the file's project.
func prepareRota(ctx context.Context, out io.Writer, file, dir string, ports dev.Ports) (string, error) {
	data, err := readFile(file, nil, alert.MaxFileBytes)
	if err != nil {
		return "", err
	}
	rules, err := alert.ParseRules(data)
	if err != nil {
		return "", listed(file, err)
	}
	token, err := readTokenFile(dev.TokenFile(dir))
	if err != nil {
		return "", err
	}
	fmt.Fprintln(out)
	r := rota{admin: &client.Client{Base: dev.URL(ports.API), Token: token}, inbox: dev.URL(ports.Sandbox), tokens: filepath.Join(dir, "people"),
		say: func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }}
	return rules.Project, r.prepare(ctx, rules.People())
}

// prepare does so for those of the people whom the sandbox knows.
func (r rota) prepare(ctx context.Context, people []string) error {
	var known struct{ People []inbox.Person }
	if err := r.look(ctx, "/_sandbox/people", &known); err != nil {
		return err
	}
	for _, p := range known.People {
		if !slices.Contains(people, p.Name) {
			continue
		}
		if err := r.prepareOne(ctx, p); err != nil {
			return fmt.Errorf("make %s reachable: %w", p.Name, err)
		}
		r.say("%-7s is reached at Slack %s, %s, %s; token in %s", p.Name, p.Member(), p.Phone, p.Email, r.tokenOf(p.Name))
	}
	return nil
}

func (r rota) prepareOne(ctx context.Context, p inbox.Person) error {
	person, err := r.admit(ctx, p)
	if err != nil {
		return err
	}
	if err := r.admin.GrantRole(ctx, "", p.Name, account.OnCall); err != nil {
		return err
	}
	has, err := person.Contacts(ctx)
	if err != nil {
		return err
	}
	var pending []alert.Contact
	for _, wanted := range []alert.Contact{{Channel: alert.Slack, Address: p.Member()}, {Channel: alert.SMS, Address: p.Phone}, {Channel: alert.Email, Address: p.Email}} {
		i := slices.IndexFunc(has, func(c alert.Contact) bool { return c.Channel == wanted.Channel && c.Address == wanted.Address })
		switch {
		case i < 0:
			added, err := person.AddContact(ctx, wanted.Channel, wanted.Address)
			if err != nil {
				return err
			}
			pending = append(pending, added.Contact)
		case has[i].Status == alert.ContactPending: // from a start that ended in between
			pending = append(pending, has[i])
		}
	}
	for _, c := range pending {
		if err := r.verify(ctx, person, c); err != nil {
			return fmt.Errorf("verify %s by %s: %w", c.Address, c.Channel, err)
		}
	}
	return nil
}

// admit is a person's client, with the token that was kept or with one by an invitation.
func (r rota) admit(ctx context.Context, p inbox.Person) (*client.Client, error) {
	person := &client.Client{Base: r.admin.Base, Project: r.admin.Project}
	token, err := readTokenFile(r.tokenOf(p.Name))
	if err == nil {
		person.Token = token
		if _, err = person.WhoAmI(ctx); err == nil {
			return person, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) && !fault.Is(err, fault.Unauthenticated) {
		return nil, err
	}
	invitation, err := r.admin.InviteUser(ctx, p.Name, p.Email)
	if fault.Is(err, fault.Conflict) {
		invitation, err = r.admin.InviteAgain(ctx, p.Name)
	}
	if err != nil {
		return nil, err
	}
	made, err := person.Login(ctx, invitation.Code, "sandbox")
	if err != nil {
		return nil, err
	}
	person.Token = made.Secret
	if err := os.MkdirAll(r.tokens, 0o700); err != nil {
		return nil, err
	}
	return person, os.WriteFile(r.tokenOf(p.Name), []byte(made.Secret+"\n"), 0o600)
}

// code is what a message with a code says.
var code = regexp.MustCompile(`^([A-Z0-9]+) is your M3O code`)

// verify answers with the codes that arrive at a contact, the newest first, until one is right. Where none arrives it asks for another.
func (r rota) verify(ctx context.Context, person *client.Client, c alert.Contact) error {
	tried := map[string]bool{}
	asked := time.Now()
	for deadline := time.Now().Add(codePatience); time.Now().Before(deadline); {
		var got struct{ Messages []inbox.Message }
		if err := r.look(ctx, "/_sandbox/inbox?to="+url.QueryEscape(c.Address), &got); err != nil {
			return err
		}
		for _, m := range slices.Backward(got.Messages) {
			found := code.FindStringSubmatch(m.Text)
			if found == nil || tried[found[1]] {
				continue
			}
			// A code arrives a moment before it is in force: until then it is refused as a conflict, which says nothing about the code.
			_, err := person.VerifyContact(ctx, c.ID, found[1])
			if err == nil || !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Conflict) {
				return err
			}
			tried[found[1]] = fault.Is(err, fault.Invalid)
		}
		if time.Since(asked) > codeAgain {
			asked = time.Now()
			if err := person.SendCode(ctx, c.ID); err != nil && !fault.Is(err, fault.Throttled) {
				return err
			}
		}
		select {
		case <-time.After(codeLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fault.New(fault.Unavailable, "no code arrived within %s: see %s/inbox, and the log of the worker of pages", codePatience, r.inbox)
}

// look reads one of the sandbox's control routes.
func (r rota) look(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.inbox+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the sandbox: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the sandbox for %s: %s", path, answer.Status)
	}
	return json.NewDecoder(io.LimitReader(answer.Body, maxInbox)).Decode(into)
}
