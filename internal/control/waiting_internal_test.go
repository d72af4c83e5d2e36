package control

import (
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
)

// What is retried is told in the words of what failed, without the name of what calls it.
func TestWhatIsRetried(t *testing.T) {
	failed := func(kind fault.Kind, again time.Duration) *temporal.ApplicationError {
		return temporal.NewApplicationErrorWithOptions("the registry does not answer", string(kind), temporal.ApplicationErrorOptions{NextRetryDelay: again}).(*temporal.ApplicationError)
	}
	for _, c := range []struct {
		err      *temporal.ApplicationError
		failures int32
		want     string
	}{
		{failed(fault.Unavailable, 0), 1, "the registry does not answer (retried)"},
		{failed(fault.Unavailable, 0), 7, "the registry does not answer (retried; failed 7 times)"},
		{failed(fault.Throttled, 0), 2, "the registry does not answer (retried; failed 2 times)"},
		{failed(fault.Throttled, time.Second), 40, "the registry does not answer"}, // it is not its turn
	} {
		if got := retried(c.err, c.failures); got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}
