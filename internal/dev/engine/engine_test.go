//go:build embedded

package engine_test

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/m3o/platform/internal/dev/engine"
)

// start runs an engine until the test ends.
func start(t *testing.T, dir string, port int) *engine.Engine {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.Config{Dir: dir, Port: port, Namespace: "m3o", Retention: 24 * time.Hour,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// TestEngineKeepsToItsFolder starts an engine twice, on a folder whose name has characters that mean something in
// URLs.
func TestEngineKeepsToItsFolder(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "it's #1? 50%25 a b"), freePort(t)
	for range 2 {
		e := start(t, dir, port)
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"executions.db", "visibility.db"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("beside its folder are %v, %v", left, err)
	}
}
