package control

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/m3o/platform/internal/alert"
)

// VerifyContact has the n-th code for a contact made and sent. Starting the same sending twice is one.
func (f *Flows) VerifyContact(ctx context.Context, in alert.VerifyInput) error {
	return f.start(ctx, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, alert.VerifyWorkflow, alert.VerifyID(in.Contact, in.N), "Verify contact "+in.Contact, in)
}
