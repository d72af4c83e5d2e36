package workflows_test

import (
	"errors"
	"strings"
	"testing"

	"go.temporal.io/sdk/temporal"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

func (p *play) planned(in region.PlanInput) region.Plan {
	p.t.Helper()
	if err := p.run(region.PlanWorkflow, in); err != nil {
		p.t.Fatal(err)
	}
	var plan region.Plan
	if err := p.GetWorkflowResult(&plan); err != nil {
		p.t.Fatal(err)
	}
	return plan
}

func TestAPlanIsMadeAndStored(t *testing.T) {
	w := worldWith("lon1", "sgp1")
	w.obstacles = []region.Obstacle{{Kind: "quota", Message: "3 of 3 clusters are in use"}}
	grown := lon1()
	grown.Kubernetes.Nodes.Count = 2
	plan := newPlay(t, w).planned(region.PlanInput{ID: "p1", Wanted: []region.Spec{grown, place("nyc3")}, CreatedBy: "ada"})
	var steps []string
	for _, s := range plan.Steps {
		steps = append(steps, string(s.Action)+" "+s.Region.Name+" "+s.Monthly.Amount)
	}
	same(t, "steps", strings.Join(steps, ", "), "change lon1 36.00, create nyc3 36.00, delete sgp1 ")
	if !plan.Blocked() || plan.CreatedAt.IsZero() || w.plans["p1"].Basis != plan.Basis || plan.Basis == "" {
		t.Errorf("planned %+v", plan)
	}
	if got := w.did("Ensure", "Delete", "RecordRegion", "ApplyRegion"); got != "" {
		t.Errorf("planning did %s", got)
	}
}

// What the file leaves out is in the stored plan as the provider fills it in. The same file plans nothing more, though the provider
// would fill in something else by then.
func TestWhatAFileLeavesOutIsInThePlan(t *testing.T) {
	w := newWorld()
	w.defaults = region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 3, Size: "s-2vcpu-4gb"}}
	left := lon1()
	left.Kubernetes = region.Kubernetes{Nodes: region.Nodes{Count: 5}}
	plan := newPlay(t, w).planned(region.PlanInput{ID: "p1", Wanted: []region.Spec{left}})
	want := region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 5, Size: "s-2vcpu-4gb"}}
	if len(plan.Steps) != 1 || plan.Steps[0].Region.Kubernetes != want || plan.Blocked() || w.plans["p1"].Steps[0].Region.Kubernetes != want {
		t.Fatalf("planned %+v, stored %+v", plan, w.plans["p1"])
	}
	if got := newPlay(t, w).applied("p1"); got != "" {
		t.Fatal(got)
	}
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: w.plans["p1"].Steps[0].Region})
	if made := w.clusters["lon1"]; end.Region.Status != region.Ready || made.Version != "1.34" || made.Nodes != want.Nodes {
		t.Errorf("it ended as %+v with the cluster %+v", end, made)
	}
	w.defaults = region.Kubernetes{Version: "1.35", Nodes: region.Nodes{Count: 9, Size: "c-16"}}
	asked := len(w.asked)
	if again := newPlay(t, w).planned(region.PlanInput{ID: "p2", Wanted: []region.Spec{left}}); len(again.Steps) > 0 || len(w.asked) > asked {
		t.Errorf("the same file plans %+v", again.Steps)
	}
}

// A new region's range is in the stored plan, beside what the cloud wants the operator to know. One that was recorded before there were
// ranges keeps what its cloud chose.
func TestRangesAndWarningsAreInThePlan(t *testing.T) {
	w := worldWith("lon1")
	w.warnings = []string{"M3O_EGRESS_CIDRS is not set"}
	grown := lon1()
	grown.Kubernetes.Nodes.Count = 2
	newPlay(t, w).planned(region.PlanInput{ID: "p1", Wanted: []region.Spec{grown, place("nyc3")}})
	stored := w.plans["p1"].Steps
	if len(stored) != 2 || stored[0].Region.CIDR != "" || stored[1].Region.CIDR == "" || len(stored[1].Warnings) != 1 || stored[1].Warnings[0] != w.warnings[0] {
		t.Fatalf("stored %+v", stored)
	}
	if got := newPlay(t, w).applied("p1"); got != "" {
		t.Fatal(got)
	}
	end := newPlay(t, w).bootstrapped(region.BootstrapInput{Spec: stored[1].Region})
	if end.Region.Status != region.Ready || end.Region.Spec.CIDR != stored[1].Region.CIDR {
		t.Errorf("it ended as %+v", end)
	}
}

func TestACloudThatCannotBeAskedFailsThePlan(t *testing.T) {
	w := newWorld()
	w.fails("Preflight lon1", 1, fault.New(fault.Unauthenticated, "the token is not valid"))
	err := newPlay(t, w).run(region.PlanWorkflow, region.PlanInput{ID: "p1", Wanted: []region.Spec{lon1()}})
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Message() != "the token is not valid" || app.Type() != string(fault.Unauthenticated) || len(w.plans) > 0 {
		t.Errorf("planning ended with %v and stored %v", err, w.plans)
	}
}

// applied carries the plan out and returns the words with which it failed, if it did.
func (p *play) applied(id string) string {
	p.t.Helper()
	err := p.run(region.ApplyWorkflow, region.ApplyPlanInput{Plan: id, By: "ada"})
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return ""
}

func TestAPlanIsCarriedOut(t *testing.T) {
	w := worldWith("sgp1")
	newPlay(t, w).planned(region.PlanInput{ID: "p1", Wanted: []region.Spec{lon1(), place("nyc3")}})
	if got := newPlay(t, w).applied("p1"); got != "" {
		t.Fatal(got)
	}
	for _, want := range []string{"ApplyRegion p1/micro/lon1", "ApplyRegion p1/micro/nyc3", "RemoveRegion p1/micro/sgp1"} {
		if got := w.did(want); got != want {
			t.Errorf("ordered %q, want %q once", got, want)
		}
	}
	if w.plans["p1"].Status != region.PlanApplied {
		t.Errorf("the plan is %s", w.plans["p1"].Status)
	}
}

func TestAPlanOfAnotherWorldIsNotCarriedOut(t *testing.T) {
	w := worldWith("lon1")
	newPlay(t, w).planned(region.PlanInput{ID: "p1", Wanted: []region.Spec{place("nyc3")}})
	r := w.regions[lon1().Key()]
	r.Version++
	w.regions[lon1().Key()] = r
	same(t, "refusal", newPlay(t, w).applied("p1"), "the regions changed since plan p1 was made: plan again")
	same(t, "refusal", newPlay(t, w).applied("p1"), "the regions changed since plan p1 was made: plan again")
	if got := w.did("ApplyRegion", "RemoveRegion"); got != "" || w.plans["p1"].Status != region.PlanStale {
		t.Errorf("it did %s; the plan is %s", got, w.plans["p1"].Status)
	}
}

func TestAPlanWithObstaclesIsNotCarriedOut(t *testing.T) {
	w := newWorld()
	w.obstacles = []region.Obstacle{{Kind: "quota", Message: "3 of 3 clusters are in use"}}
	newPlay(t, w).planned(region.PlanInput{ID: "p1", Wanted: []region.Spec{lon1()}})
	same(t, "refusal", newPlay(t, w).applied("p1"), "plan p1 has obstacles: lon1: 3 of 3 clusters are in use")
	if got := w.did("ApplyRegion"); got != "" {
		t.Errorf("it did %s", got)
	}
}

func TestOneOrderThatFailsKeepsNoOtherBack(t *testing.T) {
	w := newWorld()
	newPlay(t, w).planned(region.PlanInput{ID: "p1", Wanted: []region.Spec{lon1(), place("nyc3")}})
	w.fails("ApplyRegion p1/micro/lon1", 1, fault.New(fault.Conflict, "region lon1 is being removed"))
	same(t, "refusal", newPlay(t, w).applied("p1"), "region lon1 is being removed")
	if got := w.did("ApplyRegion p1/micro/nyc3"); got == "" {
		t.Error("nyc3 was not ordered")
	}
	if got := newPlay(t, w).applied("p1"); got != "" {
		t.Errorf("carried out again: %s", got)
	}
}
