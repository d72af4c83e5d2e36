package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// Rights returns what an active user may do now who is known by a verified contact, or by a link that was sent to one.
func (s *Store) Rights(ctx context.Context, name string) (account.Principal, error) {
	row, err := mustFindUser(ctx, s.read, name)
	if err != nil {
		return account.Principal{}, s.explain(err, "look up a user")
	}
	if account.Status(row.Status) != account.Active {
		return account.Principal{}, fault.New(fault.Denied, "user %q is %s", row.Name, row.Status)
	}
	p := account.Principal{ID: row.ID, Kind: account.Person, Subject: row.Name, Scopes: []string{account.All}}
	return p, s.explain(s.addRoles(ctx, &p), "look up roles")
}

// ForgedEvent tells of callbacks that were not their provider's.
const ForgedEvent = "callback.forged"

// forgedEvery is how often it is told: strangers may send any number.
const forgedEvery = time.Minute

// ReportForged tells the platform's watchers that a callback was forged, and its number where it was kept: at most once a minute for each
// channel, whoever sends how many.
func (s *Store) ReportForged(ctx context.Context, c alert.Channel, seq int64, why string) error {
	message := "it had no effect: " + why
	if seq > 0 {
		message = fmt.Sprintf("callback %d had no effect: %s", seq, why)
	}
	return s.transact(ctx, "report a forged callback", func(ctx context.Context, tx bun.Tx) error {
		told, err := tx.NewSelect().Model((*eventRow)(nil)).Where("kind = ? AND subject = ? AND time > ?", ForgedEvent, string(c), s.now().Add(-forgedEvery)).Exists(ctx)
		if err != nil || told {
			return err
		}
		return s.tell(ctx, tx, event.Event{Kind: ForgedEvent, Subject: string(c), Message: message})
	})
}
