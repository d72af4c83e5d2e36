//go:build embedded && chaos

package spine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/m3o/platform/internal/sandbox/sandboxtest"
)

// localPlatform is what `make run` applies: a region on each cloud.
const localPlatform = "../../../deploy/local/platform.yaml"

// TestRealCloudsSurvive kills clouds' workers at random moments of apply and destroy of a region on each cloud, whose clusters are real.
// `m3o dev` starts each again. Every operation must complete, and everything be made once and deleted once.
func TestRealCloudsSurvive(t *testing.T) {
	p := start(t, settings{scale: 0.01, poll: "200ms", more: []string{"--split"}})
	workers, err := filepath.Glob(filepath.Join(p.dir, "run", "worker-cloud-*.pid"))
	for deadline := time.Now().Add(time.Minute); err == nil && len(workers) < 4 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		workers, err = filepath.Glob(filepath.Join(p.dir, "run", "worker-cloud-*.pid"))
	}
	if err != nil || len(workers) < 4 {
		t.Fatalf("the workers of clouds are %v, %v", workers, err)
	}
	file, killed, operations := localFile(t), 0, 0
	var accounts sandboxtest.Accounts
	for killed < *kills {
		for _, command := range []string{"apply", "destroy"} {
			killed += throughKills(t, p, workers, *kills-killed, command, "-f", file, "--yes")
			operations += 4
		}
		wrong, err := accounts.Read("http://127.0.0.1:" + strconv.Itoa(9000+p.offset))
		if err != nil || len(wrong) > 0 {
			t.Fatalf("the ledger: %v %v", err, wrong)
		}
		if left := accounts.Left(); len(left) > 0 {
			t.Fatalf("left over: %s", strings.Join(left, ", "))
		}
	}
	t.Logf("kills of workers: n=%d on real clusters; operations: %d, all completed; resources: %d created once, %d deleted once, 0 left", killed, operations, accounts.Created, accounts.Deleted)
}

// localFile is the local platform's file, where it is found from everywhere.
func localFile(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(localPlatform)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// throughKills runs a command that has to succeed, while workers are killed at random moments, up to a limit, and returns how many were.
func throughKills(t *testing.T, p *platform, workers []string, limit int, args ...string) (killed int) {
	t.Helper()
	done := make(chan result, 1)
	go func() { done <- p.command(t.Context(), args...) }()
	for {
		select {
		case r := <-done:
			if r.code != 0 {
				t.Fatalf("m3o %s: exit %d\n%s\n%s", strings.Join(args, " "), r.code, r.errs, r.out)
			}
			return killed
		case <-time.After(time.Second + rand.N(5*time.Second)):
		}
		if killed == limit {
			continue
		}
		victim := workers[rand.IntN(len(workers))]
		if err := killProcess(victim); err != nil {
			t.Errorf("kill %s: %v", victim, err)
		}
		killed++
	}
}

// killProcess kills the process whose number the file has, and waits until another has taken its place.
func killProcess(file string) error {
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(before)))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if now, err := os.ReadFile(file); err == nil && string(now) != string(before) && len(now) > 0 {
			return nil
		}
	}
	return fmt.Errorf("process %d is not started again", pid)
}
