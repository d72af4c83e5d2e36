package alert_test

import (
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
)

func TestAnEventsLongMessageIsCut(t *testing.T) {
	s, _ := alert.FromEvent(event.Event{Kind: "region.failed", Subject: "micro/" + strings.Repeat("ü", 400), Message: strings.Repeat("ü", 9000)})
	if len(s.Summary) > alert.MaxSummary || len(s.Details) > alert.MaxDetails || len(s.DedupKey) > alert.MaxDedupKey || len(s.Labels["subject"]) > alert.MaxLabel || s.Details == "" {
		t.Errorf("summary %d, details %d, key %d, subject %d", len(s.Summary), len(s.Details), len(s.DedupKey), len(s.Labels["subject"]))
	}
}

func TestThePlatformsOwnAlertsAreOneForEachRegion(t *testing.T) {
	rules := alert.DefaultRules(alert.Platform)
	group := func(kind, subject string) string {
		s, ok := alert.FromEvent(event.Event{Kind: kind, Subject: subject, Region: subject, Time: time.Now()})
		if !ok {
			t.Fatal(kind)
		}
		g, _ := rules.GroupOf(s)
		return g.Hash()
	}
	if group("region.unreachable", "micro/lon1") != group("region.failed", "micro/lon1") || group("region.unreachable", "micro/lon1") != group("region.reachable", "micro/lon1") {
		t.Error("what concerns one region are several alerts")
	}
	if group("region.unreachable", "micro/lon1") == group("region.unreachable", "micro/nyc3") {
		t.Error("two regions are one alert")
	}
}

func TestThatNoRegionIsSeenInhibitsThatEachIsNot(t *testing.T) {
	v := alert.View{Rules: alert.DefaultRules(alert.Platform)}
	one, _ := alert.FromEvent(event.Event{Kind: "region.unreachable", Subject: "micro/lon1", Region: "micro/lon1"})
	all, _ := alert.FromEvent(event.Event{Kind: "regions.unseen"})
	v.Firing = []alert.Key{alert.Key{Group: "another"}.After(all)}
	if why, _ := v.Suppresses(alert.PlanInput{Labels: one.LabelSet(), At: monday}); why == "" {
		t.Error("each region pages, beside the alert that none is seen")
	}
	if why, _ := v.Suppresses(alert.PlanInput{Labels: all.LabelSet(), At: monday}); why != "" {
		t.Errorf("the alert that none is seen is suppressed: %s", why)
	}
}
