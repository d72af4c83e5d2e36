package control

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/attribute"
	"github.com/m3o/platform/internal/fault"
)

// DeliverDigest tells a group's workflow what came in, and starts it if none is at work. A digest that is delivered twice counts once.
func (f *Flows) DeliverDigest(ctx context.Context, in alert.EscalateInput, d alert.Digest) error {
	return f.tell(ctx, alertCommand(in), alert.DigestSignal, d)
}

// AlertRulesChanged has the group's alert decide anew whether people are paged. Without one there is nothing to decide.
func (f *Flows) AlertRulesChanged(ctx context.Context, project, group string) error {
	err := f.signal(ctx, alert.EscalateID(project, group), alert.RulesSignal, nil)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// PageReported tells the group's workflow what a channel says of a page after it took it. NotFound: the alert has ended.
func (f *Flows) PageReported(ctx context.Context, project, group string, r alert.PageReport) error {
	return f.signal(ctx, alert.EscalateID(project, group), alert.ReceiptSignal, r)
}

// CommandAlert sends one of the updates of EscalateAlert (alert.AcknowledgeUpdate and others) to a group's workflow under id. The same id
// is one command. NotFound: no alert of the group is current.
func (f *Flows) CommandAlert(ctx context.Context, id, project, group, update string, in alert.Command) (alert.Alert, error) {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	var a alert.Alert
	var err error
	for range closing {
		if err = f.updateOnce(ctx, alert.EscalateID(project, group), id, update, in, &a); !closedUnder(err) {
			break
		}
	}
	return a, translate(err)
}

func (f *Flows) updateOnce(ctx context.Context, workflowID, id, update string, arg, answer any) error {
	handle, err := f.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{UpdateID: id, UpdateName: update, WorkflowID: workflowID, Args: []any{arg},
		WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		return err
	}
	return handle.Get(ctx, answer)
}

// AlertProgress tells where a group's alert is.
func (f *Flows) AlertProgress(ctx context.Context, project, group string) (alert.Alert, error) {
	var a alert.Alert
	return a, f.query(ctx, alert.EscalateID(project, group), alert.ProgressQuery, &a)
}

func (f *Flows) signal(ctx context.Context, workflowID, name string, fact any) error {
	return translate(f.temporal.SignalWorkflow(ctx, workflowID, "", name, fact))
}

func alertCommand(in alert.EscalateInput) command {
	return command{workflow: alert.EscalateWorkflow, workflowID: alert.EscalateID(in.Group.Project, in.Hash), input: in,
		summary:    fmt.Sprintf("Alerts of project %s by route %s", in.Group.Project, in.Group.Route),
		attributes: temporal.NewSearchAttributes(attribute.Project.ValueSet(in.Group.Project))}
}
