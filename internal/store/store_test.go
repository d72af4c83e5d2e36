package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// These tests run on SQLite, and with the build tag postgres on a PostgreSQL that they start. database says on which.

// fresh opens a new database with the schema.
func fresh(t *testing.T) *store.Store {
	t.Helper()
	s := open(t, database(t))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantFault fails unless err is of the kind and its message holds the words.
func wantFault(t *testing.T, err error, kind fault.Kind, words ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Fatalf("got %v (%s), want a fault of kind %s", err, fault.Of(err), kind)
	}
	for _, w := range words {
		if !strings.Contains(fault.Message(err), w) {
			t.Errorf("message %q lacks %q", fault.Message(err), w)
		}
	}
}

func lon1() region.Region {
	spec := region.Spec{Platform: "micro", Domain: "micro.mu", Name: "lon1", Provider: region.DigitalOcean, Location: "lon1",
		Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 3, Size: "s-2vcpu-4gb"}},
		Resource:   []region.Part{region.Etcd}, Network: []region.Part{region.API}}
	return region.Region{Spec: spec, Status: region.Creating, Version: 1}
}

var hello = release.Key{Project: "default", Name: "hello"}

func request(key release.Key) release.Request {
	return release.Request{Service: key, Origin: release.Origin{Image: "registry/hello@sha256:1"}, By: "ada",
		Spec: release.Spec{Access: release.Public, Port: 8080, Replicas: 2, Env: map[string]string{"QUOTE": `it's "?" \x00 ü`}}}
}

func TestURLsThatCannotBeUsedAreRefused(t *testing.T) {
	for _, url := range []string{"", "mysql://x", "sqlite://relative.db", "sqlite:///a/folder/", "sqlite:///x.db?_pragma=x", "postgres://:bad port/", "::"} {
		_, err := store.Open(t.Context(), url)
		wantFault(t, err, fault.Invalid)
	}
}

func TestErrorsNeverRepeatThePassword(t *testing.T) {
	for _, url := range []string{"postgres://m3o:hunter2@127.0.0.1:1/x?connect_timeout=1", "postgres://m3o:hunter2@/?sslmode=odd", "postgres://m3o:hunter2@%zz/"} {
		_, err := store.Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

func TestADatabaseWithoutSchemaSaysWhatToDo(t *testing.T) {
	s := open(t, database(t))
	wantFault(t, s.Ping(t.Context()), fault.Failed, "m3o migrate")
	wantFault(t, s.RecordRegion(t.Context(), lon1()), fault.Failed, "m3o migrate")
	must(t, s.Migrate(t.Context()))
	must(t, s.Migrate(t.Context()))
	must(t, s.Ping(t.Context()))
}

func TestProcessesMayMigrateAtTheSameTime(t *testing.T) {
	url := database(t)
	var stores []*store.Store
	for range 4 {
		stores = append(stores, open(t, url))
	}
	var wg sync.WaitGroup
	errs := make([]error, len(stores))
	for i, s := range stores {
		wg.Go(func() { errs[i] = s.Migrate(t.Context()) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	must(t, stores[0].Ping(t.Context()))
	must(t, stores[0].RecordRegion(t.Context(), lon1()))
}

func TestWatchersAreToldOfCommits(t *testing.T) {
	s := fresh(t)
	signal, stop := s.Watch()
	must(t, s.RecordRegion(t.Context(), lon1()))
	select {
	case <-signal:
	case <-time.After(10 * time.Second):
		t.Fatal("no signal")
	}
	stop()
	must(t, s.EnsureProject(t.Context(), "other"))
	select {
	case <-signal:
		t.Fatal("a signal after the watch ended")
	default:
	}
}

func TestACancelledCallChangesNothing(t *testing.T) {
	s := fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.RecordRegion(ctx, lon1()); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	_, err := s.Region(t.Context(), lon1().Spec.Key())
	wantFault(t, err, fault.NotFound)
}
