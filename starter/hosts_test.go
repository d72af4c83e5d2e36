package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/config"
)

// TestTheAPIAnswersToItsNames: a page that made its name stand for the API's address is told so, and so is an operator who named nothing.
func TestTheAPIAnswersToItsNames(t *testing.T) {
	handler, err := guarded(config.Settings{Hosts: "api.example.com", TemporalUI: "http://127.0.0.1:8233"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"127.0.0.1:8080": 200, "localhost:8080": 200, "10.1.2.3:8080": 200, "api.example.com": 200, "evil.example:8080": 421} {
		r, w := httptest.NewRequest(http.MethodPost, "/v1/plans", nil), httptest.NewRecorder()
		r.Host = host
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: %d, want %d", host, w.Code, want)
		}
	}
	for origin, want := range map[string]int{"http://127.0.0.1:8233": 200, "http://evil.example": 403} {
		r, w := httptest.NewRequest(http.MethodPost, "/v1/codec/decode", nil), httptest.NewRecorder()
		r.Host = "127.0.0.1:8080"
		r.Header.Set("Origin", origin)
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("a page of %s: %d, want %d", origin, w.Code, want)
		}
	}
	for variable, s := range map[string]config.Settings{"M3O_HOSTS": {Hosts: "https://api.example.com"}, "M3O_TEMPORAL_UI": {TemporalUI: "127.0.0.1:8233"}} {
		var wrong *misuseError
		if _, err := guarded(s, nil); !errors.As(err, &wrong) || !strings.Contains(err.Error(), variable) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
