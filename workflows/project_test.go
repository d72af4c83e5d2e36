package workflows_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
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

func (w *world) SuspendedOn(context.Context, string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.project.Suspensions) == 0 {
		return nil, nil
	}
	return []string{w.project.Name}, nil
}

func (w *world) ProjectsChanged(_ context.Context, project string) error {
	return w.call("ProjectsChanged", project)
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
	is := "active"
	if in.Standing.Suspended {
		is = "suspended"
	}
	s.w.marks[in.Region.Name] = fmt.Sprintf("%s %d", is, in.Standing.Version)
	return nil
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
	w.later("MarkProject lon1", 10*time.Second)
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
	want := "BeginRemoval default, KillService project/default/remove/1/hello, BeginRemoval default, KillService project/default/remove/2/hello, "
	got := w.did("BeginRemoval", "KillService", "DeleteProject", "EraseProject")
	if !strings.HasPrefix(got, want) || strings.Count(got, "DeleteProject lon1") != 2 || strings.Count(got, "DeleteProject nyc3") != 2 || !strings.HasSuffix(got, "EraseProject default") {
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
