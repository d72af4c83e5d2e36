package main

import (
	"strings"
	"testing"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client/apitest"
)

func TestHeartbeatsFromTheCommandLine(t *testing.T) {
	at(t, apitest.New(t))
	made := m3o("heartbeat", "create", "backup", "--every", "24h", "--grace", "1h").must(t)
	if !strings.Contains(made.out, "/v1/hooks/heartbeats/") {
		t.Errorf("it says %q", made.out)
	}
	m3o("heartbeat", "pause", "backup").must(t)
	if got := answer[[]alert.Heartbeat](t, m3o("heartbeat", "list", "--json").must(t)); len(got) != 1 || got[0].Status != alert.HeartbeatPaused {
		t.Errorf("%+v", got)
	}
	m3o("heartbeat", "resume", "backup").must(t)
	m3o("heartbeat", "remove", "backup").must(t)
	m3o("heartbeat", "remove", "backup").fails(t, exitFailed, `there is no heartbeat "backup"`)
	m3o("heartbeat", "create", "backup", "--every", "1s").fails(t, exitMisused, "every: 1s is not between")
}

func TestIntegrationKeysFromTheCommandLine(t *testing.T) {
	at(t, apitest.New(t))
	made := m3o("alert", "key", "create", "grafana").must(t)
	if !strings.Contains(made.out, "/v1/hooks/alerts/") {
		t.Errorf("it says %q", made.out)
	}
	m3o("alert", "key", "rotate", "grafana").must(t)
	m3o("alert", "key", "revoke", "grafana").must(t)
	m3o("alert", "key", "revoke", "grafana").fails(t, exitFailed, `there is no integration key "grafana"`)
}
