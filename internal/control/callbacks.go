package control

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/m3o/platform/internal/alert"
)

// ProcessCallback starts the workflow that gives a callback its effect. Starting it twice is once.
func (f *Flows) ProcessCallback(ctx context.Context, c alert.Callback) error {
	return f.start(ctx, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, alert.CallbackWorkflow, alert.CallbackID(c.Seq),
		fmt.Sprintf("Callback %d of %s", c.Seq, c.Channel), c)
}
