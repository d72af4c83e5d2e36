package digitalocean

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/m3o/platform/internal/sandbox/budget"
	"github.com/m3o/platform/internal/sandbox/world"
)

// newBudget is the API's rate limit, of the account's one token: a window of an hour and one of a minute.
func newBudget(clock world.Clock) *budget.Windows {
	return budget.NewWindows(clock, budget.Window{Requests: requestsPerHour, Period: time.Hour},
		budget.Window{Requests: requestsPerMinute, Period: time.Minute})
}

// tell writes the rate limit's headers.
func tell(header http.Header, allowed budget.Answer) {
	header.Set("ratelimit-limit", strconv.Itoa(requestsPerHour))
	header.Set("ratelimit-remaining", strconv.Itoa(allowed.Remaining))
	header.Set("ratelimit-reset", strconv.FormatInt(allowed.Reset.Unix(), 10))
}

// seconds rounds a wait up to what the retry-after header can say.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }
