package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/m3o/platform/internal/fault"
)

// Store is one database. It is safe for concurrent use and may be shared by processes.
type Store struct {
	engine engine
	write  *bun.DB // for transactions; on SQLite one connection
	read   *bun.DB // for single statements outside of transactions
	turn   chan struct{}
	now    func() time.Time

	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
}

// Open connects to the database at the URL: sqlite:///absolute/path, or postgres://user@host/name (PostgreSQL or
// CockroachDB). A SQLite file is made if there is none; its folder must exist. Migrate makes the schema.
func Open(ctx context.Context, url string) (*Store, error) {
	e, err := parse(url)
	if err != nil {
		return nil, err
	}
	write, read, err := e.open(ctx)
	if err != nil {
		return nil, err
	}
	return &Store{
		engine: e, write: write, read: read, turn: make(chan struct{}, 1),
		now:      func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) },
		watchers: map[chan struct{}]struct{}{},
	}, nil
}

// Close ends all connections.
func (s *Store) Close() error {
	errs := []error{s.write.Close()}
	if s.read != s.write {
		errs = append(errs, s.read.Close())
	}
	return errors.Join(errs...)
}

// Ping reports whether the database answers and has the schema of this version.
func (s *Store) Ping(ctx context.Context) error {
	var seq int64
	err := s.read.NewSelect().Model((*counterRow)(nil)).Column("value").Where("name = ?", eventCounter).Scan(ctx, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.Failed, "the database has no schema: run m3o migrate")
	}
	return s.explain(err, "ask the database")
}

// Watch returns a channel that is signalled after this process committed something, and what ends the watch. Several
// commits may share one signal. What other processes commit is not signalled: look again each second too.
func (s *Store) Watch() (<-chan struct{}, func()) {
	signal := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[signal] = struct{}{}
	return signal, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, signal)
	}
}

func (s *Store) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for signal := range s.watchers {
		select {
		case signal <- struct{}{}:
		default: // it has not looked since the last signal
		}
	}
}
