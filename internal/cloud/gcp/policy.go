package gcp

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/api/cloudresourcemanager/v1"

	"github.com/m3o/platform/internal/fault"
)

// policyVersion must be asked for and sent: without it GCP leaves out the conditions of bindings, which writing the rest back would
// remove from the project for good.
const policyVersion = 3

// projectPolicy is the project's IAM policy. It is everybody's: only bindings of one's own are touched.
type projectPolicy struct{ *cloudresourcemanager.Policy }

// changePolicy reads the project's policy and writes back what change made of it, if it changed anything. When another wrote it
// meanwhile, its etag is no longer true, and the fault is a Conflict.
func (p *Provider) changePolicy(ctx context.Context, change func(*projectPolicy) (changed bool)) (changed bool, err error) {
	policy, err := p.policy(ctx)
	if err != nil {
		return false, err
	}
	if !change(policy) {
		return false, nil
	}
	policy.Version = policyVersion
	_, err = p.projects.Projects.SetIamPolicy(p.project, &cloudresourcemanager.SetIamPolicyRequest{Policy: policy.Policy}).Context(ctx).Do()
	return true, explain(err, "change the IAM policy of the project "+p.project)
}

func (p *Provider) policy(ctx context.Context) (*projectPolicy, error) {
	request := &cloudresourcemanager.GetIamPolicyRequest{Options: &cloudresourcemanager.GetPolicyOptions{RequestedPolicyVersion: policyVersion}}
	policy, err := p.projects.Projects.GetIamPolicy(p.project, request).Context(ctx).Do()
	if err != nil {
		return nil, explain(err, "read the IAM policy of the project "+p.project)
	}
	if policy.Etag == "" { // a policy that is written without one overwrites what others wrote
		return nil, fault.New(fault.Unavailable, "GCP gave the IAM policy of the project %s without an etag", p.project)
	}
	return &projectPolicy{policy}, nil
}

// memberOf is a service account as policies name it.
func memberOf(email string) string { return "serviceAccount:" + email }

// isMember reports whether a member of a binding is the account, or one of its name that is gone.
func isMember(member, email string) bool {
	return member == memberOf(email) || strings.HasPrefix(member, "deleted:"+memberOf(email)+"?uid=")
}

// bind adds the account to the role, beside the conditions that others set.
func (p *projectPolicy) bind(role, email string) (changed bool) {
	for _, b := range p.Bindings {
		if b.Role != role || b.Condition != nil {
			continue
		}
		if slices.Contains(b.Members, memberOf(email)) {
			return false
		}
		b.Members = append(b.Members, memberOf(email))
		return true
	}
	p.Bindings = append(p.Bindings, &cloudresourcemanager.Binding{Role: role, Members: []string{memberOf(email)}})
	return true
}

// unbind takes the account out of every binding, and bindings that have nobody left out of the policy.
func (p *projectPolicy) unbind(email string) (changed bool) {
	for _, b := range p.Bindings {
		before := len(b.Members)
		b.Members = slices.DeleteFunc(b.Members, func(member string) bool { return isMember(member, email) })
		changed = changed || len(b.Members) != before
	}
	if changed {
		p.Bindings = slices.DeleteFunc(p.Bindings, func(b *cloudresourcemanager.Binding) bool { return len(b.Members) == 0 })
	}
	return changed
}

// roles that the account has in the project.
func (p *projectPolicy) roles(email string) []string {
	var roles []string
	for _, b := range p.Bindings {
		if slices.ContainsFunc(b.Members, func(member string) bool { return isMember(member, email) }) && !slices.Contains(roles, b.Role) {
			roles = append(roles, b.Role)
		}
	}
	return roles
}
