package relay

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/store"
)

// heartbeatsEvery is how late it may be noticed that a heartbeat is missed.
const heartbeatsEvery = time.Second

// Heartbeats are what programs ping.
type Heartbeats interface {
	CheckHeartbeats(ctx context.Context, by store.Lease) error
}

// CheckHeartbeats is the job that triggers the alerts of heartbeats that are overdue.
func CheckHeartbeats(records Heartbeats) Job {
	return Job{Name: "check the heartbeats", Every: heartbeatsEvery, Do: records.CheckHeartbeats}
}
