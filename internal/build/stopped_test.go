package build

import (
	"context"
	"errors"
	"testing"

	"github.com/m3o/platform/internal/fault"
)

// A build ends with its own limit's words, and with nobody else's: what its worker lost meanwhile is no user's matter.
func TestABuildThatIsBrokenOffHasNoWordsOfItsWorker(t *testing.T) {
	for what, c := range map[string]struct {
		cause error
		want  string
	}{
		"it reached its limit":        {fault.New(fault.Failed, "the build took longer than 10m0s"), "the build took longer than 10m0s"},
		"its worker was not heard of": {context.DeadlineExceeded, context.Canceled.Error()},
		"its service was killed":      {nil, context.Canceled.Error()},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(c.cause)
		if err := stopped(ctx); fault.Message(err) != c.want || errors.Is(err, context.Canceled) == (what == "it reached its limit") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
