package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/internal/alert"
)

// ProcessCallback gives what a provider called back with its effect: it is verified and read where the provider's credentials are, applied
// where the store is, and whoever replied hears what came of it. It is started once for each callback. One that was forged, or says
// nothing of interest, has no effect; the result says what the callback came to.
func ProcessCallback(ctx workflow.Context, c alert.Callback) (string, error) {
	var meaning alert.Meaning
	if err := workflow.ExecuteActivity(reading(ctx, "Read a callback"), pages.ReadCallback, c).Get(ctx, &meaning); err != nil {
		return "", err
	}
	var applied alert.Applied
	in := alert.Applying{Seq: c.Seq, Channel: c.Channel, Meaning: meaning}
	if err := workflow.ExecuteActivity(ordering(ctx, "Apply a callback"), callbacks.ApplyCallback, in).Get(ctx, &applied); err != nil {
		return "", err
	}
	if applied.Answer == nil {
		return applied.Outcome, nil
	}
	err := workflow.ExecuteActivity(reading(ctx, "Say what came of it"), pages.SendText, *applied.Answer).Get(ctx, nil)
	var failed *temporal.ApplicationError
	if errors.As(err, &failed) {
		return applied.Outcome + "; nobody could be told: " + failed.Message(), nil
	}
	return applied.Outcome, err
}
