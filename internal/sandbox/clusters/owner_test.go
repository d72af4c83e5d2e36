package clusters_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func (f *fixture) owner() string { return filepath.Join(f.folder(), "owner") }

// abandon makes the owner's last word an hour old.
func (f *fixture) abandon() {
	f.t.Helper()
	then := time.Now().Add(-time.Hour)
	must(f.t, os.Chtimes(f.owner(), then, then))
}

// wantOwner checks that the file was touched a moment ago.
func (f *fixture) wantOwner(when string) {
	f.t.Helper()
	info, err := os.Stat(f.owner())
	must(f.t, err)
	if age := time.Since(info.ModTime()); age > 10*time.Second {
		f.t.Errorf("%s, the owner's last word is %s old", when, age)
	}
	text, err := os.ReadFile(f.owner())
	must(f.t, err)
	if string(text) != strconv.Itoa(os.Getpid())+"\n" {
		f.t.Errorf("%s, the owner is %q", when, text)
	}
}

func TestClustersHaveAnOwner(t *testing.T) {
	f := newFixture(t)
	f.apply("a")
	f.wantOwner("at the start")
	f.abandon()
	must(t, f.Own())
	f.wantOwner("after another word")

	f.abandon()
	f.reopen()
	f.apply("a")
	f.wantOwner("when a running cluster is found again")

	f.abandon()
	must(t, os.WriteFile(f.owner(), []byte("1\n"), 0o600)) // by a sandbox that was killed
	f.abandon()
	f.reopen()
	must(t, f.Own()) // also if nobody wants the cluster any more
	f.wantOwner("after a restart")
}

// A cluster that was stopped because nobody owned it must find an owner when it is started again, or it would stop again.
func TestOwnerIsThereBeforeTheCluster(t *testing.T) {
	f := newFixture(t)
	f.waitReady("a")
	must(t, f.StopAll(t.Context()))
	f.abandon()
	must(t, os.WriteFile(filepath.Join(f.folder(), "needs-owner"), nil, 0o600))
	f.reopen()
	f.waitReady("a")
	log, err := os.ReadFile(filepath.Join(f.folder(), "log"))
	must(t, err)
	if strings.Contains(string(log), "nobody owns the cluster") {
		t.Error("it was started before it had an owner")
	}
}

func TestStoppedClusterIsLeftAlone(t *testing.T) {
	f := newFixture(t)
	f.waitReady("a")
	must(t, os.Mkdir(filepath.Join(f.dir, "something-else"), 0o700))
	must(t, os.WriteFile(filepath.Join(f.dir, "file"), nil, 0o600))
	must(t, f.StopAll(t.Context()))
	f.abandon()
	must(t, f.Own())
	if info, err := os.Stat(f.owner()); err != nil || time.Since(info.ModTime()) < time.Minute {
		t.Errorf("a cluster that was stopped is told that it has an owner: %v", err)
	}
	must(t, f.Remove(t.Context(), id))
	must(t, f.Own())
	if entries, err := os.ReadDir(f.dir); err != nil || len(entries) != 2 {
		t.Errorf("there are %v, %v", entries, err)
	}
}
