//go:build embedded

package engine_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/dev/engine"
)

// TestTheUIIsForThisMachine runs it as m3o dev does: it shows itself and asks the engine, by this machine's names alone, and no page of
// another origin changes anything.
func TestTheUIIsForThisMachine(t *testing.T) {
	e := start(t, t.TempDir(), freePort(t))
	t.Cleanup(func() { _ = e.Stop() })
	ctx, stop := context.WithCancel(t.Context())
	ended, port := make(chan error, 1), freePort(t)
	go func() {
		ended <- engine.UI{Port: port, Engine: e.Address, Codec: "http://127.0.0.1:8080/v1/codec", Default: "m3o"}.Serve(ctx)
	}()
	ask := func(method, path, host string, header map[string]string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		for name, value := range header {
			r.Header.Set(name, value)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err.Error()
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if status, _ := ask(http.MethodGet, "/healthz", "localhost", nil); status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not answer")
		}
	}
	own := fmt.Sprintf("127.0.0.1:%d", port)
	for _, c := range []struct {
		method, path, host, says string
		header                   map[string]string
		want                     int
	}{
		{http.MethodGet, "/", own, "<html", nil, 200},
		{http.MethodGet, "/namespaces/m3o/workflows", "localhost", "<html", nil, 200},
		{http.MethodGet, "/api/v1/namespaces/m3o", own, `"name":"m3o"`, nil, 200},
		{http.MethodGet, "/api/v1/settings", own, "/v1/codec", nil, 200},
		{http.MethodGet, "/", "evil.example", "this server is called localhost", nil, 421},
		{http.MethodGet, "/api/v1/namespaces/m3o", "evil.example:8233", "this server is called localhost", nil, 421},
		{http.MethodPost, "/api/v1/namespaces/m3o/workflows", "evil.example", "this server is called localhost", map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, 421},
		{http.MethodPost, "/api/v1/namespaces/m3o/workflows", own, "changes nothing here", map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}, 403},
	} {
		status, body := ask(c.method, c.path, c.host, c.header)
		if squeezed := strings.ReplaceAll(body, `": "`, `":"`); status != c.want || !strings.Contains(squeezed, c.says) {
			t.Errorf("%s %s of %s: %d %.300s", c.method, c.path, c.host, status, body)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
