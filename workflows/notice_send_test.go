package workflows_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/workflows"
)

// letters is ana's contacts, and the channels by which notices go to her. Each channel refuses as often as it is told to.
type letters struct {
	contacts []alert.Channel
	refusals map[alert.Channel]int
	tried    []string // "slack notice/…" in order
	rows     []alert.PageRow
	activities.PageRecords
	activities.Messenger
}

func (l *letters) Rules(_ context.Context, project string) (alert.Rules, error) {
	return alert.DefaultRules(project), nil
}

func (l *letters) People(context.Context, []string) (map[string]alert.Person, error) {
	if l.contacts == nil {
		return nil, nil
	}
	ana := alert.Person{Name: "ana"}
	for _, c := range l.contacts {
		ana.Contacts = append(ana.Contacts, alert.Contact{ID: "con_" + string(c), Person: "ana", Channel: c, Address: "ana by " + string(c), Status: alert.ContactVerified})
	}
	return map[string]alert.Person{"ana": ana}, nil
}

// BeginPage lets a page out unless it went out before.
func (l *letters) BeginPage(_ context.Context, in alert.PageRequest) (alert.PageDecision, error) {
	for _, row := range l.rows {
		if row.Key == in.Page.Key && row.Contact == in.Page.Contact.ID && row.State == alert.Sent {
			return alert.PageDecision{Receipt: &alert.Receipt{State: alert.Sent}}, nil
		}
	}
	return alert.PageDecision{Send: true}, nil
}

func (l *letters) RecordPage(_ context.Context, row alert.PageRow) error {
	l.rows = append(l.rows, row)
	return nil
}

func (l *letters) Send(_ context.Context, p alert.Page) (alert.Receipt, error) {
	l.tried = append(l.tried, string(p.Contact.Channel)+" "+p.Key)
	if l.refusals[p.Contact.Channel] > 0 {
		l.refusals[p.Contact.Channel]--
		return alert.Receipt{}, fault.New(fault.Denied, "%s refuses", p.Contact.Channel)
	}
	return alert.Receipt{Channel: p.Contact.Channel, ID: "r-1", State: alert.Sent}, nil
}

// notify runs SendNotice for a silence that ends in an hour, and returns how long that took.
func (l *letters) notify(t *testing.T) time.Duration {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflow(workflows.SendNotice)
	env.RegisterActivity(&activities.Alerts{Pages: l})
	env.RegisterActivity(&activities.Notices{Rules: l})
	env.RegisterActivity(&activities.Pages{Messenger: l})
	began := env.Now()
	silence := alert.Silence{ID: "sil_1", Project: "shop", By: "ana", Comment: "the importer is slow", Begins: began.Add(-5 * time.Hour), Ends: began.Add(time.Hour)}
	env.ExecuteWorkflow(workflows.SendNotice, silence.Notice())
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	return env.Now().Sub(began)
}

const theNotice = "shop/0/notice/0/silence/sil_1"

func TestASilencesAuthorIsToldOnceByTheFirstContactThatTakesIt(t *testing.T) {
	l := &letters{contacts: []alert.Channel{alert.Slack, alert.SMS, alert.Email}, refusals: map[alert.Channel]int{alert.Slack: 1}}
	l.notify(t)
	if want := []string{"slack " + theNotice, "sms " + theNotice}; !slices.Equal(l.tried, want) {
		t.Errorf("tried are %q, want %q", l.tried, want)
	}
	if len(l.rows) != 2 || l.rows[0].State != alert.Failed || !strings.Contains(l.rows[0].Message, "slack refuses") || l.rows[1].State != alert.Sent || l.rows[1].Person != "ana" {
		t.Errorf("recorded are %+v", l.rows)
	}
}

func TestANoticeIsTriedUntilItIsOfNoUseAnyMore(t *testing.T) {
	l := &letters{contacts: []alert.Channel{alert.SMS}, refusals: map[alert.Channel]int{alert.SMS: 3}}
	l.notify(t)
	if len(l.tried) != 4 || l.rows[len(l.rows)-1].State != alert.Sent {
		t.Errorf("tried are %q, recorded %+v", l.tried, l.rows)
	}
	l = &letters{contacts: []alert.Channel{alert.SMS}, refusals: map[alert.Channel]int{alert.SMS: 1000}}
	if took := l.notify(t); took > time.Hour || len(l.tried) < 5 || len(l.tried) > 20 {
		t.Errorf("tried %d times in %s", len(l.tried), took)
	}
}

func TestANoticeToNobodyIsNotSent(t *testing.T) {
	for what, l := range map[string]*letters{"a service account": {}, "a person without a contact": {contacts: []alert.Channel{}}} {
		if l.notify(t); len(l.tried) > 0 {
			t.Errorf("%s: tried are %q", what, l.tried)
		}
	}
}
