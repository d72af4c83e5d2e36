package hosts_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/hosts"
)

// ask sends a request as a browser or a program does, and returns the status and what was said.
func ask(t *testing.T, g hosts.Guard, method, host string, header map[string]string) (int, string) {
	t.Helper()
	handler, err := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, "/", nil)
	r.Host = host
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var problem struct{ Detail string }
	if w.Code >= 400 {
		if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
			t.Errorf("%q is no problem document: %v", w.Body, err)
		}
	}
	return w.Code, problem.Detail
}

func TestAServerAnswersToItsOwnNamesAlone(t *testing.T) {
	local, public := hosts.Guard{}, hosts.Guard{Names: []string{"api.example.com"}, Addresses: true}
	for host, want := range map[string][2]int{ // of the local one, and of the public one
		"127.0.0.1:8233": {200, 200}, "127.0.0.1": {200, 200}, "localhost:8233": {200, 200}, "LocalHost": {200, 200}, "[::1]:8233": {200, 200}, "[::1]": {200, 200},
		"api.m3o.localhost:8000": {200, 200}, "localhost.:80": {200, 200}, "127.9.9.9": {200, 200}, "[::ffff:127.0.0.1]": {200, 200},
		"evil.example:8233": {421, 421}, "evil.example": {421, 421}, "localhost.evil.example": {421, 421}, "evillocalhost": {421, 421}, "127.0.0.1.evil.example": {421, 421}, "": {421, 421},
		"10.0.0.7:8080": {421, 200}, "[2001:db8::1]:8080": {421, 200}, "api.example.com": {421, 200}, "API.example.com:443": {421, 200}, "x.api.example.com": {421, 421},
	} {
		for i, g := range []hosts.Guard{local, public} {
			got, words := ask(t, g, http.MethodGet, host, nil)
			if got != want[i] {
				t.Errorf("%q as %s: %d, want %d", host, g, got, want[i])
			}
			if got == 421 && (!strings.Contains(words, `"`+host+`"`) || !strings.Contains(words, "localhost")) {
				t.Errorf("%q is told %q", host, words)
			}
		}
	}
}

func TestPagesOfOtherOriginsChangeNothing(t *testing.T) {
	g := hosts.Guard{Origins: []string{"http://127.0.0.1:8233"}}
	for name, c := range map[string]struct {
		method string
		header map[string]string
		want   int
	}{
		"a program":                  {http.MethodPost, nil, 200},
		"its own page":               {http.MethodPost, map[string]string{"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}, 200},
		"its own, an old browser":    {http.MethodPost, map[string]string{"Origin": "http://127.0.0.1:8080"}, 200},
		"a page that it trusts":      {http.MethodPost, map[string]string{"Origin": "http://127.0.0.1:8233", "Sec-Fetch-Site": "same-site"}, 200},
		"another port's":             {http.MethodPost, map[string]string{"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, 403},
		"a stranger's":               {http.MethodDelete, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
		"a stranger's, old browser":  {http.MethodPost, map[string]string{"Origin": "https://evil.example"}, 403},
		"a sandboxed frame's":        {http.MethodPost, map[string]string{"Origin": "null"}, 403},
		"a link in a stranger's":     {http.MethodGet, map[string]string{"Sec-Fetch-Site": "cross-site"}, 200},
		"what a browser asks before": {http.MethodOptions, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 200},
	} {
		if got, words := ask(t, g, c.method, "127.0.0.1:8080", c.header); got != c.want || got == 403 && !strings.Contains(words, c.header["Origin"]) {
			t.Errorf("%s: %d %q, want %d", name, got, words, c.want)
		}
	}
}

func TestNamesAreRead(t *testing.T) {
	if got, err := hosts.Parse(" api.example.com,API.example.org ,"); err != nil || strings.Join(got, " ") != "api.example.com api.example.org" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, text := range []string{"https://api.example.com", "api.example.com:443", "a b", "*.example.com", "-x.example.com", "api..example.com"} {
		if _, err := hosts.Parse(text); err == nil || !strings.Contains(err.Error(), "without scheme and port") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
