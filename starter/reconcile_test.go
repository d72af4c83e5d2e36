//go:build embedded && bench

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/cluster"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/queue"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/telemetry"
	"github.com/m3o/platform/workers"
)

// asReconciler is the argument with which a test binary is a process that brings regions to what is wanted of them, by the same calls
// as a worker's activities, and nothing else: what it costs is its own.
const asReconciler = "reconcile"

// task is what such a process does with the regions of one provider. The first pass opens connections.
type task struct {
	Provider region.Provider
	Specs    []region.Spec
	Make     bool // they need not be there; else it fails where something would have to be done
	Inspect  bool // only look whether their clusters have drifted, as it is done every few minutes
	Passes   int
}

// pass is what going once through all the regions cost.
type pass struct {
	CPU, Wall time.Duration
}

// beReconciler does the task on its standard input, and prints its passes.
func beReconciler() int {
	var in task
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	passes, err := in.run(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(passes); err != nil {
		return 1
	}
	return 0
}

func (in task) run(ctx context.Context) ([]pass, error) {
	rows, err := rowsOf([]string{queue.Cloud(in.Provider)})
	if err != nil {
		return nil, err
	}
	signals, err := telemetry.Setup(ctx, telemetry.Settings{Log: io.Discard})
	if err != nil {
		return nil, err
	}
	signals.Logger = slog.New(slog.DiscardHandler)
	held, _, err := rows[0].open(ctx, &base{settings: config.Load(partsOf(rows)...), signals: signals})
	if err != nil {
		return nil, err
	}
	at := held.(workers.CloudActivities)
	passes := make([]pass, in.Passes)
	for i := range passes {
		began, spent := time.Now(), cpuTime()
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(16)
		for _, spec := range in.Specs {
			group.Go(func() error { return in.reconcile(ctx, at, spec) })
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		passes[i] = pass{CPU: cpuTime() - spent, Wall: time.Since(began)}
	}
	return passes, nil
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// reconcile brings one region to what is wanted, network first, and looks whether its cluster has drifted.
func (in task) reconcile(ctx context.Context, at workers.CloudActivities, spec region.Spec) error {
	var network region.Net
	var identity region.Identity
	var made region.Cluster
	for _, step := range []func() (region.Condition, error){
		func() (c region.Condition, err error) {
			network, err = at.Networks.Cloud.EnsureNetwork(ctx, spec.NetworkSpec(), network.Operation)
			return network.Condition, err
		},
		func() (c region.Condition, err error) {
			identity, err = at.Identities.Cloud.EnsureIdentity(ctx, spec.IdentitySpec(network), identity.Operation)
			return identity.Condition, err
		},
		func() (c region.Condition, err error) {
			wanted := spec.ClusterSpec(network)
			wanted.Principals = identity.Principals
			made, err = at.Clusters.Cloud.EnsureCluster(ctx, wanted, made.Operation)
			return made.Condition, err
		},
		func() (region.Condition, error) {
			return at.Identities.Cloud.EnsureTrust(ctx, spec.TrustSpec(made, identity), "")
		},
	} {
		if in.Inspect {
			break
		}
		if err := in.until(ctx, spec, step); err != nil {
			return err
		}
	}
	if in.Make {
		return in.until(ctx, spec, func() (region.Condition, error) {
			return region.Condition{Ready: true}, in.furnish(ctx, at, spec)
		})
	}
	return at.Parts.Connections.Do(ctx, spec, func(c *cluster.Client) error {
		if _, lacks, err := c.Verify(ctx, spec); err != nil || len(lacks) > 0 {
			return fmt.Errorf("verify %s: %v %w", spec.Key(), lacks, err)
		}
		drift, err := c.Drift(ctx, spec, at.Parts.Wanted)
		if err == nil && len(drift) > 0 {
			err = fmt.Errorf("%s has drifted: %v", spec.Key(), drift)
		}
		return err
	})
}

// furnish applies what a region holds.
func (in task) furnish(ctx context.Context, at workers.CloudActivities, spec region.Spec) error {
	return at.Parts.Connections.Do(ctx, spec, func(c *cluster.Client) error {
		if err := c.ApplyFoundations(ctx, spec); err != nil {
			return err
		}
		return c.ApplyParts(ctx, spec, at.Parts.Wanted)
	})
}

// until repeats a step until it is ready. Where nothing is to be made, it is ready at once.
func (in task) until(ctx context.Context, spec region.Spec, step func() (region.Condition, error)) error {
	for {
		c, err := step()
		passing := err != nil && (fault.Is(err, fault.Conflict) || !fault.Of(err).Permanent())
		switch {
		case err == nil && c.Ready:
			return nil
		case err == nil && (c.Broken || !in.Make):
			return fmt.Errorf("%s: %s %s", spec.Key(), c.State, c.Reason)
		case err != nil && !passing:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// reconcile has a process of its own do the task.
func (p *watchedPlatform) reconcile(in task) []pass {
	p.t.Helper()
	rows := p.rows(queue.Cloud(in.Provider))
	stdin, err := json.Marshal(in)
	p.must("write the task", err)
	cmd := exec.CommandContext(p.ctx, os.Args[0], asProcess, asReconciler)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.settings.Of(partsOf(rows)...).Environ(), bytes.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("reconcile %d regions on %s: %v: %s", len(in.Specs), in.Provider, err, errs.String())
	}
	var passes []pass
	p.must("read the passes", json.Unmarshal(out.Bytes(), &passes))
	return passes
}

// manySpecs are n regions of a provider, as a plan makes them, however many a platform file may have.
func manySpecs(provider region.Provider, kubernetes region.Kubernetes, n int) []region.Spec {
	specs := make([]region.Spec, n)
	for i := range specs {
		specs[i] = region.Spec{Platform: "micro", Domain: "micro.mu", Name: fmt.Sprintf("r%04d", i), Provider: provider, Location: locations[provider],
			Kubernetes: kubernetes, Resource: []region.Part{region.Etcd, region.NATS}, Unenforced: region.Allow}
		if provider == region.AWS && i%2 == 1 { // an account has five VPCs in a location
			specs[i].Location = "eu-west-1"
		}
	}
	if n == 1 { // DigitalOcean has no room for a thousand of the size that plans give, and chooses
		specs[0].CIDR = "10.1.0.0/16"
	}
	return specs
}

func init() { processes[asReconciler] = beReconciler }
