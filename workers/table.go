package workers

import (
	"reflect"

	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/workflows"
)

// flow is a workflow and how its running executions meet new code: entities live for years, and what retries until regions are
// back as long as that takes; they move to it by themselves (and so change only through workflows/versions.go); the rest end within hours or days on the code they began with.
type flow struct {
	name     string
	function any
	moves    workflow.VersioningBehavior
}

// flows lists every workflow of the platform. All are served from one queue.
func flows() []flow {
	const pinned, upgrades = workflow.VersioningBehaviorPinned, workflow.VersioningBehaviorAutoUpgrade
	return []flow{
		{region.PlanWorkflow, workflows.PlanPlatform, pinned},
		{region.ApplyWorkflow, workflows.ApplyPlan, pinned},
		{region.OperateWorkflow, workflows.OperateRegion, upgrades},
		{region.BootstrapWorkflow, workflows.BootstrapRegion, pinned},
		{region.TeardownWorkflow, workflows.TeardownRegion, pinned},
		{release.OperateWorkflow, workflows.OperateService, upgrades},
		{release.DeployWorkflow, workflows.DeployRelease, pinned},
		{release.BuildWorkflow, workflows.BuildImage, pinned},
		{account.SuspendWorkflow, workflows.SuspendProject, upgrades},
		{account.RemoveWorkflow, workflows.RemoveProject, upgrades},
		{alert.EscalateWorkflow, workflows.EscalateAlert, upgrades},
		{alert.VerifyWorkflow, workflows.VerifyContact, pinned},
		{alert.CallbackWorkflow, workflows.ProcessCallback, pinned},
		{alert.NoticeWorkflow, workflows.SendNotice, pinned},
	}
}

// Activities are what a queue serves beside workflows: structs whose methods are activities. A zero value tells their names;
// whoever serves them has opened what they need.
type Activities interface{ List() []any }

// FlowActivities are the store, Temporal itself, and calls to gateways.
type FlowActivities struct {
	Regions   *activities.Regions
	Traffic   *activities.Traffic
	Releases  *activities.Releases
	Projects  *activities.Projects
	Gateways  *activities.Gateways
	Contacts  *activities.Contacts
	Operators *activities.Operators
	Flows     *activities.Flows
	Alerts    *activities.Alerts
	Notices   *activities.Notices
	Callbacks *activities.Callbacks
}

// List names them.
func (f FlowActivities) List() []any {
	return []any{f.Regions, f.Traffic, f.Releases, f.Projects, f.Gateways, f.Contacts, f.Operators, f.Flows, f.Alerts, f.Notices, f.Callbacks}
}

// BuildActivities make images.
type BuildActivities struct{ Builds *activities.Builds }

// List names them.
func (b BuildActivities) List() []any { return []any{b.Builds} }

// PageActivities send messages to people.
type PageActivities struct{ Pages *activities.Pages }

// List names them.
func (p PageActivities) List() []any { return []any{p.Pages} }

// CloudActivities work on one cloud's account and clusters, with that cloud's identity.
type CloudActivities struct {
	Networks    *activities.Networks
	Identities  *activities.Identities
	Clusters    *activities.Clusters
	Accounts    *activities.Accounts
	Parts       *activities.Parts
	Kubeconfigs *activities.Kubeconfigs
	Services    *activities.Services
}

// List names them.
func (c CloudActivities) List() []any {
	return []any{c.Networks, c.Identities, c.Clusters, c.Accounts, c.Parts, c.Kubeconfigs, c.Services}
}

// Seat is a queue that this process serves.
type Seat struct {
	Queue      string
	Workflows  bool // every workflow, too
	Activities Activities
	AtOnce     int // activities that run at the same time
}

func (s Seat) flows() []flow {
	if !s.Workflows {
		return nil
	}
	return flows()
}

// Names lists what is registered with Temporal: kind, name, and for workflows how their runs move to new code.
func (s Seat) Names() []string {
	var names []string
	for _, f := range s.flows() {
		moves := "pinned"
		if f.moves == workflow.VersioningBehaviorAutoUpgrade {
			moves = "upgrades"
		}
		names = append(names, "workflow "+f.name+" "+moves)
	}
	for _, a := range s.Activities.List() {
		for i := range reflect.TypeOf(a).NumMethod() {
			names = append(names, "activity "+reflect.TypeOf(a).Method(i).Name)
		}
	}
	return names
}
