package activities

import (
	"context"
	"fmt"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// ContactRecords are the rows of contacts.
type ContactRecords interface {
	Contact(ctx context.Context, id string) (alert.Contact, error)
	RecordCode(ctx context.Context, in alert.CodeRecord) error
}

// Contacts reads contacts, and keeps what verifies them.
type Contacts struct{ Records ContactRecords }

// ReadContact returns a contact; nothing of one that is not there any more. It only reads.
func (a *Contacts) ReadContact(ctx context.Context, id string) (alert.Contact, error) {
	c, err := a.Records.Contact(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return alert.Contact{}, nil
	case err != nil:
		return alert.Contact{}, fail(fmt.Errorf("read contact %s: %w", id, err))
	}
	return c, nil
}

// RecordCode puts the hash of a code into force, or says why none was sent. Repeating it changes nothing, nor does one that is not of the
// newest sending.
func (a *Contacts) RecordCode(ctx context.Context, in alert.CodeRecord) error {
	if err := a.Records.RecordCode(ctx, in); err != nil {
		return fail(fmt.Errorf("record code %d of contact %s: %w", in.N, in.Contact, err))
	}
	return nil
}
