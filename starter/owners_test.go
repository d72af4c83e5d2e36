package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
)

// given notes who was given an owner; regions cannot be.
type given []string

func (g *given) OwnRegion(context.Context, region.Key) error {
	return errors.New("Temporal is away")
}

func (g *given) OwnService(_ context.Context, key release.Key) error {
	*g = append(*g, "service "+key.String())
	return nil
}

func (g *given) ProjectsChanged(_ context.Context, project string) error {
	*g = append(*g, "suspended "+project)
	return nil
}

func (g *given) RemoveProject(_ context.Context, id string, in account.RemoveInput) (account.Project, error) {
	*g = append(*g, "removing "+in.Project+" "+id)
	return account.Project{}, nil
}

// TestWhatLostItsWorkflowGetsOne: everything does, whatever else could not be given one.
func TestWhatLostItsWorkflowGetsOne(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	t.Cleanup(func() { _ = db.Close() })
	must(db.Migrate(t.Context()))
	must(db.RecordRegion(t.Context(), region.Region{Spec: region.Spec{Platform: "micro", Name: "lon1"}, Status: region.Ready, Version: 1}))
	for _, name := range []string{"active", "ending", "shop"} {
		_, err := db.CreateProject(t.Context(), name, "micro", "ada")
		must(err)
	}
	_, err = db.RecordSuspension(t.Context(), account.SuspendInput{Project: "shop", Reason: account.ByCap})
	must(err)
	_, err = db.BeginRemoval(t.Context(), account.RemoveInput{Project: "ending"})
	must(err)
	must(db.RecordService(t.Context(), release.Service{Key: release.Key{Project: "active", Name: "hello"}, Status: release.Running, Version: 1}))
	var got given
	if err := ownAll(t.Context(), db, &got); err == nil || !strings.Contains(err.Error(), "give region micro/lon1 its owner: Temporal is away") {
		t.Errorf("it said %v", err)
	}
	if want := (given{"service active/hello", "removing ending project/ending/remove/recovery", "suspended shop"}); !slices.Equal(got, want) {
		t.Errorf("given were %q, want %q", got, want)
	}
}
