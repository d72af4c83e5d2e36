package gcp

import (
	"context"

	"google.golang.org/api/iam/v1"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// nodesPrincipal names the service account of the nodes among an identity's principals.
const nodesPrincipal = "nodes"

// nodeRole is all that GKE's nodes need: to write logs and metrics. Images come from the region's own registry, not from the project's.
const nodeRole = "roles/container.defaultNodeServiceAccount"

// EnsureIdentity makes the service account that nodes act as, and binds it to its role in the project's policy.
func (p *Provider) EnsureIdentity(ctx context.Context, spec region.IdentitySpec, _ string) (region.Identity, error) {
	account, err := p.findAccount(ctx, spec)
	if err != nil {
		return region.Identity{}, err
	}
	if account == nil {
		if err := p.createAccount(ctx, spec); err != nil {
			return region.Identity{}, err
		}
		return region.Identity{Condition: region.Condition{State: "the service account " + accountName(spec.Name) + " was made"}}, nil
	}
	if account.Disabled {
		return region.Identity{Condition: region.Condition{Broken: true, State: "DISABLED", Reason: "the service account " + account.Email + " is disabled: enable it"}}, nil
	}
	bound, err := p.changePolicy(ctx, func(policy *projectPolicy) bool { return policy.bind(nodeRole, account.Email) })
	switch {
	case isUnknownYet(err): // IAM needs some seconds until all of it knows a new account
		return region.Identity{Condition: region.Condition{State: "PROPAGATING", Reason: fault.Message(err)}}, nil
	case err != nil:
		return region.Identity{}, err
	case bound:
		return region.Identity{Condition: region.Condition{State: "the service account " + account.Email + " was given " + nodeRole}}, nil
	}
	return region.Identity{Principals: map[string]string{nodesPrincipal: account.Email}, Condition: region.Condition{Ready: true, State: "ENABLED"}}, nil
}

// DeleteIdentity takes the account's roles away before it removes it: bindings of accounts that are gone stay in the policy for ever.
// Those that did are removed as well.
func (p *Provider) DeleteIdentity(ctx context.Context, spec region.IdentitySpec, _ string) (region.Removal, error) {
	account, err := p.findAccount(ctx, spec)
	switch {
	case fault.Is(err, fault.Exists):
		return region.Removal{Gone: true}, nil
	case err != nil:
		return region.Removal{}, err
	}
	email := p.accountEmail(spec.Name)
	changed, err := p.changePolicy(ctx, func(policy *projectPolicy) bool { return policy.unbind(email) })
	switch {
	case err != nil:
		return region.Removal{}, err
	case changed:
		return region.Removal{State: "the roles of " + email + " were removed"}, nil
	}
	// Reads may miss an account that was made seconds ago, by an attempt of ours that was given up; changes do not. So it is deleted
	// whether or not it is seen, and gone when there is none to delete.
	_, err = p.iam.Projects.ServiceAccounts.Delete(p.accountPath(spec.Name)).Context(ctx).Do()
	err = explain(err, "delete the service account "+email)
	switch {
	case fault.Is(err, fault.NotFound) && account == nil:
		return region.Removal{Gone: true}, nil
	case err != nil && !fault.Is(err, fault.NotFound):
		return region.Removal{}, err
	}
	return region.Removal{State: "the service account " + email + " was deleted"}, nil
}

// EnsureTrust is ready at once: the cluster was made with the project's workload identity pool, in which its Kubernetes service
// accounts are principals.
func (p *Provider) EnsureTrust(context.Context, region.TrustSpec, string) (region.Condition, error) {
	return region.Condition{Ready: true}, nil
}

// DeleteTrust is done at once: nothing of it outlives the cluster.
func (p *Provider) DeleteTrust(context.Context, region.TrustSpec, string) (region.Removal, error) {
	return region.Removal{Gone: true}, nil
}

// findAccount returns nil when there is none of that name, and an Exists fault when there is one that is not ours.
func (p *Provider) findAccount(ctx context.Context, spec region.IdentitySpec) (*iam.ServiceAccount, error) {
	account, there, err := found(p.iam.Projects.ServiceAccounts.Get(p.accountPath(spec.Name)).Context(ctx).Do())
	switch {
	case err != nil:
		return nil, explain(err, "describe the service account "+p.accountEmail(spec.Name))
	case !there:
		return nil, nil
	case !describes(account.Description, spec.Owner):
		return nil, fault.New(fault.Exists, "the GCP project %s has a service account %s that is not this region's: its description does not begin with %q; delete it, or give the region another name",
			p.project, account.Email, spec.Owner.Owner())
	}
	return account, nil
}

func (p *Provider) createAccount(ctx context.Context, spec region.IdentitySpec) error {
	request := &iam.CreateServiceAccountRequest{AccountId: accountName(spec.Name),
		ServiceAccount: &iam.ServiceAccount{DisplayName: "Nodes of " + spec.Owner.String(), Description: describe(spec.Owner)}}
	_, err := p.iam.Projects.ServiceAccounts.Create("projects/"+p.project, request).Context(ctx).Do()
	err = explain(err, "create the service account "+request.AccountId)
	if fault.Is(err, fault.Exists) { // made since we looked: the next step sees by whom
		return fault.New(fault.Conflict, "the service account %s is being made", request.AccountId)
	}
	return err
}

// isUnknownYet reports whether an error says that a service account does not exist: of one that was seen a moment ago that is
// true only of some servers.
func isUnknownYet(err error) bool {
	return (fault.Is(err, fault.Invalid) || fault.Is(err, fault.NotFound)) && newWords.MatchString(fault.Message(err))
}
