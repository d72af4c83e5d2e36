package relay

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

// mailbox is the workflows of notices; it may be closed.
type mailbox struct {
	closed  bool
	notices []alert.Notice
}

func (m *mailbox) SendNotice(_ context.Context, in alert.Notice) error {
	if m.closed {
		return fault.New(fault.Unavailable, "Temporal does not answer")
	}
	m.notices = append(m.notices, in)
	return nil
}

func TestSilencesBeginAndEndAndTheirAuthorsAreToldBefore(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "m3o.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(db.Migrate(t.Context()))
	now := time.Now()
	match, err := alert.ParseMatcher("service=till")
	check(err)
	made, err := db.CreateSilence(t.Context(), alert.Silence{ID: "sil_1", Project: "shop", Match: []alert.Matcher{match}, Maintenance: true, Comment: "new disks", By: "ana",
		Begins: now.Add(time.Hour), Ends: now.Add(5 * time.Hour)})
	check(err)
	post := &mailbox{}
	at := now
	m := mover{db, post, func() time.Time { return at }}
	// pass looks at the silences at a time, and says what their status is and how many notices there were.
	pass := func(after time.Duration, want alert.SilenceStatus, notices int) {
		t.Helper()
		at = now.Add(after)
		_ = m.move(t.Context(), store.Lease{}) // fails while the mailbox is closed
		all, _, err := db.SilencePage(t.Context(), "shop", store.SilenceFilter{Maintenance: true, Over: true}, store.Page{})
		check(err)
		if len(all) != 1 || all[0].Status != want || len(post.notices) != notices {
			t.Errorf("after %s: %+v, %d notices; want %s, %d", after, all, len(post.notices), want, notices)
		}
	}
	pass(0, alert.SilenceAhead, 0)
	pass(time.Hour+time.Second, alert.SilenceActive, 0)
	post.closed = true
	pass(4*time.Hour+time.Second, alert.SilenceActive, 0)
	post.closed = false
	pass(4*time.Hour+2*time.Second, alert.SilenceEnding, 1)
	pass(4*time.Hour+3*time.Second, alert.SilenceEnding, 1)
	pass(5*time.Hour+time.Second, alert.SilenceOver, 1)
	pass(6*time.Hour, alert.SilenceOver, 1)
	if n := post.notices[0]; n.Person != "ana" || n.Key != "silence/"+made.ID || !n.Until.Equal(made.Ends) {
		t.Errorf("the notice is %+v", n)
	}
	events, err := db.Events(t.Context(), 0, []string{"shop"}, 0)
	check(err)
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	if want := []string{"silence.created", "silence.begun", "silence.over"}; !slices.Equal(kinds, want) {
		t.Errorf("told are %q, want %q", kinds, want)
	}
}
