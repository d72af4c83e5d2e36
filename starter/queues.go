package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/cloud/digitalocean"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/dev"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/workers"
)

// row is all that there is to say of one queue. What `m3o worker` takes, tells and holds, and what `m3o dev` runs, follows from
// the rows.
type row struct {
	queue     string                        // its name, for --queues
	settings  []config.Part                 // what its worker is told, beside what every worker is
	workflows bool                          // it serves every workflow, too
	serves    workers.Activities            // what it serves, as long as nothing is opened: names alone
	atOnce    int                           // activities that a worker runs at the same time
	cloud     bool                          // it holds a cloud's identity
	sandbox   *dev.Cloud                    // the cloud on this machine, without which `m3o dev` cannot run a worker of it
	channels  func(dev.SandboxChannels) any // the settings that lead to the channels on this machine, of a queue that reaches people
	open      func(context.Context, *base) (workers.Activities, func() error, error)
}

// queues is the table of queues. A queue exists only where credentials, hardware or rate limits demand it.
var queues = []row{
	{queue: queue.Flows, settings: []config.Part{config.Flows}, workflows: true, serves: workers.FlowActivities{}, open: openFlows,
		atOnce: 1000}, // most of these watch: they must not keep a record from being written
	{queue: queue.Build, settings: []config.Part{config.Build}, serves: workers.BuildActivities{}, open: openBuild,
		atOnce: 200}, // wide: the builder itself shares what compiles at once between projects, and turns the rest away until later
	{queue: queue.Pages, settings: []config.Part{{Name: config.Pages.Name, Own: pagesSettings{}}}, serves: workers.PageActivities{}, open: openPages, channels: sandboxedPages,
		atOnce: 200}, // each waits for a provider for seconds at most; what a provider allows is its adapter's to keep to
	cloudRow(region.AWS, openAWS, func(at dev.SandboxCloud) awsSettings {
		return awsSettings{URL: at.URL, CredentialsFile: at.Credentials, Hour: at.Hour.String()}
	}),
	cloudRow(region.DigitalOcean, openDigitalOcean, func(at dev.SandboxCloud) digitalOceanSettings {
		return digitalOceanSettings{URL: at.URL, TokenFile: at.Credentials, Limit: fmt.Sprintf("%d/%s", digitalocean.Requests, at.Hour)}
	}),
	cloudRow(region.GCP, openGCP, sandboxedGCP),
	cloudRow(region.Azure, openAzure, sandboxedAzure),
}

// cloudRow is the row of a provider. S are the settings that it alone has (config.Part.Own); open makes its adapter from them;
// sandboxed are those that lead to its sandbox, and nil for a provider without one.
func cloudRow[S any](p region.Provider, open func(*base, S) (cloud.Provider, error), sandboxed func(dev.SandboxCloud) S) row {
	var own S
	r := row{queue: queue.Cloud(p), settings: []config.Part{config.Cloud, {Name: queue.Cloud(p), Own: own}}, serves: workers.CloudActivities{},
		cloud: true, atOnce: 200} // most of these wait: a cluster's creation holds one for minutes
	r.open = func(_ context.Context, b *base) (workers.Activities, func() error, error) {
		var own S
		b.settings.Own(&own)
		provider, err := open(b, own)
		if err != nil {
			return nil, nil, err
		}
		held, err := b.cloudActivities(provider)
		return held, nothing, err
	}
	if sandboxed != nil {
		r.sandbox = &dev.Cloud{Name: string(p), Own: func(at dev.SandboxCloud) any { return sandboxed(at) }}
	}
	return r
}

// nothing is what there is to close after most queues.
func nothing() error { return nil }

// rowsOf finds the rows of queues, each once.
func rowsOf(names []string) ([]row, error) {
	for _, name := range names {
		if !slices.ContainsFunc(queues, func(r row) bool { return r.queue == name }) {
			return nil, fault.New(fault.Invalid, "%q is none of %s", name, queueNames())
		}
	}
	var rows []row
	for _, r := range queues {
		if slices.Contains(names, r.queue) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// queueNames are what --queues takes.
func queueNames() string {
	names := make([]string, len(queues))
	for i, r := range queues {
		names[i] = r.queue
	}
	return strings.Join(names, ", ")
}

// partsOf are whose settings a worker of the queues is given.
func partsOf(rows []row) []config.Part {
	parts := []config.Part{config.Worker}
	for _, r := range rows {
		parts = append(parts, r.settings...)
	}
	return parts
}

// describeQueues lists the settings of all workers, and of each queue.
func describeQueues() string {
	text := config.Describe(config.Worker, config.Everything)
	for _, r := range queues {
		text += "\nFor the queue " + r.queue + ":\n" + config.Describe(r.settings...)
	}
	return text
}

// seat opens what the queue's activities need.
func (r row) seat(ctx context.Context, b *base) (workers.Seat, func() error, error) {
	held, done, err := r.open(ctx, b)
	if err != nil {
		return workers.Seat{}, nil, fmt.Errorf("queue %s: %w", r.queue, err)
	}
	return workers.Seat{Queue: r.queue, Workflows: r.workflows, Activities: held, AtOnce: r.atOnce}, done, nil
}
