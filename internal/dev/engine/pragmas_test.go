//go:build embedded

package engine

import (
	"database/sql"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	temporalsql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/resolver"
)

// TestTheFilesAreInWriteAheadLogMode asks the files of a running engine: a pragma of a wrong name does nothing, and says nothing.
func TestTheFilesAreInWriteAheadLogMode(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c := Config{Dir: t.TempDir(), Port: port, Namespace: "m3o", Retention: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler)}
	e, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	for _, name := range []string{executions, visibility} {
		if mode := ask(t, c.path(name), "PRAGMA journal_mode"); mode != "wal" {
			t.Errorf("%s is in journal mode %s; want wal", name, mode)
		}
	}
}

// TestConnectionsSyncAtCheckpointsAndWaitForLocks: these settings belong to a connection, so one that is opened as Temporal
// opens its own writes down what it was given.
func TestConnectionsSyncAtCheckpointsAndWaitForLocks(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	db, err := temporalsql.NewSQLAdminDB(sqlplugin.DbKindMain, c.file("probe"), resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const given = "CREATE TABLE given AS SELECT synchronous || ' ' || timeout AS it FROM pragma_synchronous, pragma_busy_timeout"
	if err := db.Exec(given); err != nil {
		t.Fatal(err)
	}
	const normal = "1"
	if got := ask(t, c.path("probe"), "SELECT it FROM given"); got != normal+" 10000" {
		t.Errorf("synchronous and busy_timeout are %s; want %s 10000", got, normal)
	}
}

func ask(t *testing.T, path, question string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var answer string
	if err := db.QueryRow(question).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}
