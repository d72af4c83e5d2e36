package rest_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

func TestARequestNamesOnlyWhatItSays(t *testing.T) {
	s := newSite(t)
	if r := s.do("POST", deployPath, `{"image": "x"}`, as("admin")); r.status != 202 {
		t.Fatalf("answered %d %s", r.status, r.body)
	}
	if got := s.commands.request; !reflect.DeepEqual(got.Spec, release.Spec{}) || got.File != nil || got.Reset != nil {
		t.Errorf("asked for %+v", got)
	}
	body := `{"image": "x", "access": "public", "preflight": "key", "port": 1, "protocol": "h2c", "replicas": 2, "health": "/h", "start": "90s", "timeout": "10m", "max_body": 3,
		"env": {"A": ""}, "args": ["-v"], "package": "./cmd/x", "build": {"tags": ["t"], "set": {"main.v": "1"}}, "include": ["a"], "exclude": ["b"],
		"file": {"settings": ["port"]}, "reset": ["env.B"]}`
	if r := s.do("POST", deployPath, body, as("admin")); r.status != 202 {
		t.Fatalf("answered %d %s", r.status, r.body)
	}
	want := release.Request{
		Origin: release.Origin{Image: "x", Package: "./cmd/x", Build: release.Build{Tags: []string{"t"}, Set: map[string]string{"main.v": "1"}, Include: []string{"a"}, Exclude: []string{"b"}}},
		Spec: release.Spec{Access: release.Public, Preflight: release.ByKey, Port: 1, Protocol: release.H2C, Replicas: 2, Health: "/h", Start: release.Duration(90 * time.Second),
			Timeout: release.Duration(10 * time.Minute), MaxBody: 3, Env: map[string]string{"A": ""}, Args: []string{"-v"}},
		File: &release.InFile{Settings: []string{"port"}}, Reset: []string{"env.B"}}
	got := s.commands.request
	want.Service, want.By = got.Service, got.By
	if !reflect.DeepEqual(got, want) {
		t.Errorf("asked for\n%+v\nwant\n%+v", got, want)
	}
}

// problems are the fields that an answer finds wrong.
func problems(t *testing.T, r reply) map[string]string {
	t.Helper()
	r.refused(t, 422)
	var p struct {
		Errors []struct{ Location, Message string }
	}
	must(t, json.Unmarshal([]byte(r.body), &p))
	found := map[string]string{}
	for _, e := range p.Errors {
		found[e.Location] = e.Message
	}
	return found
}

func TestProblemsNameTheFieldsOfTheBody(t *testing.T) {
	s := newSite(t)
	got := problems(t, s.do("POST", deployPath, `{"image": "x", "port": -1, "start": "soon", "timeout": "0s", "health": "h", "env": {"A-B": ""}, "reset": ["replica"]}`, as("admin")))
	for field, message := range map[string]string{"port": "-1 is not between 1 and 65535", "start": `"soon" is not a span of time such as 90s or 2m`, "timeout": `"0s" is not above 0`,
		"health": `"h" is not a path: it begins with /`, "env": `"A-B" is not the name of a setting`} {
		if got[field] != message {
			t.Errorf("%s: %q, want %q", field, got[field], message)
		}
	}
	if len(got) != 6 || got["reset"] == "" {
		t.Errorf("the problems are %v", got)
	}
	// What only the owner of the service can know is told in the same way.
	s.commands.failing["DeployService"] = fault.Problems([]fault.Problem{{Field: "env", Message: "300 settings are more than 200"}})
	if got := problems(t, s.do("POST", deployPath, `{"image": "x"}`, as("admin"))); got["env"] != "300 settings are more than 200" {
		t.Errorf("the problems are %v", got)
	}
}
