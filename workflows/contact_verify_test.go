package workflows_test

import (
	"context"
	"errors"
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

// post is the rows of one contact, and the channels, which take a code unless they fail.
type post struct {
	contact alert.Contact
	records []alert.CodeRecord
	failing []error // of the next tries
	keys    []string
	activities.Messenger
}

func (p *post) Contact(context.Context, string) (alert.Contact, error) {
	if p.contact.ID == "" {
		return alert.Contact{}, fault.New(fault.NotFound, "there is no contact")
	}
	return p.contact, nil
}

func (p *post) RecordCode(_ context.Context, in alert.CodeRecord) error {
	p.records = append(p.records, in)
	return nil
}

func (p *post) SendCode(_ context.Context, r alert.CodeRequest) (alert.CodeSent, error) {
	p.keys = append(p.keys, r.Key)
	if len(p.failing) > 0 {
		err := p.failing[0]
		if p.failing = p.failing[1:]; err != nil {
			return alert.CodeSent{}, err
		}
	}
	return alert.CodeSent{Hash: "hash of " + r.Contact.Address}, nil
}

// verify runs VerifyContact for the second code of a contact, and returns when it began.
func (p *post) verify(t *testing.T) time.Time {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflow(workflows.VerifyContact)
	env.RegisterActivity(&activities.Contacts{Records: p})
	env.RegisterActivity(&activities.Pages{Messenger: p})
	began := env.Now()
	env.ExecuteWorkflow(workflows.VerifyContact, alert.VerifyInput{Contact: "con_1", N: 2})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	return began
}

func pending() alert.Contact {
	return alert.Contact{ID: "con_1", Person: "ana", Channel: alert.SMS, Address: "+447700900123", Status: alert.ContactPending}
}

func TestACodeIsSentAndItsHashIsKept(t *testing.T) {
	p := &post{contact: pending()}
	began := p.verify(t)
	if len(p.records) != 1 || p.records[0].Hash != "hash of +447700900123" || p.records[0].N != 2 || p.records[0].Why != "" {
		t.Fatalf("records are %+v", p.records)
	}
	if life := p.records[0].Expires.Sub(began); life < alert.CodeLife || life > alert.CodeLife+time.Minute {
		t.Errorf("the code is good for %s", life)
	}
}

// TestAProviderThatIsDownForAMoment has the same code sent again, under the same key.
func TestAProviderThatIsDownForAMoment(t *testing.T) {
	down := fault.New(fault.Unavailable, "Twilio does not answer")
	p := &post{contact: pending(), failing: []error{down, down}}
	p.verify(t)
	if !slices.Equal(p.keys, slices.Repeat([]string{"contact/con_1/2"}, 3)) || len(p.records) != 1 || p.records[0].Hash == "" {
		t.Errorf("keys are %q, records %+v", p.keys, p.records)
	}
}

func TestACodeThatCannotBeSentSaysWhy(t *testing.T) {
	for what, failing := range map[string][]error{
		"for good":     {fault.Wrap(fault.Denied, errors.New("secret"), "the number does not take SMS (21614)")},
		"for too long": slices.Repeat([]error{fault.New(fault.Unavailable, "the number does not take SMS (21614)")}, 50),
	} {
		p := &post{contact: pending(), failing: failing}
		p.verify(t)
		if len(p.records) != 1 || p.records[0].Hash != "" || !strings.HasPrefix(p.records[0].Why, "the code could not be sent: ") {
			t.Fatalf("%s: records are %+v", what, p.records)
		}
		if why := p.records[0].Why; !strings.Contains(why, "21614") || strings.Contains(why, "secret") {
			t.Errorf("%s: it says %q", what, why)
		}
	}
}

func TestAContactThatNeedsNoCodeGetsNone(t *testing.T) {
	verified := pending()
	verified.Status = alert.ContactVerified
	for _, contact := range []alert.Contact{{}, verified} {
		p := &post{contact: contact}
		p.verify(t)
		if len(p.keys)+len(p.records) > 0 {
			t.Errorf("%+v: sent %q, recorded %+v", contact, p.keys, p.records)
		}
	}
}
