package digitalocean

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/sandbox/clusters/clusterstest"
	"github.com/m3o/platform/internal/sandbox/world"
)

// FuzzAPI sends anything anywhere: every answer has the API's form, and none is our failure.
func FuzzAPI(f *testing.F) {
	cluster := `{"name":"lon1","region":"lon1","version":"1.34","tags":["a"],"node_pools":[{"name":"main","size":"s-2vcpu-4gb","count":1}]}`
	for _, r := range routes {
		path := strings.NewReplacer("{", "", "}", "").Replace(r.pattern)
		f.Add(r.method, path, cluster)
		f.Add(r.method, path+"?page=2&per_page=7&expiry_seconds=-1", `{"name":"net","region":"lon1","ip_range":"10.0.0.0/20"}`)
	}
	f.Add("POST", "/v2/vpcs", `{"name":["a"],"region":{}}`)
	f.Add("GET", "/v2/vpcs?page=99999999999999999999&per_page=-1", "")
	w, err := world.Open(f.TempDir(), world.Clock{Scale: 0.0001})
	if err != nil {
		f.Fatal(err)
	}
	cloud, err := New(Config{World: w, Runner: clusterstest.New(4), Versions: []string{"1.34"}, Token: "t",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		cloud.budget = newBudget(w.Clock) // every request is the first
		request, err := http.NewRequestWithContext(t.Context(), method, "http://sandbox/"+strings.TrimPrefix(path, "/"), strings.NewReader(body))
		if err != nil {
			return // not a request
		}
		request.Header.Set("Authorization", "Bearer t")
		answer := httptest.NewRecorder()
		cloud.ServeHTTP(answer, request)
		checkAnswer(t, answer)
	})
}

func checkAnswer(t *testing.T, answer *httptest.ResponseRecorder) {
	t.Helper()
	if answer.Code >= 500 {
		t.Errorf("our failure: %d %s", answer.Code, answer.Body)
	}
	if answer.Code < 400 || answer.Code == http.StatusMethodNotAllowed {
		return
	}
	var refusal errorBody
	if err := json.Unmarshal(answer.Body.Bytes(), &refusal); err != nil || refusal.ID == "" || refusal.Message == "" || refusal.RequestID == "" {
		t.Errorf("an error without the API's form: %d %s", answer.Code, answer.Body)
	}
}

// FuzzPage checks that paging never leaves the list, and loses nothing of it.
func FuzzPage(f *testing.F) {
	f.Add("1", "20", 3)
	f.Add("-1", "0", 100)
	f.Add("x", "999", 1000)
	f.Fuzz(func(t *testing.T, number, per string, total int) {
		if total < 0 || total > 5000 {
			return // no such list
		}
		all := make([]int, total)
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/vpcs", nil)
		query := request.URL.Query()
		query.Set("page", number)
		query.Set("per_page", per)
		request.URL.RawQuery = query.Encode()
		p := pageOf(request)
		if p.number < 1 || p.per < 1 || p.per > maxPerPage {
			t.Errorf("page %+v", p)
		}
		body := listed(p, "items", all)
		got := len(body["items"].([]int))
		if want := max(0, min(p.per, total-(p.number-1)*p.per)); got != want {
			t.Errorf("page %d of %d a page has %d of %d", p.number, p.per, got, total)
		}
	})
}
