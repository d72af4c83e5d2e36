//go:build embedded

package spine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/dev"
)

// ask calls the API as the administrator.
func (p *platform) ask(method, path string, body any, want int) string {
	p.t.Helper()
	token, err := os.ReadFile(dev.TokenFile(p.dir))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.askAs(strings.TrimSpace(string(token)), method, path, body, want)
}

// askAs calls the API as the owner of a token.
func (p *platform) askAs(token, method, path string, body any, want int) string {
	p.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.api+path, bytes.NewReader(data))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		p.t.Fatalf("%s %s: %s %v: %s", method, path, resp.Status, err, answer)
	}
	return string(answer)
}

// answersIn asks a region's gateway for a service of a project.
func answersIn(url, project string, want int) error { return answersTo("", url, project, want) }

// answersTo is answersIn for the bearer of a ticket.
func answersTo(ticket, url, project string, want int) error {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if ticket != "" {
		r.Header.Set("Authorization", "Bearer "+ticket)
	}
	r.Host = project + ".api.m3o.localhost"
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("GET %s of %s: %s, want %d", url, project, resp.Status, want)
	}
	return nil
}

// TestAProjectIsSuspendedAndRemoved: the API and the gateways refuse a suspended project, in a region that becomes ready
// later, too; lifting the one reason lets it answer again; and when it is removed nothing of it is left.
func TestAProjectIsSuspendedAndRemoved(t *testing.T) {
	p := start(t, settings{scale: 0.01, poll: "200ms"})
	p.must("apply", "-f", p.file("lon1"), "--yes")
	p.ask("POST", "/v1/projects", map[string]string{"name": "shop"}, http.StatusCreated)
	out := decode[ran](t, p.must("run", hello, "--name", "hello", "--public", "--project", "shop", "--json"))
	url := out.Regions[0].URL
	soon := func(project string, want int) {
		t.Helper()
		eventually(t, 30*time.Second, func() error { return answersIn(url, project, want) })
	}
	soon("shop", http.StatusOK)
	get(t, url) // as it is printed
	p.ask("PUT", "/v1/projects/shop/suspensions/dunning", map[string]string{"message": "an invoice is not paid"}, http.StatusOK)
	soon("shop", http.StatusForbidden)
	p.ask("POST", "/v1/services/hello/rollback?project=shop", struct{}{}, http.StatusForbidden)
	p.must("apply", "-f", p.file("lon1", "nyc3"), "--yes")
	var later string
	eventually(t, 60*time.Second, func() error {
		var list struct {
			Items []struct {
				Name      string
				Endpoints struct{ API string }
			}
		}
		if err := json.Unmarshal([]byte(p.ask("GET", "/v1/regions", nil, http.StatusOK)), &list); err != nil {
			return err
		}
		for _, r := range list.Items {
			if later = r.Endpoints.API; r.Name == "nyc3" && later != "" {
				return answersIn(later+"hello/", "shop", http.StatusForbidden)
			}
		}
		return fmt.Errorf("nyc3 is not ready: %+v", list)
	})
	p.ask("DELETE", "/v1/projects/shop/suspensions/dunning", nil, http.StatusOK)
	soon("shop", http.StatusOK)
	p.ask("DELETE", "/v1/projects/shop", nil, http.StatusConflict)
	p.ask("DELETE", "/v1/projects/shop?cascade=true", nil, http.StatusAccepted)
	eventually(t, 2*time.Minute, func() error {
		if list := p.ask("GET", "/v1/projects", nil, http.StatusOK); strings.Contains(list, `"shop"`) {
			return fmt.Errorf("it is still there: %s", list)
		}
		return nil
	})
	soon("shop", http.StatusNotFound)
}

// permit is a ticket for a service, and where it holds.
type permit struct {
	Ticket  string
	Regions []struct{ Gateway, Service string }
}

// TestTwoProjectsInOneRegionAreKeptApart: who owns one project reaches nothing of the other, through the API and through the
// gateway that both share: services, logs, sources, images and tickets.
func TestTwoProjectsInOneRegionAreKeptApart(t *testing.T) {
	p := start(t, settings{scale: 0.01, poll: "200ms"})
	p.must("apply", "-f", p.file("lon1"), "--yes")
	p.ask("POST", "/v1/projects", map[string]string{"name": "shop"}, http.StatusCreated)
	p.ask("POST", "/v1/projects/shop/service-accounts", map[string]string{"name": "ci", "role": "owner"}, http.StatusCreated)
	ci := decode[struct{ Secret string }](t, p.ask("POST", "/v1/projects/shop/service-accounts/ci/tokens", map[string]string{"name": "ci"}, http.StatusCreated)).Secret
	for name, project := range map[string]string{"till": "default", "hello": "shop"} {
		p.must("run", hello, "--public=false", "--name", name, "--project", project, "--json")
	}
	theirs := decode[struct {
		Image  string
		Origin struct{ Source string }
	}](t, p.ask("GET", "/v1/services/till/releases/1?project=default", nil, http.StatusOK))
	asCI := func(method, path string, body any, want int) string {
		t.Helper()
		return p.askAs(ci, method, path, body, want)
	}

	asCI("GET", "/v1/services/hello?project=shop", nil, http.StatusOK)
	for _, r := range []struct{ method, path string }{{"GET", "/v1/services/till"}, {"GET", "/v1/services"}, {"GET", "/v1/services/till/releases"}, {"GET", "/v1/services/till/releases/1/log"},
		{"DELETE", "/v1/services/till"}, {"POST", "/v1/services/till/rollback"}, {"POST", "/v1/services/till/call-tickets"}, {"POST", "/v1/services/till/log-tickets"},
		{"PUT", "/v1/sources/" + theirs.Origin.Source}} {
		asCI(r.method, r.path+"?project=default", struct{}{}, http.StatusForbidden)
	}
	asCI("POST", "/v1/services/stolen/releases?project=shop", map[string]string{"image": theirs.Image}, http.StatusForbidden)
	p.ask("POST", "/v1/projects", map[string]string{"name": "bank"}, http.StatusCreated)
	p.ask("POST", "/v1/services/stolen/releases?project=bank", map[string]string{"source": theirs.Origin.Source}, http.StatusNotFound)

	call := decode[permit](t, asCI("POST", "/v1/services/hello/call-tickets?project=shop", nil, http.StatusCreated))
	logs := decode[permit](t, asCI("POST", "/v1/services/hello/log-tickets?project=shop", nil, http.StatusCreated))
	gateway := call.Regions[0].Gateway
	for what, c := range map[string]struct {
		ticket, url, project string
		want                 int
	}{
		"its own service": {call.Ticket, gateway + "hello/", "shop", http.StatusOK}, "the other's": {call.Ticket, gateway + "till/", "default", http.StatusForbidden},
		"as it is printed": {call.Ticket, call.Regions[0].Service, "shop", http.StatusOK},
		"its own logs":     {logs.Ticket, gateway + "-/logs/shop/hello", "shop", http.StatusOK}, "the other's logs": {logs.Ticket, gateway + "-/logs/default/till", "shop", http.StatusForbidden},
		"calls for logs": {call.Ticket, gateway + "-/logs/shop/hello", "shop", http.StatusForbidden}, "nobody": {"", gateway + "till/", "default", http.StatusUnauthorized},
	} {
		if err := answersTo(c.ticket, c.url, c.project, c.want); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
