package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/fault"
)

// Lease is who does what one process at a time does. It has no end that clocks would have to agree on: its holder renews it, and
// whoever has seen it unchanged for long enough by its own clock may take it over.
type Lease struct {
	Name   string
	Holder string // empty: nobody's
	Beat   int64  // grows with every renewal
}

// Lease returns a lease as it is now, nobody's if there never was one.
func (s *Store) Lease(ctx context.Context, name string) (Lease, error) {
	row, err := findLease(ctx, s.read, name)
	return row.lease(), s.explain(err, "read the lease "+name)
}

func (r leaseRow) lease() Lease { return Lease{Name: r.Name, Holder: r.Holder, Beat: r.Beat} }

func findLease(ctx context.Context, db bun.IDB, name string) (leaseRow, error) {
	row := leaseRow{Name: name}
	err := db.NewSelect().Model(&row).WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return leaseRow{Name: name}, nil
	}
	return row, err
}

// TakeLease makes holder the holder of a lease that is still as it was seen, and returns it renewed. It is how a lease is renewed, too.
// One that was renewed or taken meanwhile is a Conflict.
func (s *Store) TakeLease(ctx context.Context, seen Lease, holder string) (Lease, error) {
	var taken Lease
	err := s.transact(ctx, "take the lease "+seen.Name, func(ctx context.Context, tx bun.Tx) error {
		row, err := findLease(ctx, tx, seen.Name)
		if err != nil {
			return err
		}
		if row.lease() != seen {
			return fault.New(fault.Conflict, "the lease %s is another's", seen.Name)
		}
		row.Holder, row.Beat, row.RenewedAt = holder, row.Beat+1, s.now()
		taken = row.lease()
		_, err = tx.NewInsert().Model(&row).On("CONFLICT (name) DO UPDATE").Set("holder = EXCLUDED.holder").Set("beat = EXCLUDED.beat").
			Set("renewed_at = EXCLUDED.renewed_at").Exec(ctx)
		return err
	})
	return taken, err
}

// LeaveLease gives a lease up, for the next one to take at once. One that is another's is left as it is.
func (s *Store) LeaveLease(ctx context.Context, l Lease) error {
	return s.transact(ctx, "leave the lease "+l.Name, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model((*leaseRow)(nil)).Set("holder = ''").Set("beat = beat + 1").Where("name = ? AND holder = ?", l.Name, l.Holder).Exec(ctx)
		return err
	})
}

// held fails unless the lease is still the holder's: whoever was stopped for a while may have lost it without knowing.
func held(ctx context.Context, tx bun.Tx, l Lease) error {
	row, err := findLease(ctx, tx, l.Name)
	if err == nil && (row.Holder != l.Holder || l.Holder == "") {
		err = fault.New(fault.Conflict, "the lease %s is another's", l.Name)
	}
	return err
}
