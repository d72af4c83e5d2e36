package intake_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/intake"
)

// fromAlertmanager is what Alertmanager 0.25 sends.
const fromAlertmanager = `{"receiver":"m3o","status":"firing","alerts":[
 {"status":"firing","labels":{"alertname":"DiskFull","instance":"db1:9100","severity":"page"},"annotations":{"summary":"disk of db1 is full","description":"97 %"},
  "startsAt":"2026-11-30T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus:9090/graph?g0.expr=x","fingerprint":"c1f1b3c2a8a0d5e1"},
 {"status":"resolved","labels":{"alertname":"NetDown","instance":"db2:9100"},"annotations":{},"startsAt":"2026-11-30T09:00:00Z","endsAt":"2026-11-30T10:00:00Z",
  "generatorURL":"javascript:alert(1)","fingerprint":"0000000000000001"}],
 "groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://alertmanager:9093","version":"4","groupKey":"{}:{}","truncatedAlerts":0}`

// fromGrafana is what Grafana 10's webhook contact point sends.
const fromGrafana = `{"receiver":"m3o","status":"firing","orgId":1,"alerts":[{"status":"firing","labels":{"alertname":"Slow","grafana_folder":"shop","severity":"warning"},
 "annotations":{"summary":"checkout is slow"},"startsAt":"2026-11-30T10:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"https://grafana/alerting/grafana/x/view",
 "fingerprint":"57c6d9296de2ad39","silenceURL":"https://grafana/alerting/silence/new","dashboardURL":"","panelURL":"","values":{"A":12},"valueString":"[ var='A' ]"}],
 "groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"https://grafana/","version":"1","groupKey":"{}:{}","truncatedAlerts":0,"title":"[FIRING:1]","state":"alerting","message":"…"}`

func parsed(t *testing.T, format intake.Format, body string) []alert.Signal {
	t.Helper()
	signals, err := intake.Parse(format, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return signals
}

func TestAlertmanagersAlertsAreSignals(t *testing.T) {
	s := parsed(t, intake.Detect, fromAlertmanager)
	if len(s) != 2 {
		t.Fatalf("%d signals", len(s))
	}
	a := s[0]
	if a.Action != alert.Trigger || a.DedupKey != "c1f1b3c2a8a0d5e1" || a.Severity != alert.Critical || a.Summary != "disk of db1 is full" || a.Details != "97 %" ||
		a.URL != "http://prometheus:9090/graph?g0.expr=x" || a.Labels["instance"] != "db1:9100" || a.Source != alert.FromAlertmanager {
		t.Errorf("the first is %+v", a)
	}
	if b := s[1]; b.Action != alert.Resolve || b.Summary != "NetDown instance=db2:9100" || b.URL != "" || b.Severity != alert.Error {
		t.Errorf("the second is %+v", b)
	}
}

func TestGrafanasAlertsAreSignals(t *testing.T) {
	s := parsed(t, intake.Detect, fromGrafana)
	if len(s) != 1 || s[0].Source != alert.FromGrafana || s[0].DedupKey != "57c6d9296de2ad39" || s[0].Severity != alert.Warning || s[0].Summary != "checkout is slow" {
		t.Errorf("got %+v", s)
	}
	const old = `{"title":"[Alerting] Slow","ruleId":7,"ruleName":"Slow","ruleUrl":"https://grafana/d/x","state":"%","message":"slow","evalMatches":[],"tags":{"severity":"critical"}}`
	for state, want := range map[string]alert.Action{"alerting": alert.Trigger, "no_data": alert.Trigger, "ok": alert.Resolve} {
		s := parsed(t, intake.Detect, strings.Replace(old, "%", state, 1))
		if len(s) != 1 || s[0].Action != want || s[0].DedupKey != "grafana-rule-7" || s[0].Severity != alert.Critical {
			t.Errorf("%s: %+v", state, s)
		}
	}
	if s := parsed(t, intake.Detect, strings.Replace(old, "%", "paused", 1)); len(s) != 0 {
		t.Errorf("paused: %+v", s)
	}
}

func TestOurOwnEventsAreSignals(t *testing.T) {
	one := parsed(t, intake.Detect, `{"dedup_key": "disk", "summary": "disk full", "labels": {"host": "db1"}, "url": "https://x/y", "details": "a\r\nb"}`)
	if s := one[0]; s.Action != alert.Trigger || s.Severity != alert.Error || s.Labels["host"] != "db1" || s.Source != alert.FromAPI || s.Details != "a\nb" {
		t.Errorf("got %+v", s)
	}
	two := parsed(t, intake.Detect, `[{"action": "acknowledge", "dedup_key": "a"}, {"action": "resolve", "dedup_key": "b"}]`)
	if two[0].Action != alert.Acknowledge || two[1].Action != alert.Resolve {
		t.Errorf("got %+v", two)
	}
}

func TestWhatIsNoEventIsRefusedByFieldRuleAndValue(t *testing.T) {
	many := `{"dedup_key":"a","summary":"b","labels":{`
	for i := range 65 {
		many += `"l` + strings.Repeat("x", i) + `":"",`
	}
	many = strings.TrimSuffix(many, ",") + "}}"
	for body, want := range map[string]string{
		``:                        "body: is empty",
		`{`:                       "body: is no JSON",
		`{"a":}`:                  "at byte 6",
		`{} {}`:                   "body: has something after",
		`null`:                    "body: is no event",
		`"x"`:                     "body: is no event",
		`{}`:                      "dedup_key: must be set",
		`{"dedup_key": "a"}`:      "summary: must be set",
		`[{"action": "resolve"}]`: "[0].dedup_key: must be set",
		`{"dedup_key": "a", "summary": "b", "text": "c"}`:                                         "text: is no field of an event",
		`{"dedup_key": "a", "Summary": "b"}`:                                                      "Summary: is no field of an event",
		`{"dedup_key": "a", "summary": "b", "action": "close"}`:                                   `"close" is none of trigger, acknowledge and resolve`,
		`{"dedup_key": "a", "summary": "b", "severity": "bad"}`:                                   `"bad" is none of critical`,
		`{"dedup_key": "a", "summary": "b", "url": "javascript:x"}`:                               "url:",
		`{"dedup_key": "a", "summary": "b", "url": "https://u:p@h/"}`:                             "url:",
		`{"dedup_key": "a", "summary": "b", "labels": {"x": 1}}`:                                  "must be an object of strings",
		`{"dedup_key": 1, "summary": "b"}`:                                                        "dedup_key: must be a string",
		`{"dedup_key": "` + strings.Repeat("a", 256) + `", "summary": "b"}`:                       "256 bytes are more than 255",
		`{"dedup_key": "a", "summary": "` + strings.Repeat("a", 1025) + `"}`:                      "summary: 1025 bytes are more than 1024",
		`{"dedup_key": "a", "summary": "b", "labels": {"x": "` + strings.Repeat("a", 300) + `"}}`: "at most 256 bytes",
		many: "labels: 65 are more than 64",
		strings.Replace(fromAlertmanager, `"version":"4"`, `"version":"3"`, 1):                      "version:",
		strings.Replace(fromAlertmanager, `"resolved"`, `"gone"`, 1):                                "alerts[1].status:",
		strings.Replace(fromAlertmanager, `"fingerprint":"0000000000000001"`, `"fingerprint":1`, 1): "is a JSON number",
	} {
		signals, err := intake.Parse(intake.Detect, []byte(body))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Message(err), want) {
			t.Errorf("%.80s: got %v, %v; want %q", body, signals, fault.Message(err), want)
		}
	}
	if _, err := intake.Parse("xml", []byte(`{}`)); !strings.Contains(fault.Message(err), `"xml" is none of m3o, alertmanager and grafana`) {
		t.Errorf("got %v", err)
	}
}

// hostile is a signal that tries to get out of where it is shown.
const hostile = "disk\r\nBcc: all@example.com\x00\x1b[31m\u202egnp.exe"

func TestNothingIsInjected(t *testing.T) {
	text, _ := json.Marshal(hostile)
	for _, body := range []string{
		`{"dedup_key": ` + string(text) + `, "summary": ` + string(text) + `, "labels": {` + string(text) + `: ` + string(text) + `}, "details": ` + string(text) + `}`,
		`{"version": "4", "status": "firing", "alerts": [{"status": "firing", "labels": {` + string(text) + `: ` + string(text) + `}, "annotations": {"summary": ` + string(text) + `}, "fingerprint": ` + string(text) + `}]}`,
	} {
		for _, s := range parsed(t, intake.Detect, body) {
			harmless(t, s)
			if s.Summary != "disk  Bcc: all@example.com  [31mgnp.exe" {
				t.Errorf("the summary is %q", s.Summary)
			}
		}
	}
}

// harmless fails for a signal that goes beyond a limit, or has what is no text.
func harmless(t *testing.T, s alert.Signal) {
	t.Helper()
	for _, text := range append(slices.Collect(maps.Values(s.Labels)), append(slices.Collect(maps.Keys(s.Labels)), s.Summary, s.DedupKey, s.URL)...) {
		if strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) >= 0 || !utf8.ValidString(text) {
			t.Errorf("%q has control characters", text)
		}
	}
	size := 0
	for name, value := range s.Labels {
		size += len(name) + len(value)
	}
	if len(s.Summary) > alert.MaxSummary || len(s.DedupKey) > alert.MaxDedupKey || len(s.Details) > alert.MaxDetails || len(s.Labels) > alert.MaxLabels || size > intake.MaxLabelBytes {
		t.Errorf("a limit is passed: %+v", s)
	}
	if s.DedupKey == "" || s.Action == alert.Trigger && s.Summary == "" || s.Action == "" || s.Source == "" || !slices.Contains(alert.Severities, s.Severity) {
		t.Errorf("incomplete: %+v", s)
	}
}

func TestOthersAlertsAreCutNotRefused(t *testing.T) {
	labels := map[string]string{}
	for i := range 100 {
		labels[strings.Repeat("ä", i+1)] = strings.Repeat("x", 300)
	}
	body, _ := json.Marshal(map[string]any{"version": "4", "status": "firing", "alerts": []any{map[string]any{"status": "firing", "labels": labels,
		"annotations": map[string]string{"summary": strings.Repeat("ä", 2000), "description": strings.Repeat("ä", 20_000)}}}})
	s := parsed(t, intake.Detect, string(body))
	harmless(t, s[0])
	if !strings.HasSuffix(s[0].Summary, "…") || len(s[0].Summary) < 1000 {
		t.Errorf("the summary is %q", s[0].Summary)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{fromAlertmanager, fromGrafana, `{"dedup_key": "a", "summary": "b"}`, `[]`, `{`, `[{"labels": {"": ""}}]`} {
		f.Add(seed, "")
	}
	f.Add(fromGrafana, "alertmanager")
	f.Fuzz(func(t *testing.T, body, format string) {
		signals, err := intake.Parse(intake.Format(format), []byte(body))
		if err != nil {
			if !fault.Is(err, fault.Invalid) || len(signals) > 0 {
				t.Errorf("got %v, %v", signals, err)
			}
			return
		}
		for _, s := range signals {
			harmless(t, s)
		}
	})
}
