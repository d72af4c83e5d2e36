//go:build embedded

package engine_test

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// TestEngineKeepsToItsFolderAndItsPort starts an engine twice, on a folder whose name has characters that mean something in
// URLs. Pods reach all ports of 127.0.0.1 but those that are closed to them, and only this one is.
func TestEngineKeepsToItsFolderAndItsPort(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "it's #1? 50%25 a b"), freePort(t)
	for range 2 {
		e := start(t, dir, port)
		if open := listening(t); !slices.Equal(open, []string{fmt.Sprintf("0100007F:%04X", port)}) {
			t.Errorf("the engine listens on %v, and not on %04X alone", open, port)
		}
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

// listening are the TCP addresses of 127.0.0.1 on which this process listens, as the kernel writes them.
func listening(t *testing.T) []string {
	t.Helper()
	ours := map[string]bool{}
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			ours[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		const address, state, inode, listens = 1, 3, 9, "0A"
		fields := strings.Fields(lines.Text())
		if len(fields) > inode && fields[state] == listens && ours[fields[inode]] && strings.HasPrefix(fields[address], "0100007F:") {
			found = append(found, fields[address])
		}
	}
	return found
}
