package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/m3o/platform/internal/fault"
)

// engine is what differs between the databases: how to connect, and how a transaction begins.
type engine interface {
	open(context.Context) (write, read *bun.DB, err error)
	migrations() goose.Dialect
	txOptions() *sql.TxOptions
}

// parse never repeats the URL in an error: it may hold a password.
func parse(text string) (engine, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the database URL is not a URL; write sqlite:///path or postgres://user@host/name")
	}
	switch u.Scheme {
	case "sqlite":
		if u.Host != "" || u.RawQuery != "" || !filepath.IsAbs(u.Path) || strings.HasSuffix(u.Path, "/") {
			return nil, fault.New(fault.Invalid, "a SQLite URL is sqlite:// and the absolute path of a file, without parameters")
		}
		return sqlite{path: u.Path}, nil
	case "postgres", "postgresql":
		config, err := pgx.ParseConfig(text)
		if err != nil {
			return nil, fault.New(fault.Invalid, "the PostgreSQL URL cannot be used; write postgres://user@host:port/name?sslmode=…")
		}
		return postgres{config: config}, nil
	}
	return nil, fault.New(fault.Invalid, "%q is not a database this version can use; it can use sqlite:///path and postgres://…", u.Scheme)
}

type sqlite struct{ path string }

// busyFor is how long SQLite itself waits for another process's transaction. It does not see contexts, so it is short:
// the retry loop around it does.
const busyFor = time.Second

// The log is synced with every commit: what was answered survives a power cut, not only a killed process. Transactions
// take the write lock at once, so that none has to give up half-way for having read before another wrote.
func (e sqlite) open(ctx context.Context) (write, read *bun.DB, err error) {
	if err := e.create(); err != nil {
		return nil, nil, fault.Wrap(fault.Failed, err, "the database file %s cannot be made", e.path)
	}
	write, err = e.pool(ctx, 1, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)", "_pragma=foreign_keys(1)")
	if err != nil {
		return nil, nil, err
	}
	read, err = e.pool(ctx, 4, "_pragma=query_only(1)")
	if err != nil {
		_ = write.Close()
		return nil, nil, err
	}
	return write, read, nil
}

// create makes the file, where there is none, for its owner alone: who calls is in it. It is closed before it gets its name,
// since closing a database's file lets go of the locks that SQLite holds on it for the whole process.
func (e sqlite) create() error {
	if _, err := os.Stat(e.path); err == nil {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(e.path), ".new-database-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Link(file.Name(), e.path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (e sqlite) pool(ctx context.Context, size int, settings ...string) (*bun.DB, error) {
	settings = append([]string{"_pragma=busy_timeout(" + strconv.Itoa(int(busyFor.Milliseconds())) + ")"}, settings...)
	file := url.URL{Scheme: "file", Path: e.path, RawQuery: strings.Join(settings, "&")}
	db, err := sql.Open("sqlite", file.String())
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the database file %s cannot be used", e.path)
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	if err := patiently(ctx, db.PingContext); err != nil {
		_ = db.Close()
		return nil, fault.Wrap(fault.Failed, err, "the database file %s cannot be opened", e.path)
	}
	return bun.NewDB(db, sqlitedialect.New()), nil
}

func (sqlite) migrations() goose.Dialect { return goose.DialectSQLite3 }

func (sqlite) txOptions() *sql.TxOptions { return nil } // SQLite's are always serializable

type postgres struct{ config *pgx.ConnConfig }

const poolSize = 16

func (e postgres) open(ctx context.Context) (write, read *bun.DB, err error) {
	config := e.config.Copy()
	// The SQL builder writes values into the text, so no statement comes twice and preparing them is work for nothing.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	for name, value := range map[string]string{"application_name": "m3o", "timezone": "UTC",
		"standard_conforming_strings": "on", "statement_timeout": "30000"} {
		config.RuntimeParams[name] = value
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(poolSize)
	db.SetMaxIdleConns(poolSize)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, nil, fault.Wrap(fault.Unavailable, err, "the database at %s does not answer", config.Host)
	}
	pool := bun.NewDB(db, pgdialect.New())
	return pool, pool, nil
}

func (postgres) migrations() goose.Dialect { return goose.DialectPostgres }

func (postgres) txOptions() *sql.TxOptions { return &sql.TxOptions{Isolation: sql.LevelSerializable} }
