package workflows_test

import (
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/workflows"
)

var hello = release.Key{Project: "default", Name: "hello"}

// lon1 is a region as its operator asks for it.
func lon1() region.Spec { return place("lon1") }

func place(name string) region.Spec {
	return region.Spec{Platform: "micro", Domain: "micro.mu", Name: name, Provider: region.DigitalOcean, Location: name,
		Kubernetes: region.Kubernetes{Version: "1.34", Nodes: region.Nodes{Count: 1, Size: "s-2vcpu-4gb"}},
		Resource:   []region.Part{region.Etcd, region.NATS}, Network: []region.Part{region.API}}
}

// play is one workflow in a world, with time that skips what nobody works in.
type play struct {
	*testsuite.TestWorkflowEnvironment
	t *testing.T
	w *world
}

// all are the workflows by their names; workers has the table that counts.
var all = map[string]any{
	region.PlanWorkflow: workflows.PlanPlatform, region.ApplyWorkflow: workflows.ApplyPlan, region.OperateWorkflow: workflows.OperateRegion,
	region.BootstrapWorkflow: workflows.BootstrapRegion, region.TeardownWorkflow: workflows.TeardownRegion,
	release.OperateWorkflow: workflows.OperateService, release.DeployWorkflow: workflows.DeployRelease, release.BuildWorkflow: workflows.BuildImage,
	account.SuspendWorkflow: workflows.SuspendProject, account.RemoveWorkflow: workflows.RemoveProject,
}

// commander reaches workflows that run: the real ones, or the world's.
type commander interface {
	activities.RegionCommands
	activities.ServiceFacts
	activities.Awaiter
	activities.ProjectFacts
	activities.ServiceKiller
}

// wantedParts are what the regions of the world are made of; only the gateway has no image by itself.
var wantedParts = cluster.Parts{Images: map[region.Part]string{region.API: "registry/m3o@sha256:" + strings.Repeat("a", 64)}}

// activities are the real ones over the world, but for those that need a cluster or a gateway.
func (w *world) activities(c commander) []any {
	return []any{
		&activities.Networks{Cloud: w, Poll: time.Millisecond}, &activities.Identities{Cloud: w, Poll: time.Millisecond}, &activities.Clusters{Cloud: w, Poll: time.Millisecond, Limit: time.Hour},
		&activities.Accounts{Cloud: w, Wanted: wantedParts, Poll: time.Millisecond, Limit: 500 * time.Millisecond},
		&activities.Kubeconfigs{Access: w}, &activities.Regions{Records: w, Plans: w}, &activities.Releases{Records: w}, &activities.Builds{Builder: w},
		&activities.Traffic{Records: w, Poll: time.Millisecond}, &activities.Operators{Regions: c, Services: c, Projects: c, List: w}, &activities.Projects{Records: w, Services: c, Alerts: w, Closer: w, Regions: c, Poll: time.Millisecond}, &activities.Flows{Awaiter: c},
		&parts{w}, &gateways{w}, &services{w},
	}
}

func newPlay(t *testing.T, w *world) *play {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(30 * time.Second)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: 20 * time.Second}) // a machine that is busy with other tests is no deadlock
	for name, function := range all {
		env.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
	}
	for _, a := range w.activities(w) {
		env.RegisterActivity(a)
	}
	return &play{TestWorkflowEnvironment: env, t: t, w: w}
}

// at does something when that much of the workflow's time has gone by.
func (p *play) at(d time.Duration, do func()) { p.RegisterDelayedCallback(do, d) }

// answer is what came of an update.
type answer struct {
	Rejected error
	Err      error
	Value    any
	Done     bool
}

func (a *answer) Accept()          {}
func (a *answer) Reject(err error) { a.Rejected = err }
func (a *answer) Complete(v any, err error) {
	a.Value, a.Err, a.Done = v, err, true
}

// command sends an update at that time.
func (p *play) command(d time.Duration, name, id string, arg any) *answer {
	a := &answer{}
	p.at(d, func() { p.UpdateWorkflow(name, id, a, arg) })
	return a
}

// ok fails the test unless the command was taken.
func (a *answer) ok(t *testing.T) {
	t.Helper()
	if a.Rejected != nil || a.Err != nil || !a.Done {
		t.Fatalf("the command was not taken: rejected %v, failed %v, answered %t", a.Rejected, a.Err, a.Done)
	}
}

func (p *play) run(name string, in any) error {
	p.ExecuteWorkflow(name, in)
	if !p.IsWorkflowCompleted() {
		p.t.Fatalf("%s does not end", name)
	}
	return p.GetWorkflowError()
}

// quiet drops the SDK's log.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

func serviceRow() release.Service {
	return release.Service{Key: hello, Status: release.Running, Current: 1, Version: 1}
}

// carried is what a run hands to the next one.
func carried[T any](t *testing.T, e *workflow.ContinueAsNewError) T {
	t.Helper()
	var in T
	if err := converter.GetDefaultDataConverter().FromPayloads(e.Input, &in); err != nil {
		t.Fatal(err)
	}
	return in
}
