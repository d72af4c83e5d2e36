package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/fault"
)

// ClaimState says what a claim found.
type ClaimState string

// The states of a claim.
const (
	ClaimNew        ClaimState = "new"         // nobody answered this request yet: do, then Finish or Abandon
	ClaimInProgress ClaimState = "in_progress" // another one is at it
	ClaimFinished   ClaimState = "finished"    // Status and Body are the answer
)

// How long a claim holds. An attempt that neither finished nor gave up within ClaimLease is taken for dead, and the next
// one may begin: what it starts is found again by id. A finished one is remembered for ClaimLife.
const (
	ClaimLease = time.Minute
	ClaimLife  = 24 * time.Hour
)

// MaxAnswerBytes bounds the answer that is kept with a claim; MaxKeyBytes the key of a request.
const (
	MaxAnswerBytes = 1 << 20
	MaxKeyBytes    = 255
)

// ErrKeyReused is in the chain of the Conflict that a key with another body gets.
var ErrKeyReused = errors.New("idempotency key reused with another body")

// Claim is the right to answer a request with an idempotency key, or the answer that was given.
type Claim struct {
	State  ClaimState
	Status int
	Body   []byte
	// Command names what the request asks for: the same in every attempt at it, another when the key is used again after it
	// was given up or forgotten.
	Command string

	principal, route, key string
	attempt               int64
}

// Claim asks for the right to answer. The same key with the same body gets the same answer; another body is a Conflict
// with ErrKeyReused in its chain.
func (s *Store) Claim(ctx context.Context, principal, route, key string, bodyHash []byte) (Claim, error) {
	if key == "" || len(key) > MaxKeyBytes || strings.ContainsRune(key, 0) {
		return Claim{}, badField("Idempotency-Key", "must have 1 to "+strconv.Itoa(MaxKeyBytes)+" characters")
	}
	want := claimRow{Principal: clean(principal), Route: clean(route), RequestKey: clean(key), BodyHash: hex.EncodeToString(bodyHash)}
	var got claimRow
	var fresh bool
	err := s.transact(ctx, "claim a request", func(ctx context.Context, tx bun.Tx) error {
		if err := prune(ctx, tx, s.now()); err != nil {
			return err
		}
		var err error
		got, fresh, err = claim(ctx, tx, want, s.now())
		return err
	})
	if err != nil {
		return Claim{}, err
	}
	c := Claim{State: ClaimState(got.State), Status: got.Status, Body: got.Body, Command: got.command(),
		principal: got.Principal, route: got.Route, key: got.RequestKey, attempt: got.Attempt}
	if fresh {
		c.State = ClaimNew
	}
	return c, nil
}

// claim returns the claim's row, and whether it is the caller's to answer.
func claim(ctx context.Context, tx bun.Tx, want claimRow, now time.Time) (row claimRow, fresh bool, err error) {
	err = tx.NewSelect().Model(&row).Where("principal = ? AND route = ? AND request_key = ?", want.Principal, want.Route, want.RequestKey).Scan(ctx)
	known := err == nil
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return row, false, err
	case known && now.Before(row.ExpiresAt) && row.BodyHash != want.BodyHash:
		return row, false, fault.Wrap(fault.Conflict, ErrKeyReused, "the Idempotency-Key %q was used for another request", want.RequestKey)
	case known && now.Before(row.ExpiresAt) && (row.State == string(ClaimFinished) || now.Before(row.LeasedTo)):
		return row, false, nil
	}
	want.Attempt, want.State = row.Attempt+1, string(ClaimInProgress)
	want.LeasedTo, want.ExpiresAt = now.Add(ClaimLease), now.Add(ClaimLife).Truncate(time.Second) // a database may keep no more
	if known && now.Before(row.ExpiresAt) {
		want.ExpiresAt = row.ExpiresAt // one request for as long as it is remembered
	}
	if _, err := tx.NewDelete().Model(&want).WherePK().Exec(ctx); err != nil {
		return row, false, err
	}
	_, err = tx.NewInsert().Model(&want).Exec(ctx)
	return want, true, err
}

func (r claimRow) command() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%d", r.Principal, r.Route, r.RequestKey, r.BodyHash, r.ExpiresAt.Unix()))
	return hex.EncodeToString(sum[:16])
}

// prune forgets some claims that have expired; each new claim does a little of it.
func prune(ctx context.Context, tx bun.Tx, now time.Time) error {
	const some = 20
	var old []claimRow
	if err := tx.NewSelect().Model(&old).ExcludeColumn("body").Where("expires_at <= ?", now).Order("expires_at").Limit(some).Scan(ctx); err != nil {
		return err
	}
	for i := range old {
		if _, err := tx.NewDelete().Model(&old[i]).WherePK().Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Finish keeps the answer. An attempt that another one has taken over changes nothing.
func (s *Store) Finish(ctx context.Context, c Claim, status int, body []byte) error {
	if len(body) > MaxAnswerBytes {
		return fault.New(fault.Invalid, "an answer of %d bytes is too large to be kept: at most %d", len(body), MaxAnswerBytes)
	}
	return s.transact(ctx, "keep an answer", func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model((*claimRow)(nil)).Set("state = ?", string(ClaimFinished)).Set("status = ?", status).Set("body = ?", body).
			Where("principal = ? AND route = ? AND request_key = ?", c.principal, c.route, c.key).
			Where("attempt = ? AND state = ?", c.attempt, string(ClaimInProgress)).Exec(ctx)
		return err
	})
}

// Abandon gives the claim back without an answer, after a failure that is worth another try.
func (s *Store) Abandon(ctx context.Context, c Claim) error {
	return s.transact(ctx, "give up a claim", func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewDelete().Model((*claimRow)(nil)).
			Where("principal = ? AND route = ? AND request_key = ?", c.principal, c.route, c.key).
			Where("attempt = ? AND state = ?", c.attempt, string(ClaimInProgress)).Exec(ctx)
		return err
	})
}
