package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func TestTheAuditLogIsPagedNewestFirst(t *testing.T) {
	s := fresh(t)
	entry := event.Audit{Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Subject: "ada", Kind: "user", Project: "default", Action: "deploy-service",
		Target: "/v1/x?'\x00", From: "127.0.0.1", RequestID: "r", Status: 202}
	for range 5 {
		_, err := s.AppendAudit(t.Context(), entry)
		must(t, err)
	}
	var got []event.Audit
	page := store.Page{Limit: 2}
	for {
		entries, next, err := s.Audits(t.Context(), page)
		must(t, err)
		got = append(got, entries...)
		if page.Cursor = next; next == "" {
			break
		}
	}
	entry.Target = "/v1/x?'\uFFFD"
	for i, e := range got {
		entry.Seq = int64(5 - i)
		if e != entry {
			t.Errorf("got %+v, want %+v", e, entry)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d entries", len(got))
	}
}

func TestARequestIsAnsweredOnce(t *testing.T) {
	s := fresh(t)
	claim := func(body string) (store.Claim, error) {
		return s.Claim(t.Context(), "ada", "POST /v1/services", "key-1", hash(body))
	}
	first, err := claim("body")
	must(t, err)
	if first.State != store.ClaimNew {
		t.Fatalf("got %+v", first)
	}
	second, err := claim("body")
	must(t, err)
	if second.State != store.ClaimInProgress || second.Command != first.Command {
		t.Fatalf("got %+v after %+v", second, first)
	}
	_, err = claim("another")
	wantFault(t, err, fault.Conflict, "key-1")
	if !errors.Is(err, store.ErrKeyReused) {
		t.Errorf("got %v", err)
	}
	answer := []byte("{\"it's\":\"\x00\xff\"}")
	must(t, s.Finish(t.Context(), first, 202, answer))
	must(t, s.Finish(t.Context(), first, 500, nil)) // the first answer stays
	again, err := claim("body")
	must(t, err)
	if again.State != store.ClaimFinished || again.Status != 202 || !bytes.Equal(again.Body, answer) {
		t.Errorf("got %+v", again)
	}
	_, err = claim("another")
	wantFault(t, err, fault.Conflict)
	for _, other := range [][2]string{{"eve", "POST /v1/services"}, {"ada", "POST /v1/plans"}} {
		c, err := s.Claim(t.Context(), other[0], other[1], "key-1", hash("another"))
		must(t, err)
		if c.State != store.ClaimNew || c.Command == first.Command {
			t.Errorf("keys belong to a caller and a route: got %+v", c)
		}
	}
}

func TestBadClaimsAreRefused(t *testing.T) {
	s := fresh(t)
	for _, key := range []string{"", "a\x00", string(bytes.Repeat([]byte("k"), store.MaxKeyBytes+1))} {
		_, err := s.Claim(t.Context(), "ada", "r", key, nil)
		wantFault(t, err, fault.Invalid, "Idempotency-Key")
	}
	c, err := s.Claim(t.Context(), "ada", "r", "k", nil)
	must(t, err)
	wantFault(t, s.Finish(t.Context(), c, 200, make([]byte, store.MaxAnswerBytes+1)), fault.Invalid)
}

func TestClaimsAreTakenOverAbandonedAndForgotten(t *testing.T) {
	s := fresh(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.SetClock(func() time.Time { return now })
	claim := func(body string) store.Claim {
		t.Helper()
		c, err := s.Claim(t.Context(), "ada", "r", "k", hash(body))
		must(t, err)
		return c
	}
	dead := claim("body")
	now = now.Add(store.ClaimLease)
	heir := claim("body")
	if heir.State != store.ClaimNew || heir.Command != dead.Command {
		t.Fatalf("a dead attempt must be taken over: %+v", heir)
	}
	must(t, s.Finish(t.Context(), dead, 500, nil))
	must(t, s.Abandon(t.Context(), dead))
	if c := claim("body"); c.State != store.ClaimInProgress {
		t.Fatalf("the dead attempt answered: %+v", c)
	}
	must(t, s.Abandon(t.Context(), heir))
	third := claim("another body")
	if third.State != store.ClaimNew {
		t.Fatalf("an abandoned claim must be free: %+v", third)
	}
	must(t, s.Finish(t.Context(), third, 200, nil))
	now = now.Add(store.ClaimLife)
	if c := claim("another body"); c.State != store.ClaimNew || c.Command == third.Command {
		t.Errorf("a finished claim is forgotten after %s, and the key free for another command: %+v", store.ClaimLife, c)
	}
}
