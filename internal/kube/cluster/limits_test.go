package cluster_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/kube/node"
)

// podsAreNobody: whatever user a pod thinks it is, on the machine it is the caller,
// and where that is root another user, who owns nothing there.
func podsAreNobody(t *testing.T, w *world) {
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 && !aloneInNamespace(t) {
		uid, gid = 65532, 65532
	}
	pids := append(podProcesses(t, w.dir), nodeProcess(t, w.dir, "node-a"), nodeProcess(t, w.dir, "node-b"))
	if len(pids) < 4 {
		t.Fatalf("the processes of nodes and pods are %v", pids)
	}
	for _, pid := range pids {
		status := statusOf(t, pid)
		if got, want := status["Uid"], strings.Fields(strings.Repeat(strconv.Itoa(uid)+" ", 4)); !equal(got, want) {
			t.Errorf("process %d has the user ids %v on the machine, not %v", pid, got, want)
		}
		if got, want := status["Gid"], strings.Fields(strings.Repeat(strconv.Itoa(gid)+" ", 4)); !equal(got, want) {
			t.Errorf("process %d has the group ids %v on the machine, not %v", pid, got, want)
		}
		if got := status["Groups"]; uid == 65532 && len(got) > 0 {
			t.Errorf("process %d has root's groups %v", pid, got)
		}
	}
	// Inside, root is root of what the image holds.
	if _, err := w.ask(t.Context(), "client", "/write?path=/made-by-root&data=x"); err != nil {
		t.Errorf("root cannot write into its own file system: %v", err)
	}
	if owner, _, given := node.Owner(); owner != uid || given != (uid == 65532) {
		t.Errorf("nodes' files belong to %d, given away: %v", owner, given)
	}
}

// aloneInNamespace says that the test runs in a user namespace of one user: root
// has nobody there to give its place to.
func aloneInNamespace(t *testing.T) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data))
	return len(fields) == 3 && fields[2] == "1"
}

func equal(a, b []string) bool { return strings.Join(a, " ") == strings.Join(b, " ") }

// statusOf reads /proc/PID/status.
func statusOf(t *testing.T, pid int) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	status := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		name, values, _ := strings.Cut(line, ":")
		status[name] = strings.Fields(values)
	}
	return status
}
