package rest_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

var update = flag.Bool("update", false, "write testdata/access.golden anew")

// outcome asks a route as somebody about a project, and tells whether it let the request through.
func (s *site) outcome(r rest.Route, who, project string) string {
	s.t.Helper()
	path := concreteIn(r.Path, project)
	if r.About != rest.AboutCaller && !strings.Contains(r.Path, "{project}") {
		path += "?project=" + project
	}
	if strings.Contains(path, "/events") { // to its header
		return s.verdict(s.listening(path, as(who)))
	}
	return s.verdict(s.do(r.Method, path, "{}", as(who)).status)
}

// listening is the status of a stream that is not waited for.
func (s *site) listening(path string, h header) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.server.URL+path, nil)
	must(s.t, err)
	req.Header.Set(h.name, h.value)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	must(s.t, resp.Body.Close())
	return resp.StatusCode
}

func (s *site) verdict(status int) string {
	switch status {
	case http.StatusForbidden:
		return "-"
	case http.StatusUnauthorized:
		s.t.Error("the caller was not known")
	}
	return "yes"
}

// TestWhoMayDoWhat asks every route as every role, about a project in which the role is held and about another. A route that
// is new is missing from the table; look at what it comes to, and write it with `go test ./api/rest -run TestWhoMayDoWhat -update`.
func TestWhoMayDoWhat(t *testing.T) {
	s := newSite(t)
	must(t, s.store.EnsureProject(t.Context(), "other"))
	for _, command := range []string{"RemoveProject", "SuspendProject"} { // the next one asks about the same project
		s.commands.failing[command] = fault.New(fault.Conflict, "this is a question alone")
	}
	roles := []string{"none"}
	for _, r := range account.ProjectRoles() {
		s.user(string(r), "shop/"+string(r))
		roles = append(roles, string(r))
	}
	s.user("none")
	for _, r := range account.PlatformRoles() {
		s.user(string(r), "/"+string(r))
		roles = append(roles, string(r))
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-68s %-18s %-9s %-5s", "route", "permission", "about", "work")
	for _, r := range roles {
		fmt.Fprintf(&table, " %-11s", r)
	}
	fmt.Fprintf(&table, "\n%-68s %-18s %-9s %-5s%s\n", "", "", "", "", strings.Repeat(" own   other", len(roles)))
	for _, r := range s.api.Routes() {
		if rest.OpenRoutes[r.Action] {
			continue
		}
		fmt.Fprintf(&table, "%-68s %-18s %-9s %-5t", r.Method+" "+r.Path, r.Permission, r.About, r.Works())
		for _, who := range roles {
			own := s.outcome(r, who, "shop")
			if r.Action == "logout" { // it did what it says
				s.token(who, account.TokenSpec{Owner: s.named(who), Name: who})
			}
			other := s.outcome(r, who, "other")
			if r.Action == "logout" {
				s.token(who, account.TokenSpec{Owner: s.named(who), Name: who})
			}
			fmt.Fprintf(&table, " %-5s %-5s", own, other)
		}
		table.WriteString("\n")
	}
	compare(t, "testdata/access.golden", strings.ReplaceAll(table.String(), " \n", "\n"))
}

func (s *site) named(user string) string {
	s.t.Helper()
	u, err := s.store.UserNamed(s.t.Context(), user)
	must(s.t, err)
	return u.ID
}

// compare holds a table to the one in a file, line by line.
func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	data, err := os.ReadFile(golden)
	must(t, err)
	want, have := strings.Split(string(data), "\n"), strings.Split(got, "\n")
	for _, line := range have {
		if !slices.Contains(want, line) {
			t.Errorf("not in %s:\n%s", golden, line)
		}
	}
	for _, line := range want {
		if !slices.Contains(have, line) {
			t.Errorf("no longer so:\n%s", line)
		}
	}
}
