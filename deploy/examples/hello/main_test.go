package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	server := httptest.NewServer(routes())
	defer server.Close()
	req, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(said)
}

func TestRoutes(t *testing.T) {
	t.Setenv("M3O_REGION", "lon1")
	t.Setenv("M3O_RELEASE", "7")
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/", "", 200, "hello from lon1 (service hello, release 7, instance "},
		{"GET", "/healthz", "", 200, "ok\n"},
		{"POST", "/greet", `{"name":"Ada"}`, 200, `{"message":"Hello Ada","region":"lon1"}` + "\n"},
		{"POST", "/greet", `{"name":" "}`, 400, "name is empty"},
		{"POST", "/greet", `Ada`, 400, "not JSON"},
		{"GET", "/greet", "", 405, ""},
		{"GET", "/none", "", 404, ""},
	} {
		status, said := call(t, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(said, c.want) {
			t.Errorf("%s %s = %d %q, want %d %q", c.method, c.path, status, said, c.status, c.want)
		}
	}
}
