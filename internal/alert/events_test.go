package alert

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// happenings are events as the platform tells them: of each story, how it begins and how it ends.
var happenings = [][]event.Event{
	{{Kind: "region.failed", Subject: "micro/lon1", Region: "micro/lon1", Message: "cluster: droplet limit reached. What is built stays: mend it and run `m3o region retry micro/lon1`"},
		{Kind: "region.ready", Subject: "micro/lon1", Region: "micro/lon1"}},
	{{Kind: "region.degraded", Subject: "micro/lon1", Region: "micro/lon1", Message: "etcd: 1 of 3 ready"}, {Kind: "region.deleted", Subject: "micro/lon1", Region: "micro/lon1"}},
	{{Kind: "region.unreachable", Subject: "micro/lon1", Region: "micro/lon1", Message: "its gateway does not answer: connection refused"},
		{Kind: "region.reachable", Subject: "micro/lon1", Region: "micro/lon1"}},
	{{Kind: "regions.unseen", Message: "none of 2 gateways answers"}, {Kind: "regions.seen"}},
	{{Kind: "region.drifted", Subject: "micro/lon1", Region: "micro/lon1", Message: "missing: deployment m3o-resource/nats"},
		{Kind: "region.converged", Subject: "micro/lon1", Region: "micro/lon1"}},
	{{Kind: "quota.near", Subject: "micro/lon1", Region: "micro/lon1", Message: "the digitalocean account: 8 of 10 droplets are used; ask for a higher limit"},
		{Kind: "quota.clear", Subject: "micro/lon1", Region: "micro/lon1"}},
	{{Project: "shop", Kind: "service.degraded", Subject: "shop/till", Region: "micro/lon1", Message: "micro/lon1: 0 of 1 instances ready"},
		{Project: "shop", Kind: "service.recovered", Subject: "shop/till", Region: "micro/lon1", Message: "micro/lon1"}},
	{{Project: "shop", Kind: "release.failed", Subject: "shop/till/3", Message: "the build failed"}, {Project: "shop", Kind: "release.ready", Subject: "shop/till/4"}},
	{{Project: "shop", Kind: "release.rolledback", Subject: "shop/till/3", Message: "its health check failed"}, {Project: "shop", Kind: "release.ready", Subject: "shop/till/4"}},
	{{Project: "shop", Kind: "service.failed", Subject: "shop/till", Message: "it could not be removed everywhere"}, {Project: "shop", Kind: "service.deleted", Subject: "shop/till"}},
	{{Project: "shop", Kind: "token.expiring", Subject: "shop/ci/deploys", Message: "in use, and expires on 2026-12-05 12:00:00 UTC"},
		{Project: "shop", Kind: "token.settled", Subject: "shop/ci/deploys"}},
	{{Kind: "token.expiring", Subject: "ana/laptop", Message: "in use, and expires on 2026-12-05 12:00:00 UTC"}, {Kind: "token.settled", Subject: "ana/laptop"}},
	{{Kind: "certificate.expiring", Subject: "temporal-client", Message: "expires on 2026-12-05 12:00:00 UTC"}, {Kind: "certificate.renewed", Subject: "temporal-client"}},
	{{Kind: "queue.unserved", Subject: "cloud-aws", Message: "nobody serves cloud-aws"}, {Kind: "queue.served", Subject: "cloud-aws"}},
	{{Kind: "queue.lagging", Subject: "build", Message: "about 40 tasks wait"}, {Kind: "queue.current", Subject: "build"}},
	{{Kind: "relay.stuck", Subject: "signals", Message: "the oldest of 12 signals waits since 12:00:00"}, {Kind: "relay.moving", Subject: "signals"}},
	{{Kind: "pages.failing", Subject: "sms", Message: "9 of 10 failed in 15m"}, {Kind: "pages.arriving", Subject: "sms"}},
}

func TestWhatAlertingItselfDoesMakesNoAlerts(t *testing.T) {
	for _, kind := range []string{"alert.open", "alert.acknowledged", "alert.snoozed", "alert.suppressed", "alert.resolved", "alert.closed", "callback.forged", "contact.refused",
		UserRemovedEvent, SilenceBegunEvent, RulesAppliedEvent} {
		if s, news := FromEvent(event.Event{Project: "shop", Kind: kind, Subject: "shop/1"}); news {
			t.Errorf("%s makes %+v", kind, s)
		}
		if strings.HasPrefix(kind, "alert.") && ChangesPlans(kind) {
			t.Errorf("%s has alerts decide anew", kind)
		}
	}
}

// TestEveryBeginHasItsEnd writes what alerts are made of the platform's events into events.golden, where whoever changes it sees it.
func TestEveryBeginHasItsEnd(t *testing.T) {
	var text strings.Builder
	told := map[string]bool{}
	for _, story := range happenings {
		var signals []Signal
		for _, e := range story {
			s, news := FromEvent(e)
			if !news {
				t.Fatalf("%s is no news", e.Kind)
			}
			told[e.Kind], signals = true, append(signals, s)
			fmt.Fprintf(&text, "%-20s %-8s %-8s %s %s: %s\n", e.Kind, s.Action, s.Severity, s.Project, s.DedupKey, s.Summary)
		}
		if b, e := signals[0], signals[1]; b.Action != Trigger || e.Action != Resolve || b.DedupKey != e.DedupKey || b.Project != e.Project || b.Service != e.Service {
			t.Errorf("what %s begins %s does not end: %+v and %+v", story[0].Kind, story[1].Kind, b, e)
		}
	}
	for kind := range meanings {
		if !told[kind] {
			t.Errorf("no story tells of %s", kind)
		}
	}
	for _, turn := range event.Turns {
		if meanings[turn.Begins].action != Trigger || meanings[turn.Ends].action != Resolve {
			t.Errorf("nobody is told that %s, and that %s", turn.Begins, turn.Ends)
		}
	}
	const golden = "testdata/events.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || string(want) != text.String() {
		t.Errorf("%s is not up to date (go test ./internal/alert -run EveryBegin -update): %v\n%s", golden, err, text.String())
	}
}

// One service that is down in two regions is two keys: that it is well in one of them again must not end the other.
func TestAServiceIsDownInEachRegionByItself(t *testing.T) {
	down := func(region string) Signal {
		s, _ := FromEvent(event.Event{Project: "shop", Kind: "service.degraded", Subject: "shop/till", Region: region, Message: region + ": 0 of 1 instances ready"})
		return s
	}
	lon, nyc := down("micro/lon1"), down("micro/nyc3")
	if lon.DedupKey == nyc.DedupKey {
		t.Errorf("both are %s", lon.DedupKey)
	}
	if l := lon.Labels; lon.Service != "till" || l["region"] != "lon1" || l["platform"] != "micro" || l["event"] != "service.degraded" {
		t.Errorf("%+v", lon)
	}
}

// What the platform does all day, and what alerts tell of themselves, makes no alerts.
func TestOrdinaryEventsMakeNoSignals(t *testing.T) {
	for _, kind := range []string{"region.creating", "region.updating", "region.deleting", "release.pending", "release.deploying", "release.superseded", "service.running",
		"service.starting", "service.deleting", "token.created", "token.revoked", "user.active", "project.removed", "alert.open", "alert.resolved", ""} {
		if s, news := FromEvent(event.Event{Kind: kind, Subject: "a/b/1"}); news {
			t.Errorf("%s makes %+v", kind, s)
		}
	}
}
