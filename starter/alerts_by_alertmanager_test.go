//go:build embedded && alertmanager

package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
)

// TestAlertmanagerAlerts: what Prometheus' Alertmanager sends through our webhook opens an alert that pages, and resolves it.
func TestAlertmanagerAlerts(t *testing.T) {
	p := newAlertingPlatform(t)
	ana := p.newPerson("ana", alert.Slack)
	p.alertRules("project: default\npolicies:\n- name: ops\n  steps: [{after: 0s, targets: [{person: ana}]}]\ndefault: {policy: ops, group_by: [alertname]}\n")
	am := newAlertmanager(t, p.newSource("alertmanager").hook, "alertname")
	disk := amAlert{Labels: map[string]string{"alertname": "DiskFull", "instance": "db-1", "severity": "critical"}, Annotations: map[string]string{"summary": "disk full on db-1"},
		Generator: "http://prometheus.example.com/graph"}
	p.must("post", am.post(http.DefaultClient, disk))
	got := ana.gets(alert.Slack, "disk full on db-1")
	a := p.alertCalled("disk full on db-1")
	if a.Status != alert.Open || a.Severity != alert.Critical || a.Labels["alertname"] != "DiskFull" || a.Firing != 1 {
		t.Errorf("the alert is %+v", a)
	}
	now := time.Now()
	disk.EndsAt = &now
	p.must("post", am.post(http.DefaultClient, disk))
	a = p.becomes(a.Number, alert.Resolved)
	t.Logf("alert %d: opened at %s, paged at %s, resolved at %s", a.Number, a.StartedAt.Format(time.TimeOnly), got.ReceivedAt.Format(time.TimeOnly), a.EndedAt.Format(time.TimeOnly))
}
