package control

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/m3o/platform/internal/alert"
)

// SendNotice has a notice sent. Starting the same one twice is one.
func (f *Flows) SendNotice(ctx context.Context, in alert.Notice) error {
	return f.start(ctx, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, alert.NoticeWorkflow, alert.NoticeID(in.Key), "Notify "+in.Person+" of "+in.Key, in)
}
