package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// Format is the form of what a source sends.
type Format string

// The formats.
const (
	Detect       Format = ""    // by what is in it
	Own          Format = "m3o" // one event, or a list of them
	Alertmanager Format = "alertmanager"
	Grafana      Format = "grafana"
)

// Formats lists those that a request may name.
var Formats = []Format{Own, Alertmanager, Grafana}

// maxProblems is how many problems of a list are told.
const maxProblems = 50

// MaxBody bounds what a source sends at once.
const MaxBody = 1 << 20

// Parse makes signals of a body. Project, service and time are the caller's to add. A body may have none.
func Parse(format Format, body []byte) ([]alert.Signal, error) {
	if format != Detect && !slices.Contains(Formats, format) {
		return nil, badField("format", fmt.Sprintf("%.40q is none of m3o, alertmanager and grafana", format))
	}
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	if format == Detect {
		format = formatOf(body)
	}
	var signals []alert.Signal
	var err error
	switch format {
	case Alertmanager:
		signals, err = parseAlertmanager(body)
	case Grafana:
		signals, err = parseGrafana(body)
	default:
		signals, err = parseOwn(body)
	}
	if err == nil && len(signals) > MaxSignals {
		err = badField("body", fmt.Sprintf("has %d alerts: at most %d in a request", len(signals), MaxSignals))
	}
	if err != nil {
		return nil, err
	}
	return signals, nil
}

func badField(field, message string) error {
	return fault.Problems([]fault.Problem{{Field: field, Message: message}})
}

// checkJSON says where a body is no JSON.
func checkJSON(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	var whole json.RawMessage
	err := d.Decode(&whole)
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return badField("body", "is empty: send an event as JSON")
	case errors.As(err, &syntax):
		return badField("body", fmt.Sprintf("is no JSON: %s, at byte %d", syntax.Error(), syntax.Offset))
	case err != nil:
		return badField("body", "is no JSON: it ends too early")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badField("body", "has something after its JSON value")
	}
	return nil
}

// formatOf tells by its fields which system a body is of. What has none of others' is our own.
func formatOf(body []byte) Format {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return Own
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { _, has := fields[name]; return has })
	}
	switch {
	case has("alerts") && has("orgId", "state", "title"), has("ruleId", "ruleName", "evalMatches") && has("state"):
		return Grafana
	case has("alerts") && has("status", "receiver", "groupKey", "version"):
		return Alertmanager
	}
	return Own
}

// event is our own format.
type event struct {
	Action   alert.Action      `json:"action"`
	DedupKey string            `json:"dedup_key"`
	Summary  string            `json:"summary"`
	Severity alert.Severity    `json:"severity"`
	Labels   map[string]string `json:"labels"`
	Details  string            `json:"details"`
	URL      string            `json:"url"`
}

var eventFields = []string{"action", "dedup_key", "summary", "severity", "labels", "details", "url"}

func parseOwn(body []byte) ([]alert.Signal, error) {
	var c fault.Checker
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		s := parseEvent("", body, &c)
		return []alert.Signal{s}, c.Err()
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, badField("body", "is no list of events")
	}
	if len(list) > MaxSignals {
		return nil, badField("body", fmt.Sprintf("has %d events: at most %d in a request", len(list), MaxSignals))
	}
	signals := make([]alert.Signal, len(list))
	for i, one := range list {
		if len(c.Problems()) >= maxProblems {
			break
		}
		signals[i] = parseEvent(fmt.Sprintf("[%d].", i), one, &c)
	}
	return signals, c.Err()
}

func parseEvent(at string, body []byte, c *fault.Checker) alert.Signal {
	where := strings.TrimSuffix(at, ".")
	if where == "" {
		where = "body"
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		c.Check(false, where, "is no event: an object with %s", strings.Join(eventFields, ", "))
		return alert.Signal{}
	}
	for _, name := range sortedNames(fields) {
		c.Check(slices.Contains(eventFields, name), at+cut(line(name), 80), "is no field of an event; there are %s", strings.Join(eventFields, ", "))
	}
	var e event
	var kind *json.UnmarshalTypeError
	if err := json.Unmarshal(body, &e); errors.As(err, &kind) {
		c.Check(false, at+cut(line(kind.Field), 80), "must be %s, and is a JSON %s", wants(kind), kind.Value)
		return alert.Signal{}
	}
	if e.Action == "" {
		e.Action = alert.Trigger
	}
	if e.Severity == "" {
		e.Severity = alert.Error
	}
	c.Check(e.Action == alert.Trigger || e.Action == alert.Acknowledge || e.Action == alert.Resolve, at+"action", "%.40q is none of trigger, acknowledge and resolve", e.Action)
	c.Check(slices.Contains(alert.Severities, e.Severity), at+"severity", "%.40q is none of critical, error, warning and info", e.Severity)
	return check(at, alert.Signal{Action: e.Action, DedupKey: e.DedupKey, Source: alert.FromAPI, Summary: e.Summary, Severity: e.Severity, Labels: e.Labels,
		Details: e.Details, URL: e.URL}, c)
}

// wants is what a field should have been.
func wants(e *json.UnmarshalTypeError) string {
	if strings.HasPrefix(e.Field, "labels") {
		return "an object of strings"
	}
	return "a string"
}

func sortedNames[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }
