package azure

import (
	"context"
	"strings"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// administration lets the worker act in the cluster. Local accounts are off, so this role is the only way in.
func administration(n names, worker principal) grant {
	return grant{scope: n.clusterID(), role: clusterAdministrator, to: worker, why: "the platform's worker works in the cluster"}
}

// EnsureTrust gives the worker that asks the cluster administrator's role in its cluster.
func (p *Provider) EnsureTrust(ctx context.Context, spec region.TrustSpec, _ string) (region.Condition, error) {
	waits, err := p.admit(ctx, spec.Owner, p.names(spec.Name))
	if err != nil || waits != "" {
		return region.Condition{State: "waits for the worker's role", Reason: waits}, err
	}
	return region.Condition{Ready: true, State: "Succeeded"}, nil
}

// admit makes the worker's own assignment. EnsureCluster does so while the cluster is made, because API servers learn of a new assignment
// only after some minutes.
func (p *Provider) admit(ctx context.Context, owner region.Key, n names) (waits string, err error) {
	worker, err := p.me(ctx)
	if err != nil {
		return "", err
	}
	given, err := p.grant(ctx, owner, administration(n, worker))
	if fault.Is(err, fault.NotFound) {
		return "the cluster is not there", nil
	}
	return given.waits, err
}

// DeleteTrust removes what lets principals act in the cluster. Azure keeps that when the cluster goes.
func (p *Provider) DeleteTrust(ctx context.Context, spec region.TrustSpec, _ string) (region.Removal, error) {
	n := p.names(spec.Name)
	at := strings.ToLower(n.clusterID())
	return p.revoke(ctx, spec.Owner, n, func(scope string) bool { return scope == at || strings.HasPrefix(scope, at+"/") })
}
