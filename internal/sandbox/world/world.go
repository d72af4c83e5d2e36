package world

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the database driver "sqlite"
)

// ErrNotFound says that there is no such resource.
var ErrNotFound = errors.New("no such resource")

const schema = `
CREATE TABLE IF NOT EXISTS resource (
	provider TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
	parent TEXT NOT NULL, name TEXT NOT NULL, doc TEXT NOT NULL,
	serial INTEGER NOT NULL, PRIMARY KEY (provider, kind, id));
CREATE INDEX IF NOT EXISTS resource_parent ON resource (provider, kind, parent);
CREATE INDEX IF NOT EXISTS resource_serial ON resource (serial);
CREATE TABLE IF NOT EXISTS effect (seq INTEGER PRIMARY KEY AUTOINCREMENT, provider TEXT NOT NULL, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fault (id INTEGER PRIMARY KEY AUTOINCREMENT, doc TEXT NOT NULL);
`

// World is the state of all clouds of one directory. It is safe for concurrent use.
type World struct {
	Clock    Clock
	Requests *Requests

	db *sql.DB
	mu sync.Mutex

	watching sync.Mutex
	watchers map[chan struct{}]bool
}

// Open opens or makes the state in dir. Nobody else may have it open: the caller holds the directory's lock.
func Open(dir string, clock Clock) (*World, error) {
	// FULL makes each commit wait for the disk, so that what was answered is still there after a power cut too.
	file := url.URL{Scheme: "file", OmitHost: true, Path: filepath.Join(dir, "world.db"),
		RawQuery: "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate"}
	db, err := sql.Open("sqlite", file.String())
	if err != nil {
		return nil, fmt.Errorf("open the sandbox's state: %w", err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the sandbox's state: %w", err), db.Close())
	}
	return &World{Clock: clock, Requests: newRequests(), db: db, watchers: map[chan struct{}]bool{}}, nil
}

// Close closes the state.
func (w *World) Close() error { return w.db.Close() }

// Watch receives after commits until ctx ends, so that a provider's loop need not wait for its next look. Commits that come close
// together are told of once.
func (w *World) Watch(ctx context.Context) <-chan struct{} {
	w.watching.Lock()
	defer w.watching.Unlock()
	told := make(chan struct{}, 1)
	w.watchers[told] = true
	context.AfterFunc(ctx, func() {
		w.watching.Lock()
		defer w.watching.Unlock()
		delete(w.watchers, told)
	})
	return told
}

func (w *World) tellWatchers() {
	w.watching.Lock()
	defer w.watching.Unlock()
	for told := range w.watchers {
		select {
		case told <- struct{}{}:
		default: // it has not looked since the last one
		}
	}
}

// Update runs change in a transaction and commits it, unless change fails: then nothing of it happened.
func (w *World) Update(ctx context.Context, change func(*Tx) error) error {
	if err := w.transact(ctx, change); err != nil {
		return err
	}
	w.tellWatchers()
	return nil
}

// View runs look on a consistent state. It tells nobody that something changed, which is right for looking, and for counting
// a fault.
func (w *World) View(ctx context.Context, look func(*Tx) error) error {
	return w.transact(ctx, look)
}

func (w *World) transact(ctx context.Context, do func(*Tx) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A client that hangs up must not abort a commit half way: the change is either made or it is not.
	sqlTx, err := w.db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := do(&Tx{tx: sqlTx, clock: w.Clock}); err != nil {
		return errors.Join(err, sqlTx.Rollback())
	}
	if err := sqlTx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
