package alert_test

import (
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
)

func TestEventsBecomeSignals(t *testing.T) {
	for _, c := range []struct {
		e        event.Event
		action   alert.Action
		severity alert.Severity
		project  string
		key      string
		summary  string
		labels   string
	}{
		{event.Event{Kind: "region.unseen", Subject: "micro/lon1", Message: "connection refused"}, alert.Trigger, alert.Critical, "platform", "sight/micro/lon1",
			"region micro/lon1 does not answer: connection refused", "kind=region region=lon1 platform=micro"},
		{event.Event{Kind: "region.seen", Subject: "micro/lon1"}, alert.Resolve, "", "platform", "sight/micro/lon1", "region micro/lon1 answers again", "region=lon1"},
		{event.Event{Kind: "regions.unseen", Message: "no route"}, alert.Trigger, alert.Critical, "platform", "sight", "no region answers: no route", "kind=region"},
		{event.Event{Kind: "region.failed", Subject: "micro/lon1", Message: "quota"}, alert.Trigger, alert.Critical, "platform", "region/micro/lon1", "region micro/lon1 failed: quota", "region=lon1"},
		{event.Event{Kind: "region.ready", Subject: "micro/lon1"}, alert.Resolve, "", "platform", "region/micro/lon1", "region micro/lon1 is ready", "region=lon1"},
		{event.Event{Project: "shop", Kind: "service.degraded", Subject: "shop/till", Message: "micro/lon1: 1 of 2 answers"}, alert.Trigger, alert.Error, "shop", "health/shop/till/micro/lon1",
			"service shop/till is degraded in micro/lon1: 1 of 2 answers", "service=till region=lon1 kind=service"},
		{event.Event{Project: "shop", Kind: "service.recovered", Subject: "shop/till", Message: "micro/lon1"}, alert.Resolve, "", "shop", "health/shop/till/micro/lon1",
			"service shop/till is well again in micro/lon1", "service=till"},
		{event.Event{Project: "shop", Kind: "release.failed", Subject: "shop/till/7", Message: "exit 1"}, alert.Trigger, alert.Error, "shop", "release/shop/till", "release shop/till/7 failed: exit 1", "service=till"},
		{event.Event{Project: "shop", Kind: "release.ready", Subject: "shop/till/8"}, alert.Resolve, "", "shop", "release/shop/till", "release shop/till/8 is ready", "service=till"},
		{event.Event{Project: "shop", Kind: "service.deleted", Subject: "shop/till"}, alert.Resolve, "", "shop", "release/shop/till", "service shop/till was deleted", "service=till"},
	} {
		c.e.Time = monday
		s, ok := alert.FromEvent(c.e)
		if !ok || s.Action != c.action || s.Severity != c.severity || s.Project != c.project || s.DedupKey != c.key || s.Summary != c.summary || s.Source != alert.FromPlatform || !s.At.Equal(monday) {
			t.Errorf("%s is %+v", c.e.Kind, s)
		}
		set := s.LabelSet()
		for _, label := range strings.Fields(c.labels) {
			if name, value, _ := strings.Cut(label, "="); set[name] != value {
				t.Errorf("%s: %s is %q, want %q", c.e.Kind, name, set[name], value)
			}
		}
	}
	for _, kind := range []string{"alert.open", "user.invited", "region.creating", "release.pending", "silence.created", ""} {
		if s, ok := alert.FromEvent(event.Event{Kind: kind, Subject: "x"}); ok {
			t.Errorf("%q is a signal: %+v", kind, s)
		}
	}
}

func TestAnEventsLongMessageIsCut(t *testing.T) {
	s, _ := alert.FromEvent(event.Event{Kind: "region.failed", Subject: "micro/" + strings.Repeat("ü", 400), Message: strings.Repeat("ü", 9000)})
	if len(s.Summary) > alert.MaxSummary || len(s.Details) > alert.MaxDetails || len(s.DedupKey) > alert.MaxDedupKey || len(s.Labels["subject"]) > alert.MaxLabel || s.Details == "" {
		t.Errorf("summary %d, details %d, key %d, subject %d", len(s.Summary), len(s.Details), len(s.DedupKey), len(s.Labels["subject"]))
	}
}

func TestThePlatformsOwnAlertsAreOneForEachRegion(t *testing.T) {
	rules := alert.DefaultRules(alert.Platform)
	group := func(kind, subject string) string {
		s, ok := alert.FromEvent(event.Event{Kind: kind, Subject: subject, Time: time.Now()})
		if !ok {
			t.Fatal(kind)
		}
		g, _ := rules.GroupOf(s)
		return g.Hash()
	}
	if group("region.unseen", "micro/lon1") != group("region.failed", "micro/lon1") || group("region.unseen", "micro/lon1") != group("region.seen", "micro/lon1") {
		t.Error("what concerns one region are several alerts")
	}
	if group("region.unseen", "micro/lon1") == group("region.unseen", "micro/nyc3") {
		t.Error("two regions are one alert")
	}
}
