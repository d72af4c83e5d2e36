package digitalocean

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/cloud/outbound"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// account serves one handler as the API.
func account(t *testing.T, handler http.HandlerFunc) *Provider {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	p, err := New(Config{Token: "dop_v1_secret", BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func network() region.NetworkSpec {
	return region.Spec{Platform: "micro", Name: "lon1", Location: "lon1"}.NetworkSpec()
}

// The words are the API's own, as its description, its users and its SDK's tests tell them.
func TestAnswersHaveAKind(t *testing.T) {
	for _, c := range []struct {
		status int
		words  string
		want   fault.Kind
	}{
		{401, "Unable to authenticate you", fault.Denied},
		{403, "You are not authorized to perform this operation", fault.Denied},
		{403, "You have reached your droplet limit", fault.Quota},
		{404, "The resource you requested could not be found.", fault.NotFound},
		{409, "Can not delete VPC with members", fault.Conflict},
		{412, "Droplet already has a pending event.", fault.Conflict},
		{422, "validation error: creating this/these droplet(s) will exceed your droplet limit", fault.Quota},
		{422, "You have reached the maximum limit of clusters", fault.Quota},
		{422, "The droplet limit was exceeded.", fault.Quota},
		{422, "Name has already been taken", fault.Exists},
		{422, "a cluster with this name already exists", fault.Exists},
		{422, "validation error: cluster is provisioning", fault.Conflict},
		{422, "This range/size overlaps with another VPC network in your account", fault.Invalid},
		{400, "invalid version slug", fault.Invalid},
		{429, "API Rate limit exceeded.", fault.Throttled},
		{500, "Unexpected server-side error", fault.Unavailable},
		{502, "", fault.Unavailable},
		{503, "rate limit exceeded by our own backend", fault.Unavailable},
	} {
		p := account(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("x-request-id", "req-1")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(`{"id":"x","message":` + strconv.Quote(c.words) + `}`))
		})
		_, err := p.EnsureNetwork(t.Context(), network(), "")
		if !fault.Is(err, c.want) {
			t.Errorf("%d %q: got kind %s, want %s", c.status, c.words, fault.Of(err), c.want)
		}
		if text := fault.Message(err); !strings.Contains(text, c.words) || !strings.Contains(text, "req-1") {
			t.Errorf("the message lacks DigitalOcean's words or its request id: %q", text)
		}
		if strings.Contains(err.Error(), "dop_v1_secret") {
			t.Errorf("the error has the token: %v", err)
		}
	}
}

// Something lives in the VPC: the API's description says 403, its users report 409. Whoever may not delete it gets 403, too.
func TestInhabitedNetworksAreAConflict(t *testing.T) {
	for _, c := range []struct {
		status int
		words  string
		want   fault.Kind
	}{
		{403, "Can not delete VPC with members", fault.Conflict},
		{409, "Can not delete VPC with members", fault.Conflict},
		{403, "The VPC is not empty", fault.Conflict},
		{403, "You are not authorized to perform this operation", fault.Denied},
		{403, "You do not have access for the attempted action.", fault.Denied},
		{403, "Unauthorized: ask one of the team's members", fault.Denied},
		{403, "Your role does not have permission to delete a VPC with members", fault.Denied},
		{403, "Can not delete default VPCs", fault.Conflict}, // it was none when the list was read
		{403, "Your role does not have permission to delete the default VPC", fault.Denied},
		{403, "", fault.Denied},
	} {
		p := account(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				_, _ = w.Write([]byte(`{"vpcs":[{"id":"v","name":"m3o-role-attached","description":"m3o:role:attached","region":"lon1"}]}`))
				return
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(`{"id":"x","message":` + strconv.Quote(c.words) + `}`))
		})
		_, err := p.DeleteNetwork(t.Context(), region.Spec{Platform: "role", Name: "attached", Location: "lon1"}.NetworkSpec(), "")
		if !fault.Is(err, c.want) || !strings.Contains(fault.Message(err), c.words) {
			t.Errorf("%d %q: got kind %s, want %s: %v", c.status, c.words, fault.Of(err), c.want, err)
		}
	}
}

func TestAnswersThatMakeNoSenseAreUnavailable(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"cut off":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"not JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"half":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"vpcs":[{"id":"x"`)) },
		"too large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"vpcs":[`))
			for range outbound.MaxBody/4096 + 1 {
				if _, err := w.Write([]byte(strings.Repeat(" ", 4096))); err != nil {
					return
				}
			}
		},
	} {
		_, err := account(t, handler).EnsureNetwork(t.Context(), network(), "")
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: got %v of kind %s", name, err, fault.Of(err))
		}
	}
}

// A redirect is not followed: the token would go wherever it leads.
func TestTheTokenStaysWithTheAPI(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked with %q", r.Host, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	_, err := account(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}).EnsureNetwork(t.Context(), network(), "")
	if err == nil {
		t.Error("a redirect is taken for an answer")
	}
	if _, err := New(Config{Token: "t", BaseURL: "http://api.example.com"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("the token would be sent in clear: %v", err)
	}
}

func TestListsAreReadToTheEnd(t *testing.T) {
	pages := 0
	p := account(t, func(w http.ResponseWriter, r *http.Request) {
		pages++
		next, name := "", "m3o-micro-lon1"
		if n := r.URL.Query().Get("page"); n != "3" {
			next, name = `"links":{"pages":{"next":"http://x/v2/vpcs?page=9","last":"http://x/v2/vpcs?page=9"}},`, "other"
		}
		_, _ = w.Write([]byte(`{` + next + `"vpcs":[{"id":"v","name":"` + name + `","description":"m3o:micro:lon1","region":"lon1"}]}`))
	})
	got, err := p.EnsureNetwork(t.Context(), network(), "")
	if err != nil || got.ID != "v" || pages != 3 {
		t.Errorf("after %d pages got %+v, %v", pages, got, err)
	}
}

func TestListsWithoutEndAreGivenUp(t *testing.T) {
	p := account(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"links":{"pages":{"next":"http://x/v2/vpcs?page=9","last":"http://x/v2/vpcs?page=9"}},"vpcs":[{"id":"v","name":"other"}]}`))
	})
	_, err := p.EnsureNetwork(t.Context(), network(), "")
	if !fault.Is(err, fault.Failed) {
		t.Errorf("got %v", err)
	}
}

func TestRequestsCarryTokenAndName(t *testing.T) {
	p := account(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer dop_v1_secret" || !strings.HasPrefix(r.UserAgent(), "m3o") {
			t.Errorf("authorization %q, user agent %q", r.Header.Get("Authorization"), r.UserAgent())
		}
		_, _ = w.Write([]byte(`{"vpcs":[{"id":"v","name":"m3o-micro-lon1","description":"m3o:micro:lon1","region":"lon1"}]}`))
	})
	if _, err := p.EnsureNetwork(t.Context(), network(), ""); err != nil {
		t.Error(err)
	}
}

func TestFailedCallsAreNotRepeated(t *testing.T) {
	calls := 0
	p := account(t, func(w http.ResponseWriter, _ *http.Request) { calls++; w.WriteHeader(503) })
	if _, err := p.EnsureNetwork(t.Context(), network(), ""); err == nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestEndedContextsStayWhatTheyAre(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := account(t, func(http.ResponseWriter, *http.Request) {})
	if _, err := p.EnsureNetwork(ctx, network(), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	for _, c := range []Config{{}, {Token: "t", BaseURL: "api.digitalocean.com"}, {Token: "t", BaseURL: "ftp://x"}} {
		if _, err := New(c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
