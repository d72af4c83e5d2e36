package workers

import (
	"go.temporal.io/sdk/workflow"

	"github.com/m3o/platform/activities"
	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/workflows"
)

// flow is a workflow and how its running executions meet new code: entities live for years and move to it by themselves
// (and so change only through workflows/versions.go); the rest end within hours or days on the code they began with.
type flow struct {
	name     string
	function any
	moves    workflow.VersioningBehavior
}

// Flows lists every workflow of the platform. All are served from queue.Flows.
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
		{account.SuspendWorkflow, workflows.SuspendProject, pinned},
		{account.RemoveWorkflow, workflows.RemoveProject, pinned},
	}
}

// seat is one queue that a worker serves: what it must hold, and how much it does at once.
type seat struct {
	queue      string
	flows      []flow
	activities []any
	atOnce     int // activities that run at the same time
}

// Holdings are the collaborators that a process has. What it lacks, it cannot serve.
type Holdings struct {
	Flows  *FlowHoldings
	Build  *activities.Builds
	Clouds map[region.Provider]CloudHoldings
}

// FlowHoldings serve queue.Flows: the store, Temporal itself, and calls to gateways.
type FlowHoldings struct {
	Regions   *activities.Regions
	Traffic   *activities.Traffic
	Releases  *activities.Releases
	Projects  *activities.Projects
	Gateways  *activities.Gateways
	Operators *activities.Operators
	Flows     *activities.Flows
}

// CloudHoldings serve one cloud's queue with that cloud's identity.
type CloudHoldings struct {
	Networks    *activities.Networks
	Clusters    *activities.Clusters
	Accounts    *activities.Accounts
	Parts       *activities.Parts
	Kubeconfigs *activities.Kubeconfigs
	Services    *activities.Services
}

// seats is the table: queue, what is served there, and how much at once.
func seats(h Holdings) []seat {
	var table []seat
	if f := h.Flows; f != nil {
		table = append(table, seat{queue: queue.Flows, flows: flows(), atOnce: 1000, // most of these watch: they must not keep a record from being written
			activities: []any{f.Regions, f.Traffic, f.Releases, f.Projects, f.Gateways, f.Operators, f.Flows}})
	}
	if h.Build != nil { // a build uses every core it gets: more at once only makes each slower
		table = append(table, seat{queue: queue.Build, atOnce: 2, activities: []any{h.Build}})
	}
	for provider, c := range h.Clouds { // most of these wait: a cluster's creation holds one for minutes
		table = append(table, seat{queue: queue.Cloud(provider), atOnce: 200,
			activities: []any{c.Networks, c.Clusters, c.Accounts, c.Parts, c.Kubeconfigs, c.Services}})
	}
	return table
}
