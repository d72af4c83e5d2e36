package workflows_test

import (
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
)

func TestWhoeverIsOnCallIsPagedByOneWayAfterTheOtherAndThenTheNextPerson(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	h.resolves(20 * minutes)
	h.ends()
	ana, bob := h.onCall("ana"), h.user("bob")
	ana.GetsSlack(0, "disk full")
	ana.GetsSMS(2*minutes, "disk full")
	ana.GetsEmail(4*minutes, "disk full")
	bob.GetsSlack(10*minutes, "disk full")
	bob.GetsSMS(12*minutes, "disk full")
	bob.GetsEmail(14*minutes, "disk full")
	for _, p := range []*someone{ana, bob} {
		for range 3 {
			if m, _ := p.next(); m.page.Kind != alert.PageResolved || m.at != 20*minutes {
				t.Errorf("%s is told %q", p.name, m)
			}
		}
		p.GetsNothing()
	}
	if a := h.alert(1); a.Status != alert.Resolved || a.Pages != 6 || a.Step != 2 || !a.EndedAt.Equal(monday.Add(20*minutes)) {
		t.Errorf("it is recorded as %+v", a)
	}
	h.logs(1, "triggered", "disk full")
	h.logs(1, "10m escalated", "step 2 of 2: bob")
	h.logs(1, "14m exhausted", "policy shop has no further step")
	h.logs(1, "20m resolved")
}

func TestAReplyBySMSStopsItEverywhere(t *testing.T) {
	h := newShop(t, twoSteps())
	h.fires(0, "disk full")
	ana, bob := h.onCall("ana"), h.user("bob")
	took := ana.replies(3*minutes, "1a")
	h.resolves(time.Hour)
	h.ends()
	took.ok(t)
	ana.GetsSlack(0, "disk full")
	if m := ana.GetsSMS(2*minutes, "disk full"); m.page.Code != 1 {
		t.Errorf("the code is %d", m.page.Code)
	}
	m := ana.gets(alert.Slack, 3*minutes, alert.PageAcknowledged, "disk full")
	if m.page.Previous == nil || m.page.Previous.ID != "receipt-1" || m.page.Content.By != "ana" || m.page.Content.Status != alert.Acknowledged {
		t.Errorf("Slack's message is updated with %+v", m.page)
	}
	ana.gets(alert.Slack, time.Hour, alert.PageResolved, "disk full")
	ana.gets(alert.SMS, time.Hour, alert.PageResolved, "disk full")
	ana.GetsNothing()
	bob.GetsNothing()
	if a := h.alert(1); a.AcknowledgedBy != "ana" || a.Status != alert.Resolved {
		t.Errorf("it is recorded as %+v", a)
	}
}
