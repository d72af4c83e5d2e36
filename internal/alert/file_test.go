package alert_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// replacing changes a text in the file; it panics where the text is not there.
func replacing(old, to string) func(string) string {
	return func(file string) string {
		if !strings.Contains(file, old) {
			panic(fmt.Sprintf("the file has no %q", old))
		}
		return strings.ReplaceAll(file, old, to)
	}
}

func TestBadPolicyFilesAreRefusedWithFieldRuleAndValue(t *testing.T) {
	for name, c := range map[string]struct {
		old, to, field string
		words          []string
	}{
		"an unknown field":             {"repeat: 1", "repaet: 1", "policies[0].repaet", []string{"unknown field", `did you mean "repeat"`, "line 10"}},
		"a field given twice":          {"repeat: 1", "repeat: 1\n    repeat: 2", "policies[0].repeat", []string{"given twice"}},
		"a list for a value":           {"project: shop", "project: [shop]", "project", []string{"must be a single value", "line 2"}},
		"no number":                    {"repeat: 1", "repeat: often", "policies[0].repeat", []string{`"often" is not a whole number`}},
		"no span of time":              {"after: 10m", "after: soon", "policies[0].steps[1].after", []string{`"soon"`, "such as 90s"}},
		"a negative span":              {"after: 10m", "after: -10m", "policies[0].steps[1].after", []string{"-10m is negative"}},
		"a huge span":                  {"after: 10m", "after: 1000h", "policies[0].steps[1].after", []string{"1000h is more than 24h"}},
		"a huge repetition":            {"repeat: 1", "repeat: 1000", "policies[0].repeat", []string{"1000", "20"}},
		"a bad matcher":                {"team=research", "team", "routes[1].match[0]", []string{`"team" is no matcher`}},
		"a bad expression":             {"severity=~critical|error", "severity=~(", "routes[0].match[1]", []string{"missing closing"}},
		"a policy that targets nobody": {"      - targets: [{person: carla}]\n", "      - targets: []\n", "policies[1].steps[0].targets", []string{"targets nobody"}},
		"a target that is nobody":      {"[{person: carla}, {slack", "[{}, {slack", "policies[0].steps[1].targets[0]", []string{"targets nobody"}},
		"a target that is two":         {"{person: carla}, {slack", "{person: carla, email: a@b.c}, {slack", "policies[0].steps[1].targets[0]", []string{"exactly one"}},
		"an unknown schedule":          {"{schedule: primary}", "{schedule: secondary}", "policies[0].steps[0].targets[0].schedule", []string{`"secondary"`}},
		"an unknown policy":            {"policy: databases", "policy: database", "routes[0].policy", []string{`"database"`}},
		"no default policy":            {"default: {policy: page}", "default: {}", "default.policy", []string{"would page nobody"}},
		"a route for everything":       {"match: [team=research]", "match: []", "routes[1].match", []string{"default route"}},
		"an unknown zone":              {"Europe/London", "Europe/Londn", "schedules[0].zone", []string{`"Europe/Londn"`}},
		"an unknown rotation":          {"rotation: weekly", "rotation: monthly", "schedules[0].layers[0].rotation", []string{`"monthly"`}},
		"nobody in a layer":            {"people: [ana, bob]", "people: []", "schedules[0].layers[0].people", nil},
		"a plain webhook":              {`{slack: "#ops"}`, `{webhook: "http://example.com/x"}`, "policies[0].steps[1].targets[1].webhook", []string{"https://", `"http:"`}},
		"a webhook with a password":    {`{slack: "#ops"}`, `{webhook: "https://a:hunter2@example.com"}`, "policies[0].steps[1].targets[1].webhook", []string{"password"}},
		"a bad Slack channel":          {`"#ops"`, `"<!channel>"`, "policies[0].steps[1].targets[1].slack", []string{"<!channel>"}},
		"a bad urgency":                {"urgency: low", "urgency: loud", "routes[1].urgency", []string{`"loud"`}},
		"a bad channel":                {"{channel: sms, after: 2m}", "{channel: pager}", "notify.high[1].channel", []string{`"pager"`}},
		"a route of the same name":     {"name: chatter", "name: database", "routes[1].name", []string{"already"}},
		"an inhibition of everything":  {"target: [severity=warning]", "target: []", "inhibit[0].target", []string{"every alert"}},
		"a version":                    {"project: shop", "project: shop\nversion: 7", "version", []string{"unknown field"}},
		"an alias":                     {"project: shop", "project: &a shop", "project", []string{"anchors"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := alert.ParseRules([]byte(replacing(c.old, c.to)(shopFile)))
			wantProblem(t, err, c.field, c.words...)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is said: %v", err)
			}
		})
	}
}

func TestWhatIsNoPolicyFile(t *testing.T) {
	for words, text := range map[string]string{"is empty": "", "not text": "project: \x00", "second one begins": "project: a\n---\nproject: b", "not YAML": "project: [",
		"bytes; at most": strings.Repeat("#", alert.MaxFileBytes+1)} {
		if _, err := alert.ParseRules([]byte(text)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), words) {
			t.Errorf("%.20q: %v, want %q", text, err, words)
		}
	}
	if _, err := alert.ParseRules([]byte("project: shop\ndefault: {policy: x}\npolicies:\n" + strings.Repeat("  - {name: X}\n", 100))); err == nil || len(err.(*fault.Error).Problems) > 51 {
		t.Errorf("of 100 bad policies is said: %v", err)
	}
}

func TestOverlappingRotationsAreRefused(t *testing.T) {
	file := replacing("start: 2026-01-05T09:00}", "start: 2026-01-05T09:00}\n      - {name: again, people: [bob], rotation: weekly, start: 2026-01-05T09:00}")(shopFile)
	if _, err := alert.ParseRules([]byte(file)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "schedules[0].layers[0]: overlaps") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownPeopleAreNamedWhereTheyStand(t *testing.T) {
	r, err := alert.ParseRules([]byte(shopFile))
	if err != nil {
		t.Fatal(err)
	}
	found := r.UnknownPeople(func(name string) bool { return name == "ana" })
	got := fmt.Sprint(found)
	for _, want := range []string{"policies[0].steps[1].targets[0].person", "policies[1].steps[0].targets[0].person", "schedules[0].layers[0].people[1]", `"bob"`, `"carla"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	if len(found) != 3 {
		t.Errorf("found %s", got)
	}
}

func TestThePlanShowsWhatChanges(t *testing.T) {
	parse := func(change ...func(string) string) alert.Rules {
		file := shopFile
		for _, c := range change {
			file = c(file)
		}
		r, err := alert.ParseRules([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if changes := alert.Differences(parse(), parse()); len(changes) > 0 {
		t.Errorf("the same file changes %v", changes)
	}
	got := fmt.Sprint(alert.Differences(parse(), parse(replacing("after: 10m", "after: 15m"), replacing("name: chatter", "name: research"), replacing("default: {policy: page}", "default: {policy: page, urgency: low}"))))
	for _, want := range []string{"change policy page [steps[1].after: 10m -> 15m]", "create route research", "delete route chatter", "change default route [urgency: none -> low]"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %q", got, want)
		}
	}
	first := fmt.Sprint(alert.Differences(alert.DefaultRules("shop"), parse()))
	for _, want := range []string{"create schedule primary", "create policy page", "create policy databases", "create route database", "change default route [policy: none -> page]", "change inhibitions"} {
		if !strings.Contains(first, want) {
			t.Errorf("%s lacks %q", first, want)
		}
	}
}

func TestWhatWouldBeFoundOutAtNightIsSaidWithThePlan(t *testing.T) {
	s := newShop(t)
	if said := s.view.Warnings(monday); len(said) != 0 {
		t.Errorf("of good rules is said %q", said)
	}
	s = newShop(t, replacing("rotation: weekly, start: 2026-01-05T09:00", "rotation: weekly, start: 2026-01-05T09:00, until: 2026-01-08T09:00"), replacing("policy: databases", "policy: page"))
	s.has("carla")
	said := s.view.Warnings(monday)
	wantSaid(t, said, "primary", "2026-01-08T09:00:00Z")
	wantSaid(t, said, "carla cannot be paged: no contact is verified")
	wantSaid(t, said, "policy databases is used by no route")
}

// TestTheLocalPolicyFileIsGood holds what `make run` applies to what is accepted.
func TestTheLocalPolicyFileIsGood(t *testing.T) {
	data, err := os.ReadFile("../../deploy/local/alerting.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := alert.ParseRules(data)
	if err != nil {
		t.Fatal(err)
	}
	if r.Project != alert.Platform || len(r.People()) == 0 {
		t.Errorf("it is of project %s, and pages %v", r.Project, r.People())
	}
}

func TestRulesAreTheSameAfterJSON(t *testing.T) {
	r, err := alert.ParseRules([]byte(shopFile))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again alert.Rules
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if changes := alert.Differences(r, again); len(changes) > 0 {
		t.Errorf("JSON changes %v", changes)
	}
}

// FuzzPolicyFile never panics, and what passes is a file that is the same after JSON.
func FuzzPolicyFile(f *testing.F) {
	for _, seed := range []string{shopFile, "project: x", "{}", "[]", "a: &b [*b]", "project: shop\ndefault: {urgency: low}", "policies: [{steps: [{targets: [{}]}]}]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := alert.ParseRules([]byte(text))
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var again alert.Rules
		if err := json.Unmarshal(data, &again); err != nil || len(alert.Differences(r, again)) > 0 || again.Validate() != nil {
			t.Fatalf("%s: %v, %v", data, err, alert.Differences(r, again))
		}
	})
}

// FuzzMatcher never panics, and reads what it writes.
func FuzzMatcher(f *testing.F) {
	for _, seed := range []string{"severity=critical", "service!=shop", "region=~lon.*|fra.*", "kind!~test.*", `a="~x"`, `a=" b "`, `a=""b""`, "a=", "=", "!~", "a=~("} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := alert.ParseMatcher(text)
		if err != nil {
			return
		}
		again, err := alert.ParseMatcher(m.String())
		if err != nil || again != m {
			t.Fatalf("%q is %+v, written %q, which is %+v, %v", text, m, m.String(), again, err)
		}
		m.Matches(map[string]string{m.Name: m.Value})
	})
}
