package activities

import (
	"path/filepath"
	"slices"
	"testing"

	"go.temporal.io/sdk/testsuite"

	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/store"
)

// TestAProjectsServicesGoToItsPlatformAlone: two platforms have a ready region each, of the same name.
func TestAProjectsServicesGoToItsPlatformAlone(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, platform := range []string{"micro", "macro"} {
		r := region.Region{Spec: region.Spec{Platform: platform, Name: "lon1"}, Status: region.Ready, Served: true, Version: 1,
			Endpoints: region.Endpoints{API: "http://" + platform + "/"}}
		if err := db.RecordRegion(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if _, err := db.CreateProject(t.Context(), "on-"+platform, platform, "ada"); err != nil {
			t.Fatal(err)
		}
	}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(&Releases{Records: db})
	for _, list := range []string{"ListPlaces", "ListHolders"} {
		for project, want := range map[string][]string{"on-micro": {"micro/lon1"}, "on-macro": {"macro/lon1"}, "default": nil} {
			var places []region.Region
			value, err := env.ExecuteActivity(list, project)
			if err != nil || value.Get(&places) != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range places {
				names = append(names, p.Spec.Key().String())
			}
			if !slices.Equal(names, want) {
				t.Errorf("%s: the places of %s are %v, want %v", list, project, names, want)
			}
		}
		if _, err := env.ExecuteActivity(list, "nowhere"); err == nil {
			t.Errorf("%s of a project that is not there: %v", list, err)
		}
	}
}
