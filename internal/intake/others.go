package intake

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/m3o/platform/internal/alert"
)

// webhook is what Alertmanager (version 4) and Grafana's unified alerting send, as far as it is read.
type webhook struct {
	Version string         `json:"version"`
	Alerts  []webhookAlert `json:"alerts"`

	// Of Grafana's alerting before version 8, which sends one rule.
	RuleID   json.RawMessage   `json:"ruleId"`
	RuleName string            `json:"ruleName"`
	RuleURL  string            `json:"ruleUrl"`
	State    string            `json:"state"`
	Title    string            `json:"title"`
	Message  string            `json:"message"`
	Tags     map[string]string `json:"tags"`
}

type webhookAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
	PanelURL     string            `json:"panelURL"`
}

func readWebhook(body []byte, of string) (webhook, error) {
	var w webhook
	err := json.Unmarshal(body, &w)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return w, badField(cut(line(cmp.Or(kind.Field, "body")), 80), fmt.Sprintf("is a JSON %s, which it is not in what %s sends", kind.Value, of))
	case err != nil:
		return w, badField("body", "is not what "+of+" sends")
	}
	return w, nil
}

func parseAlertmanager(body []byte) ([]alert.Signal, error) {
	w, err := readWebhook(body, "Alertmanager")
	if err != nil {
		return nil, err
	}
	if w.Version != "4" {
		return nil, badField("version", fmt.Sprintf("%.20q is not 4, that of Alertmanager's webhook", w.Version))
	}
	return signalsOf(w, alert.FromAlertmanager)
}

func parseGrafana(body []byte) ([]alert.Signal, error) {
	w, err := readWebhook(body, "Grafana")
	if err != nil {
		return nil, err
	}
	if w.Alerts != nil {
		return signalsOf(w, alert.FromGrafana)
	}
	return signalOfRule(w)
}

func signalsOf(w webhook, source alert.Source) ([]alert.Signal, error) {
	signals := make([]alert.Signal, len(w.Alerts))
	for i, a := range w.Alerts {
		s := alert.Signal{Source: source, DedupKey: a.Fingerprint, Labels: a.Labels, Severity: severityOf(a.Labels["severity"]),
			Summary: summaryOf(a), Details: cmp.Or(a.Annotations["description"], a.Annotations["message"]), URL: cmp.Or(a.GeneratorURL, a.PanelURL)}
		switch a.Status {
		case "firing":
			s.Action = alert.Trigger
		case "resolved":
			s.Action = alert.Resolve
		default:
			return nil, badField(fmt.Sprintf("alerts[%d].status", i), fmt.Sprintf("%.20q is neither firing nor resolved", a.Status))
		}
		if s.DedupKey == "" {
			s.DedupKey = fingerprint(a.Labels)
		}
		signals[i] = tidy(s)
	}
	return signals, nil
}

// summaryOf is what a person is told: the annotation that is made for it, else which alert it is and where.
func summaryOf(a webhookAlert) string {
	for _, name := range []string{"summary", "title", "message", "description"} {
		if text := line(a.Annotations[name]); text != "" {
			return text
		}
	}
	words := []string{cmp.Or(line(a.Labels["alertname"]), "an alert without a name")}
	for _, name := range []string{"instance", "service", "job"} {
		if value := line(a.Labels[name]); value != "" {
			words = append(words, name+"="+value)
		}
	}
	return strings.Join(words, " ")
}

// fingerprint tells alerts apart by their labels, where a sender does not.
func fingerprint(labels map[string]string) string {
	text, _ := json.Marshal(labels) // of strings: it does not fail, and keys come sorted
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// severities are what others call severities. What none of them is counts as error: nothing is kept from people for its spelling.
var severities = map[string]alert.Severity{
	"critical": alert.Critical, "crit": alert.Critical, "page": alert.Critical, "fatal": alert.Critical, "emergency": alert.Critical, "disaster": alert.Critical,
	"high": alert.Critical, "p1": alert.Critical, "sev1": alert.Critical,
	"error": alert.Error, "major": alert.Error, "p2": alert.Error, "sev2": alert.Error,
	"warning": alert.Warning, "warn": alert.Warning, "minor": alert.Warning, "medium": alert.Warning, "p3": alert.Warning, "sev3": alert.Warning,
	"info": alert.Info, "informational": alert.Info, "information": alert.Info, "notice": alert.Info, "low": alert.Info, "none": alert.Info, "debug": alert.Info,
	"p4": alert.Info, "p5": alert.Info,
}

func severityOf(word string) alert.Severity {
	return cmp.Or(severities[strings.ToLower(strings.TrimSpace(word))], alert.Error)
}

// signalOfRule is that of Grafana's alerting before version 8. A rule that is pending or paused says nothing.
func signalOfRule(w webhook) ([]alert.Signal, error) {
	s := alert.Signal{Source: alert.FromGrafana, DedupKey: "grafana-rule-" + strings.Trim(string(w.RuleID), `"`), Labels: w.Tags, Severity: severityOf(w.Tags["severity"]),
		Summary: cmp.Or(line(w.Title), line(w.RuleName)), Details: w.Message, URL: w.RuleURL}
	if len(w.RuleID) == 0 {
		s.DedupKey = "grafana-rule-" + w.RuleName
	}
	switch w.State {
	case "alerting", "no_data":
		s.Action = alert.Trigger
	case "ok":
		s.Action = alert.Resolve
	case "pending", "paused":
		return nil, nil
	default:
		return nil, badField("state", fmt.Sprintf("%.20q is none of alerting, ok, no_data, pending and paused", w.State))
	}
	return []alert.Signal{tidy(s)}, nil
}
