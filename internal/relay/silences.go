package relay

import (
	"context"
	"errors"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/store"
)

// How often silences are looked at, and how many are moved at once.
const (
	silencesEvery = time.Second
	silencesMoved = 200
)

// Silences are those of all projects whose status changes by time.
type Silences interface {
	SilencesDue(ctx context.Context, at time.Time, limit int) ([]alert.Silence, error)
	MoveSilence(ctx context.Context, due alert.Silence) error
}

// Notices are sent by workflows. The same notice may be asked for twice: it is sent once.
type Notices interface {
	SendNotice(ctx context.Context, in alert.Notice) error
}

// MoveSilences is the job that has silences and maintenance windows begin and end at their times, which the store tells as events, and has
// their authors told before they end. A silence moves on once its author's notice is in a workflow.
func MoveSilences(records Silences, notices Notices) Job {
	m := mover{records, notices, time.Now}
	return Job{Name: "move silences", Every: silencesEvery, Do: m.move}
}

type mover struct {
	records Silences
	notices Notices
	now     func() time.Time
}

// move moves what is due. A silence that cannot be moved keeps no other one from it.
func (m mover) move(ctx context.Context, _ store.Lease) error {
	due, err := m.records.SilencesDue(ctx, m.now(), silencesMoved)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range due {
		failed = append(failed, m.one(ctx, s))
	}
	return errors.Join(failed...)
}

func (m mover) one(ctx context.Context, s alert.Silence) error {
	if s.Next() == alert.SilenceEnding && m.now().Before(s.Ends) {
		if err := m.notices.SendNotice(ctx, s.Notice()); err != nil {
			return err
		}
	}
	return m.records.MoveSilence(ctx, s)
}
