package outbound

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
)

type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func TestARedirectIsAnAnswer(t *testing.T) {
	var hosts []string
	client := Client(time.Second, transport(func(r *http.Request) *http.Response {
		hosts = append(hosts, r.URL.Host)
		return &http.Response{StatusCode: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"http://elsewhere.example/"}}, Body: http.NoBody, Request: r}
	}))
	answer, err := client.Get("http://cloud.example/")
	if err != nil || answer.StatusCode != http.StatusTemporaryRedirect || len(hosts) != 1 {
		t.Errorf("%v was asked, and answered %+v, %v", hosts, answer, err)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAnswersAreBounded(t *testing.T) {
	client := Client(time.Minute, transport(func(r *http.Request) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(endless{}), Request: r}
	}))
	answer, err := client.Get("http://cloud.example/")
	if err != nil {
		t.Fatal(err)
	}
	if read, err := io.Copy(io.Discard, answer.Body); read != MaxBody || !errors.Is(err, errTooLarge) {
		t.Errorf("%d bytes were read, then %v", read, err)
	}
}

func TestCredentialsAreNotSentInClear(t *testing.T) {
	for text, want := range map[string]string{"": "", "http://127.0.0.1:7702": "http://127.0.0.1:7702", "http://[::1]:7702/": "http://[::1]:7702", "http://localhost": "http://localhost",
		"https://api.example.com/": "https://api.example.com"} {
		if got, err := Base(text); err != nil || got != want {
			t.Errorf("%q is read as %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"http://api.example.com": "in clear", "http://10.0.0.1": "in clear", "ftp://127.0.0.1": "base URL", "127.0.0.1:7702": "base URL",
		"https://": "base URL", "https://me:secret@api.example.com": "base URL"} {
		if _, err := Base(text); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Message(err), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
