package cluster

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestIndexesAreKeptAndFreed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes.json")
	assign := func(name string, want int) {
		t.Helper()
		x, err := openIndexes(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.assign(name); err != nil || got != want {
			t.Fatalf("%s has index %d, %v, not %d", name, got, err, want)
		}
	}
	assign("a", 1)
	assign("b", 2)
	assign("c", 3)
	assign("b", 2)
	x, err := openIndexes(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.free("b"); err != nil {
		t.Fatal(err)
	}
	assign("c", 3)
	assign("d", 2)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openIndexes(path); err == nil {
		t.Fatal("a broken file is taken")
	}
}

func TestIndexesEnd(t *testing.T) {
	x := &indexes{path: filepath.Join(t.TempDir(), "nodes.json"), nodes: map[string]int{}}
	for i := range maxNodes {
		x.nodes[string(rune('a'+i))] = i + 1
	}
	if index, err := x.assign("one more"); err == nil {
		t.Fatalf("a node too many has index %d", index)
	}
}

func TestAStageThatTakesTooLongEndsTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.json")
	exited := make(chan int, 1)
	d := &deadline{report: newReporter(path), logger: slog.New(slog.DiscardHandler), exit: func(code int) { exited <- code }}
	d.expect("come up", time.Nanosecond)
	if code := <-exited; code != 1 {
		t.Errorf("the exit code is %d", code)
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "the cluster did not come up within 1ns") {
		t.Errorf("the status is %s, %v", data, err)
	}
	d.expect("come up", time.Hour)
	first := d.timer
	d.expect("go down", time.Hour)
	second := d.timer
	d.met()
	if first.Stop() || second.Stop() {
		t.Error("the time of a stage that ended runs on")
	}
}

func TestNodePatch(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Labels:      map[string]string{"kubernetes.io/os": "linux", "old": "1", "changed": "1", "kept": "1"},
		Annotations: map[string]string{ownedLabels: "changed,kept,old", "other": "x"},
	}}
	wanted := map[string]string{"changed": "2", "kept": "1", "new": ""}
	patch := nodePatch(node, wanted)
	labels := map[string]any{"changed": "2", "new": "", "old": nil}
	if !reflect.DeepEqual(patch["labels"], labels) {
		t.Errorf("labels are patched with %v, not %v", patch["labels"], labels)
	}
	annotations := map[string]any{
		ownedLabels: "changed,kept,new", "m3o.dev/enforces-network-policy": "false", "m3o.dev/enforces-limits": "memory",
	}
	if !reflect.DeepEqual(patch["annotations"], annotations) {
		t.Errorf("annotations are patched with %v", patch["annotations"])
	}
	node.Labels = map[string]string{"kubernetes.io/os": "linux", "changed": "2", "kept": "1", "new": ""}
	for key, value := range annotations {
		node.Annotations[key] = value.(string)
	}
	if patch := nodePatch(node, wanted); patch != nil {
		t.Errorf("a node as wanted is patched with %v", patch)
	}
}

func TestWatchSendsValidSpecsOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.json")
	write := func(text string) {
		t.Helper()
		if err := replaceFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	const valid = `{"name": "lon1", "version": "1.37", "loadBalancerCIDR": "127.18.4.0/24"}`
	write(valid)
	specs := watchSpec(t.Context(), path, slog.New(slog.DiscardHandler))
	expect := func(name string) {
		t.Helper()
		select {
		case spec := <-specs:
			if spec.Name != name {
				t.Fatalf("cluster %q came, not %q", spec.Name, name)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("cluster %q did not come", name)
		}
	}
	expect("lon1")
	for _, bad := range []string{"{", `{"name": "lon1", "colour": "red"}`, `{"name": "lon1", "version": "9.9"}`} {
		write(bad)
		time.Sleep(2 * specPoll)
	}
	write(`{"name": "lon2", "version": "1.37", "loadBalancerCIDR": "127.18.4.0/24"}`)
	expect("lon2")
}

func TestOwnerWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "owner")
	w := ownerWatch{path: path, limit: 10 * time.Minute}
	begin := time.Now()
	look := func(after time.Duration, want bool) {
		t.Helper()
		if got := w.abandoned(begin.Add(after)); got != want {
			t.Fatalf("after %s the cluster is abandoned: %v", after, got)
		}
	}
	touch := func(modified time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, modified, modified)); err != nil {
			t.Fatal(err)
		}
	}
	look(0, false)
	look(time.Hour, false) // nobody ever touched it
	look(time.Hour+time.Minute, false)
	touch(begin.Add(-time.Hour))
	look(2*time.Hour, false) // old by the clock, but we have only begun to look
	look(2*time.Hour+10*time.Minute, false)
	look(2*time.Hour+11*time.Minute, false) // late once
	touch(begin)
	look(2*time.Hour+12*time.Minute, false)
	look(2*time.Hour+22*time.Minute, false)
	look(2*time.Hour+23*time.Minute, false)
	look(2*time.Hour+24*time.Minute, true)
	touch(begin.Add(time.Minute))
	look(3*time.Hour, false)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look(3*time.Hour+time.Minute, false)
	look(3*time.Hour+11*time.Minute, false)
	look(3*time.Hour+12*time.Minute, true)
}

func TestLockIsOne(t *testing.T) {
	path := t.TempDir()
	first, err := openDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDirectory(path); err == nil {
		t.Fatal("two hold the directory")
	}
	token, err := first.adminToken()
	if err != nil || len(token) != 64 {
		t.Fatalf("the token has %d characters, %v", len(token), err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	second, err := openDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	if again, err := second.adminToken(); err != nil || again != token {
		t.Fatalf("the token changed, %v", err)
	}
	if info, err := os.Stat(second.token()); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the token's file is %v, %v", info, err)
	}
}

// What a node wrote into its directory does not lead the cluster to other files.
func TestHandingOverFollowsNoLinks(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"node.json", "node.json.new"} {
		if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "pki")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := handOver(root, "node.json", []byte("configuration")); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "node.json")); err != nil || string(data) != "configuration" {
		t.Errorf("the node reads %q, %v", data, err)
	}
	if err := handOver(root, filepath.Join("pki", "precious"), []byte("a key")); err == nil {
		t.Error("a folder that leads elsewhere was written into")
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "precious" {
		t.Errorf("the other file has %q, %v", data, err)
	}
}
