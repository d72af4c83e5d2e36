package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
)

// The project of a world, as the database and the clusters have it.

func (w *world) Project(_ context.Context, name string) (account.Project, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.project.Name != name {
		return account.Project{}, fault.New(fault.NotFound, "there is no project %q", name)
	}
	return w.project, nil
}

func (w *world) RecordSuspension(_ context.Context, in account.SuspendInput) (account.Project, error) {
	if err := w.call("RecordSuspension", string(in.Reason)); err != nil {
		return account.Project{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.project.Version++
	w.project.Suspensions = slices.DeleteFunc(slices.Clone(w.project.Suspensions), func(s account.Suspension) bool { return s.Reason == in.Reason })
	if !in.Lift {
		w.project.Suspensions = append(w.project.Suspensions, account.Suspension{Reason: in.Reason, By: in.By})
	}
	return w.project, nil
}

func (w *world) BeginRemoval(_ context.Context, in account.RemoveInput) (account.Project, error) {
	if err := w.call("BeginRemoval", in.Project); err != nil {
		return account.Project{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.project.Status = account.ProjectRemoving
	return w.project, nil
}

func (w *world) ServicesOf(_ context.Context, project string) ([]release.Key, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []release.Key
	for key, s := range w.services {
		if key.Project == project && s.Status != release.Killed {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (w *world) EraseProject(_ context.Context, name, _ string) error {
	if err := w.call("EraseProject", name); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.project = account.Project{}
	return nil
}

func (w *world) SuspendedOn(context.Context, string) ([]account.Project, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.project.Suspensions) == 0 {
		return nil, nil
	}
	return []account.Project{w.project}, nil
}

func (w *world) ProjectsChanged(_ context.Context, project string) error {
	return w.call("ProjectsChanged", project)
}

func (w *world) CurrentAlerts(_ context.Context, project string) ([]alert.Alert, error) {
	return []alert.Alert{{Project: project, Group: "disk full", Number: 7, Status: alert.Open}, {Project: project, Group: "gone", Number: 8, Status: alert.Open}}, nil
}

func (w *world) CommandAlert(_ context.Context, id, _, group, update string, in alert.Command) (alert.Alert, error) {
	if group == "gone" {
		return alert.Alert{}, fault.New(fault.NotFound, "no alert of the group is current")
	}
	return alert.Alert{Number: in.Number, Status: alert.Closed}, w.call(update+"Alert", id)
}

// KillService is a service that goes at once, for workflows that are alone.
func (w *world) KillService(_ context.Context, id string, key release.Key, _ release.KillInput) (release.Accepted, error) {
	if err := w.call("KillService", id); err != nil {
		return release.Accepted{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.services[key]
	s.Status = release.Killed
	w.services[key] = s
	return release.Accepted{Service: key}, nil
}

func (s services) MarkProject(_ context.Context, in activities.StandingIn) error {
	if err := s.w.call("MarkProject", in.Region.Name); err != nil {
		return refused(err)
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var is string
	var has int64
	if _, err := fmt.Sscan(s.w.marks[in.Region.Name], &is, &has); err == nil && has >= in.Standing.Version {
		return nil
	}
	if is = "active"; in.Standing.Suspended {
		is = "suspended"
	}
	s.w.marks[in.Region.Name] = fmt.Sprintf("%s %d", is, in.Standing.Version)
	return nil
}

func (s services) MarkProjects(ctx context.Context, in activities.StandingsIn) error {
	for _, standing := range in.Standings {
		if err := s.MarkProject(ctx, activities.StandingIn{Region: in.Region, Standing: standing}); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) RemoveSources(_ context.Context, project string) error {
	return w.call("RemoveSources", project)
}

func (s services) DeleteProject(_ context.Context, in activities.ProjectIn) error {
	return refused(s.w.call("DeleteProject", in.Region.Name))
}

func suspend(reason account.Reason, lift bool) account.SuspendInput {
	return account.SuspendInput{Project: hello.Project, Reason: reason, Lift: lift, By: "ada"}
}

func TestASuspensionComesToEveryRegion(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.fails("MarkProject nyc3", 1, fault.New(fault.Failed, "it took longer than 10m0s"))
	p := newPlay(t, w)
	first := p.command(0, account.SuspendUpdate, "a", suspend(account.ByOperator, false))
	if err := p.run(account.SuspendWorkflow, account.ProjectInput{Project: hello.Project}); err != nil {
		t.Fatal(err)
	}
	first.ok(t)
	if w.marks["lon1"] != "suspended 1" || w.marks["nyc3"] != "suspended 1" {
		t.Errorf("regions know %v", w.marks)
	}
}

func TestTheNewestStandingWins(t *testing.T) {
	w := worldWith("lon1")
	p := newPlay(t, w)
	w.later("MarkProject lon1", time.Minute)
	p.command(0, account.SuspendUpdate, "a", suspend(account.ByOperator, false))
	p.command(time.Second, account.SuspendUpdate, "b", suspend(account.ByDunning, false))
	p.command(2*time.Second, account.SuspendUpdate, "c", suspend(account.ByOperator, true))
	p.command(3*time.Second, account.SuspendUpdate, "d", suspend(account.ByDunning, true))
	if err := p.run(account.SuspendWorkflow, account.ProjectInput{Project: hello.Project}); err != nil {
		t.Fatal(err)
	}
	if w.marks["lon1"] != "active 4" {
		t.Errorf("the region knows %v", w.marks)
	}
}

// TestARegionThatIsAwayDelaysNoOther: what is newer comes to the regions that are there while one has not heard of the older.
func TestARegionThatIsAwayDelaysNoOther(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.later("MarkProject nyc3", time.Minute)
	p := newPlay(t, w)
	p.command(0, account.SuspendUpdate, "a", suspend(account.ByOperator, false))
	p.command(5*time.Second, account.SuspendUpdate, "b", suspend(account.ByOperator, true))
	var soon string
	p.at(6*time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		soon = w.marks["lon1"]
	})
	if err := p.run(account.SuspendWorkflow, account.ProjectInput{Project: hello.Project}); err != nil {
		t.Fatal(err)
	}
	if soon != "active 2" || w.marks["nyc3"] != "active 2" {
		t.Errorf("lon1 knew %q in time, and at last regions know %v", soon, w.marks)
	}
}

func TestAProjectThatIsBeingRemovedIsMarkedNowhere(t *testing.T) {
	w := worldWith("lon1")
	w.project.Suspensions, w.project.Version = []account.Suspension{{Reason: account.ByCap}}, 7
	w.fails("MarkProject lon1", 50, fault.New(fault.Failed, "the region is away"))
	p := newPlay(t, w)
	p.at(time.Hour, func() {
		w.mu.Lock()
		w.project.Status = account.ProjectRemoving
		w.mu.Unlock()
		p.SignalWorkflow(account.ChangedSignal, nil)
	})
	if err := p.run(account.SuspendWorkflow, account.ProjectInput{Project: hello.Project}); err != nil {
		t.Fatal(err)
	}
	if len(w.marks) > 0 || len(w.failing["MarkProject lon1"]) == 0 {
		t.Errorf("regions know %v, with %d attempts left", w.marks, len(w.failing["MarkProject lon1"]))
	}
}

func TestASuspensionContinuesAsNewWhileARegionIsAway(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.fails("MarkProject nyc3", 50, fault.New(fault.Failed, "the region is away"))
	p := newPlay(t, w)
	p.command(0, account.SuspendUpdate, "a", suspend(account.ByOperator, false))
	p.at(time.Hour, func() { p.SetContinueAsNewSuggested(true) })
	var next *workflow.ContinueAsNewError
	if err := p.run(account.SuspendWorkflow, account.ProjectInput{Project: hello.Project}); !errors.As(err, &next) {
		t.Fatalf("it ended with %v", err)
	}
	w.failing = map[string][]error{}
	if err := newPlay(t, w).run(account.SuspendWorkflow, carried[account.ProjectInput](t, next)); err != nil {
		t.Fatal(err)
	}
	if w.marks["lon1"] != "suspended 1" || w.marks["nyc3"] != "suspended 1" {
		t.Errorf("after the next run regions know %v", w.marks)
	}
}

func TestARemovalContinuesAsNewWhileItWaits(t *testing.T) {
	w := worldWith("lon1")
	w.fails("DeleteProject lon1", 5, fault.New(fault.Failed, "the namespace does not go"))
	p := newPlay(t, w)
	p.command(0, account.RemoveUpdate, "a", account.RemoveInput{Project: hello.Project, By: "ada"})
	p.at(5*time.Second, func() { p.SetContinueAsNewSuggested(true) })
	var next *workflow.ContinueAsNewError
	if err := p.run(account.RemoveWorkflow, account.RemovalInput{Project: hello.Project}); !errors.As(err, &next) {
		t.Fatalf("it ended with %v", err)
	}
	in := carried[account.RemovalInput](t, next)
	if want := (account.RemovalInput{Project: hello.Project, Status: account.RemovalClosed, By: "ada", Round: 1}); in != want {
		t.Errorf("it carries %+v, want %+v", in, want)
	}
	w.failing = map[string][]error{}
	p = newPlay(t, w) // the next run, which nobody commands
	if err := p.run(account.RemoveWorkflow, in); err != nil {
		t.Fatal(err)
	}
	if w.project.Name != "" {
		t.Errorf("left is %+v", w.project)
	}
}

// TestServicesGoToARegionThatKnowsWhoIsSuspended: also when the marks need a while there.
func TestServicesGoToARegionThatKnowsWhoIsSuspended(t *testing.T) {
	w := newWorld()
	w.services[hello] = serviceRow()
	w.project.Suspensions, w.project.Version = []account.Suspension{{Reason: account.ByCap}}, 7
	w.fails("MarkProject lon1", 1, fault.New(fault.Unavailable, "the cluster is away"))
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	same(t, "it did", w.did("MarkProject", "ProjectsChanged", "RegionReady"), "MarkProject lon1, MarkProject lon1, ProjectsChanged default, RegionReady hello lon1")
	same(t, "lon1 knows", w.marks["lon1"], "suspended 7")
}

func TestARegionThatCannotMarkWhoIsSuspendedTakesServicesAllTheSame(t *testing.T) {
	w := newWorld()
	w.services[hello] = serviceRow()
	w.project.Suspensions = []account.Suspension{{Reason: account.ByCap}}
	w.fails("MarkProject lon1", 1, fault.New(fault.Failed, "it took longer than 10m0s"))
	p := newPlay(t, w)
	p.command(0, region.ApplyUpdate, "a", wants(1))
	p.removedAt(time.Hour)
	if err := p.operated(region.OperateInput{}); err != nil {
		t.Fatal(err)
	}
	same(t, "it did", w.did("MarkProject", "ProjectsChanged", "RegionReady"), "MarkProject lon1, ProjectsChanged default, RegionReady hello lon1")
}

func TestARegionThatBecomesReadyLearnsOfASuspension(t *testing.T) {
	w := worldWith("lon1")
	w.project.Suspensions = []account.Suspension{{Reason: account.ByCap}}
	w.project.Version = 7
	p := newPlay(t, w)
	p.at(0, func() { p.SignalWorkflow(account.ChangedSignal, nil) })
	if err := p.run(account.SuspendWorkflow, account.ProjectInput{Project: hello.Project}); err != nil {
		t.Fatal(err)
	}
	if w.marks["lon1"] != "suspended 7" {
		t.Errorf("the region knows %v", w.marks)
	}
}

func TestAProjectIsRemovedWithEverything(t *testing.T) {
	w := worldWith("lon1", "nyc3")
	w.services[hello] = release.Service{Key: hello, Status: release.Running}
	w.fails("KillService project/default/remove/1/hello", 1, fault.New(fault.Conflict, "another kill is at work"))
	w.fails("DeleteProject nyc3", 1, fault.New(fault.Failed, "the namespace does not go"))
	p := newPlay(t, w)
	command := p.command(0, account.RemoveUpdate, "a", account.RemoveInput{Project: hello.Project, Cascade: true, By: "ada"})
	again := p.command(time.Second, account.RemoveUpdate, "b", account.RemoveInput{Project: hello.Project, Cascade: true, By: "ada"})
	var waiting account.Removal
	p.at(10*time.Second, func() {
		value, err := p.QueryWorkflow(account.ProgressQuery)
		if err != nil || value.Get(&waiting) != nil {
			t.Errorf("the query failed: %v", err)
		}
	})
	if err := p.run(account.RemoveWorkflow, account.ProjectInput{Project: hello.Project}); err != nil {
		t.Fatal(err)
	}
	command.ok(t)
	again.ok(t)
	if waiting.Stage != "services" || !strings.Contains(waiting.Waiting, "another kill is at work. Retry in 1m0s") {
		t.Errorf("it said that it waits for %+v", waiting)
	}
	want := "BeginRemoval default, ProjectsChanged default, AwaitWorkflow project/default/suspension, KillService project/default/remove/1/hello, BeginRemoval default, KillService project/default/remove/2/hello, "
	got := w.did("BeginRemoval", "ProjectsChanged", "AwaitWorkflow", "KillService", "DeleteProject", "RemoveSources", "ResolveAlert", "EraseProject")
	if !strings.HasPrefix(got, want) || strings.Count(got, "DeleteProject lon1") != 2 || strings.Count(got, "DeleteProject nyc3") != 2 || !strings.HasSuffix(got, "RemoveSources default, ResolveAlert project/default/remove/alert/7, EraseProject default") {
		t.Errorf("it did %s", got)
	}
}

func TestARemovalThatIsRefusedEnds(t *testing.T) {
	w := worldWith("lon1")
	w.fails("BeginRemoval default", 1, fault.New(fault.Conflict, "project \"default\" has services: hello"))
	p := newPlay(t, w)
	command := p.command(0, account.RemoveUpdate, "a", account.RemoveInput{Project: hello.Project, By: "ada"})
	if err := p.run(account.RemoveWorkflow, account.ProjectInput{Project: hello.Project}); err != nil {
		t.Fatal(err)
	}
	if command.Err == nil || !strings.Contains(command.Err.Error(), "has services: hello") || w.did("EraseProject", "DeleteProject") != "" {
		t.Errorf("answered %v, and did %s", command.Err, w.did("EraseProject", "DeleteProject"))
	}
}
