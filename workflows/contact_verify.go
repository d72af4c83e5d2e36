package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/alert"
)

// VerifyContact sends a contact the n-th code that verifies it. When it ends, the hash of that code is in force, or the contact says why
// none could be sent.
//
// It is started once for each sending: a person who waits in vain asks for another, which has its own workflow. A contact that was removed
// or verified meanwhile is left alone.
func VerifyContact(ctx workflow.Context, in alert.VerifyInput) error {
	var contact alert.Contact
	if err := inStore(ctx, "Read the contact", contacts.ReadContact, in.Contact).Get(ctx, &contact); err != nil {
		return err
	}
	if contact.Status != alert.ContactPending {
		return nil
	}
	return inStore(ctx, "Record the code", contacts.RecordCode, sendCode(ctx, contact, in)).Get(ctx, nil)
}

// sendCode has the code made and sent where the channels' credentials are. The code itself is not in the history.
func sendCode(ctx workflow.Context, contact alert.Contact, in alert.VerifyInput) alert.CodeRecord {
	record := alert.CodeRecord{Contact: in.Contact, N: in.N}
	request := alert.CodeRequest{Key: alert.VerifyID(in.Contact, in.N), Contact: contact}
	var sent alert.CodeSent
	if err := workflow.ExecuteActivity(sendingCode(ctx), pages.SendCode, request).Get(ctx, &sent); err != nil {
		record.Why = "the code could not be sent: " + words(err)
		return record
	}
	record.Hash, record.Expires = sent.Hash, workflow.Now(ctx).Add(alert.CodeLife)
	return record
}
