package activities

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"go.temporal.io/sdk/testsuite"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

type offers struct{ cloud.Account }

func (offers) Preflight(context.Context, region.Spec, *region.Spec) (region.Preflight, error) {
	return region.Preflight{Monthly: region.Cost{Amount: "12.00"}}, nil
}

// What the platform itself lacks is said before anything is made and paid for.
func TestAnImageThatNobodyNamedStandsInTheWay(t *testing.T) {
	want := region.Spec{Platform: "micro", Name: "lon1", Network: []region.Part{region.API}}
	pinned := "registry/m3o@sha256:" + strings.Repeat("a", 64)
	for reference, words := range map[string]string{"": "images.api: names no image", "registry/m3o:latest": "is not pinned", pinned: ""} {
		a := Accounts{Cloud: offers{}, Wanted: cluster.Parts{Images: map[region.Part]string{region.API: reference}}}
		found, err := a.Preflight(t.Context(), PreflightInput{Want: want})
		if err != nil || found.Monthly.Amount != "12.00" {
			t.Fatalf("%+v, %v", found, err)
		}
		if words == "" && len(found.Obstacles) > 0 || words != "" && (len(found.Obstacles) != 1 || !strings.Contains(found.Obstacles[0].Message, words)) {
			t.Errorf("of %q it is said: %+v", reference, found.Obstacles)
		}
	}
}

// A database puts names in an order of its own ("a-c" after "ab" in English).
func TestAServiceIsToldWhateverOrderTheListIsIn(t *testing.T) {
	key := func(name string) release.Service {
		return release.Service{Key: release.Key{Project: "default", Name: name}}
	}
	list := announced{key("ab"), key("a-c"), key("zz")}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	told := &teller{}
	env.RegisterActivity(&Operators{Services: told, Projects: told, List: list})
	env.SetHeartbeatDetails(release.Key{Project: "default", Name: "a-c"}) // the first of them, by their bytes
	if _, err := env.ExecuteActivity("AnnounceReady", Announcement{Key: region.Key{Platform: "micro", Name: "lon1"}, Cluster: "k8s"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"bank changed", "shop changed", "ab micro/lon1 k8s", "zz micro/lon1 k8s"}; !reflect.DeepEqual(told.facts, want) {
		t.Errorf("after a-c it told %v, want %v", told.facts, want)
	}
}

// TestAnAnnouncementGoesOnWhereItStopped: suspended projects may be many, and are told each once.
func TestAnAnnouncementGoesOnWhereItStopped(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	told := &teller{}
	env.RegisterActivity(&Operators{Services: told, Projects: told, List: announced{{Key: release.Key{Project: "default", Name: "ab"}}}})
	env.SetHeartbeatDetails(heard{Suspended: "bank"})
	if _, err := env.ExecuteActivity("AnnounceReady", Announcement{Key: region.Key{Platform: "micro", Name: "lon1"}}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"shop changed", "ab micro/lon1 "}; !reflect.DeepEqual(told.facts, want) {
		t.Errorf("after bank it told %q, want %q", told.facts, want)
	}
}

type announced []release.Service

func (a announced) ServicesOn(context.Context, string) ([]release.Service, error) { return a, nil }
func (a announced) SuspendedOn(context.Context, string) ([]account.Project, error) {
	return []account.Project{{Name: "shop"}, {Name: "bank"}}, nil
}

type teller struct{ facts []string }

func (t *teller) RegionReady(_ context.Context, key release.Key, fact release.RegionFact) error {
	t.facts = append(t.facts, key.Name+" "+fact.Region+" "+fact.Cluster)
	return nil
}

func (t *teller) ProjectsChanged(_ context.Context, project string) error {
	t.facts = append(t.facts, project+" changed")
	return nil
}

func (t *teller) RegionRemoved(context.Context, release.Key, release.RegionFact) error { return nil }
