package apitest

import (
	"context"
	"crypto/rand"
	"time"

	"golang.org/x/crypto/nacl/box"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// plans plays PlanPlatform and ApplyPlan.
type plans struct{ *World }

func (p plans) PlanPlatform(ctx context.Context, in region.PlanInput) error {
	have, err := p.Store.Regions(ctx, "", false)
	if err != nil {
		return err
	}
	plan := region.Plan{ID: in.ID, Status: region.PlanOpen, Destroy: in.Destroy, Keep: in.Keep, CreatedBy: in.CreatedBy, CreatedAt: time.Now().UTC(),
		Steps: region.Compare(in.Wanted, have, in.Destroy), Basis: region.Fingerprint(in.Wanted, have, in.Destroy)}
	for i := range plan.Steps {
		step := &plan.Steps[i]
		if step.Action == region.Delete {
			continue
		}
		step.Monthly = region.Cost{Amount: "36.10", Currency: "USD"}
		step.Warnings = p.Warnings
		step.Region.Kubernetes = step.Region.Kubernetes.Or(p.Defaults)
		if p.Obstacle != nil {
			if o := p.Obstacle(step.Region); o != nil {
				step.Obstacles = append(step.Obstacles, *o)
			}
		}
	}
	return p.Store.SavePlan(ctx, plan, in.Wanted)
}

// attendance plays who serves queues.
type attendance struct{ *World }

func (a attendance) Unserved(p region.Provider) *region.Unserved { return a.World.Unserved[p] }

func (p plans) ApplyPlan(ctx context.Context, in region.ApplyPlanInput) error {
	p.mu.Lock()
	_, known := p.applied[in.Plan]
	p.mu.Unlock()
	if known {
		return nil
	}
	err := p.apply(ctx, in.Plan)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied[in.Plan] = err
	return nil
}

func (p plans) apply(ctx context.Context, id string) error {
	plan, wanted, err := p.Store.Plan(ctx, id)
	if err != nil {
		return err
	}
	have, err := p.Store.Regions(ctx, "", false)
	if err != nil {
		return err
	}
	if plan.Basis != region.Fingerprint(wanted, have, plan.Destroy) {
		p.must(p.Store.MovePlan(ctx, id, region.PlanOpen, region.PlanStale))
		return fault.New(fault.Conflict, "the regions changed since plan %s was made: plan again", id)
	}
	if err := p.Store.MovePlan(ctx, id, region.PlanOpen, region.PlanApplied); err != nil {
		return err
	}
	for _, step := range plan.Steps {
		p.mu.Lock()
		p.orders = append(p.orders, string(step.Action)+" "+step.Region.Name)
		p.mu.Unlock()
		if step.Action == region.Delete {
			p.TearDown(step.Region.Key())
		} else {
			p.BringUp(step.Region)
		}
	}
	return nil
}

func (p plans) AwaitPlan(_ context.Context, workflowID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, err := range p.applied {
		if region.ApplyID(id) == workflowID {
			return err
		}
	}
	return nil
}

// BringUp bootstraps a region, or changes one that is there.
func (w *World) BringUp(spec region.Spec) {
	r, err := w.Store.Region(context.Background(), spec.Key())
	there := err == nil && r.Status != region.Deleted
	during := region.Updating
	if !there {
		version := r.Version
		r = region.Region{Spec: spec, Status: region.Planned, Version: version}
		w.recordRegion(&r)
	}
	if r.Endpoints.API == "" {
		during = region.Creating
	}
	w.background(func(context.Context) {
		for _, stage := range []string{"preflight", "network", "cluster", "verify", "parts", "gateway"} {
			w.pause()
			r.Spec, r.Status, r.Message = spec, during, region.AtStep+stage
			w.recordRegion(&r)
		}
		w.pause()
		r.Status, r.Message = region.Ready, ""
		if w.Bootstrap != nil {
			if err := w.Bootstrap(spec); err != nil {
				r.Status, r.Message = region.Failed, "cluster: "+err.Error()+region.Undoing
				w.recordRegion(&r)
				w.pause()
				r.Message = "cluster: " + err.Error() + ". Everything that was built is removed"
				w.recordRegion(&r)
				return
			}
		}
		r.Cluster, r.Endpoints.API = region.Cluster{ID: "c-" + spec.Name, Nodes: 1, Version: "1.34.1"}, w.gateway(spec.Key().String())
		r.Verified = region.Verified{StorageClass: "standard", NetworkPolicy: region.Enforced, Engine: "daemonset kube-system/cilium"}
		w.recordRegion(&r)
	})
}

// TearDown takes a region down.
func (w *World) TearDown(key region.Key) {
	w.background(func(ctx context.Context) {
		r, err := w.Store.Region(ctx, key)
		w.must(err)
		for _, stage := range []string{"drain", "cluster", "network", "inventory"} {
			w.pause()
			r.Status, r.Message = region.Deleting, region.AtStep+stage
			w.recordRegion(&r)
		}
		w.pause()
		r.Status, r.Message, r.Endpoints = region.Deleted, "", region.Endpoints{}
		w.recordRegion(&r)
	})
}

// regions plays OperateRegion.
type regions struct{ *World }

func (r regions) RemoveRegion(_ context.Context, id string, key region.Key, _ region.RemoveInput) (region.Accepted, error) {
	return remembered(r.World, id, "delete "+key.Name, func() (region.Accepted, error) {
		r.TearDown(key)
		return region.Accepted{Operation: 2}, nil
	})
}

func (r regions) RetryRegion(ctx context.Context, id string, key region.Key, _ region.RetryInput) (region.Accepted, error) {
	return remembered(r.World, id, "retry "+key.Name, func() (region.Accepted, error) {
		now, err := r.Store.Region(ctx, key)
		if err != nil {
			return region.Accepted{}, err
		}
		if now.Status != region.Failed {
			return region.Accepted{}, fault.New(fault.Conflict, "region %s is %s: there is nothing to retry", key.Name, now.Status)
		}
		r.BringUp(now.Spec)
		return region.Accepted{Operation: 2}, nil
	})
}

// Kubeconfig is what every region's cluster is reached by.
const Kubeconfig = "apiVersion: v1\nkind: Config\n"

func (r regions) Kubeconfig(_ context.Context, _ string, _ region.Key, in region.KubeconfigInput) (region.SealedKubeconfig, error) {
	if err := in.Validate(); err != nil {
		return region.SealedKubeconfig{}, err
	}
	sealed, err := box.SealAnonymous(nil, []byte(Kubeconfig), (*[32]byte)(in.PublicKey), rand.Reader)
	return region.SealedKubeconfig{Sealed: sealed}, err
}

func (r regions) RegionProgress(ctx context.Context, key region.Key) (region.Progress, error) {
	now, err := r.Store.Region(ctx, key)
	p := region.Progress{Status: now.Status}
	if now.Status == region.Creating || now.Status == region.Updating || now.Status == region.Deleting {
		p.Stage, p.Of = "bootstrap", 5
	}
	return p, err
}
