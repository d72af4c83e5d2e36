package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	driversqlite "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/m3o/platform/internal/fault"
)

// A transaction that lost against another is begun again, a bounded number of times with growing, random pauses: about
// ten seconds in all.
const (
	attempts     = 40
	firstPause   = 2 * time.Millisecond
	longestPause = 400 * time.Millisecond
)

// transact runs fn in a serializable transaction and tells the watchers when it is committed. fn may run several times:
// what it hands out must be assigned, not appended. Writers of one process take turns, since nearly every transaction
// counts an event: without turns they would only make each other start again.
func (s *Store) transact(ctx context.Context, what string, fn func(context.Context, bun.Tx) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	err := patiently(ctx, func(ctx context.Context) error { return s.write.RunInTx(ctx, s.engine.txOptions(), fn) })
	if err != nil {
		return s.explain(err, what)
	}
	s.notify()
	return nil
}

// patiently repeats fn while it fails for another transaction's sake.
func patiently(ctx context.Context, fn func(context.Context) error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := fn(ctx)
		if err == nil || !inTheWay(err) || attempt == attempts {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
		pause = min(2*pause, longestPause)
	}
}

// inTheWay reports whether the database refused because of another transaction, having changed nothing.
func inTheWay(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01"
	}
	var lite *driversqlite.Error
	if errors.As(err, &lite) {
		code := lite.Code() & 0xff // the rest is the extended code
		return code == codes.SQLITE_BUSY || code == codes.SQLITE_LOCKED
	}
	return false
}

// explain gives the database's failures a kind and users' words; faults pass as they are.
func (s *Store) explain(err error, what string) error {
	var known *fault.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, err)
	case inTheWay(err):
		return fault.Wrap(fault.Unavailable, err, "the database is too busy to %s", what)
	case noSchema(err):
		return fault.Wrap(fault.Failed, err, "the database lacks the schema of this version: run m3o migrate")
	case away(err):
		return fault.Wrap(fault.Unavailable, err, "the database does not answer")
	case full(err):
		return fault.Wrap(fault.Unavailable, err, "the database has no room left")
	}
	return fmt.Errorf("%s: %w", what, err)
}

func noSchema(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "42P01" || pg.Code == "42703" // no such table, no such column
	}
	var lite *driversqlite.Error
	return errors.As(err, &lite) && (strings.Contains(lite.Error(), "no such table") || strings.Contains(lite.Error(), "no such column"))
}

func away(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// connection lost, too many connections or out of memory, shutting down
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P") || pg.Code == "53200" || pg.Code == "53300"
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn)
}

func full(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "53100"
	}
	var lite *driversqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == codes.SQLITE_FULL
}
