package store

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/alert"
)

// MaxAlertsSince bounds what AlertsSince returns.
const MaxAlertsSince = 10_000

// AlertsSince returns the alerts of a project that began since then, newest first, and whether there are more: at most MaxAlertsSince.
func (s *Store) AlertsSince(ctx context.Context, project string, since time.Time) (all []alert.Alert, more bool, err error) {
	for page := (Page{Limit: MaxLimit}); ; {
		some, next, err := s.Alerts(ctx, project, alert.Filter{}, page)
		if err != nil {
			return nil, false, err
		}
		for _, a := range some {
			if a.StartedAt.Before(since) {
				return all, false, nil // numbers grow with time
			}
			if len(all) == MaxAlertsSince {
				return all, true, nil
			}
			all = append(all, a)
		}
		if next == "" {
			return all, false, nil
		}
		page.Cursor = next
	}
}
