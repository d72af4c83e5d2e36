package aws

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// EC2 takes no idempotency token for a VPC, an internet gateway and an address: two steps that look at the same time, see none, and
// make one each, leave two. So those are made under a lease, by one step at a time: a launch template, whose name is unique in a
// location. Whoever makes it holds the lease, and deletes it once what was made is listed. A holder that died leaves it behind:
// who has seen the same one for longer than any step lasts removes it.

// leases are those of others that this process waits for.
type leases struct {
	lasts time.Duration

	mu   sync.Mutex
	seen map[string]time.Time // since when, by the template's id
}

// maxSeen bounds what is remembered of others' leases.
const maxSeen = 1000

// outlived reports whether a lease is older than its holder can be.
func (l *leases) outlived(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, seen := l.seen[id]
	if !seen {
		if len(l.seen) >= maxSeen {
			clear(l.seen) // who waits begins anew
		}
		l.seen[id] = time.Now()
		return false
	}
	return time.Since(since) > l.lasts
}

func (l *leases) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, id)
}

// lease is held by one step.
type lease struct {
	id   string
	ends time.Time
}

// over reports whether others may already take the holder for dead.
func (l lease) over() bool { return time.Now().After(l.ends) }

func leaseName(network string) string { return region.CutName(templateNameLimit, network+"-lease") }

// hold takes the lease on the network's making. While another has it, waits says so.
func (p *Provider) hold(ctx context.Context, at *place, spec region.NetworkSpec) (held lease, waits string, err error) {
	name := leaseName(networkName(spec))
	ends := time.Now().Add(p.lease.lasts / 2)
	made, err := at.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String(name),
		VersionDescription: aws.String("lease on the network " + networkName(spec)), TagSpecifications: marked(types.ResourceTypeLaunchTemplate, name, spec.Tags),
		// Nothing is ever launched from it; EC2 takes none that is empty.
		LaunchTemplateData: &types.RequestLaunchTemplateData{MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: types.LaunchTemplateHttpTokensStateRequired}}})
	err = at.explain(err, "take the lease on the network "+networkName(spec))
	if err == nil {
		return lease{id: aws.ToString(made.LaunchTemplate.LaunchTemplateId), ends: ends}, "", nil
	}
	if !fault.Is(err, fault.Exists) {
		return lease{}, "", err
	}
	waits, err = p.awaitLease(ctx, at, name, spec.Owner)
	return lease{}, waits, err
}

// awaitLease removes a lease whose holder is dead. In any case it is to be taken in another step, and waits says why.
func (p *Provider) awaitLease(ctx context.Context, at *place, name string, owner region.Key) (waits string, err error) {
	found, err := at.launchTemplate(ctx, name)
	switch {
	case err != nil:
		return "", err
	case found == nil:
		return "another step made a part of the network just now", nil
	case !isOwn(tagsOf(found.Tags), owner):
		return "", notOurs("launch template", name, aws.ToString(found.LaunchTemplateId))
	}
	id := aws.ToString(found.LaunchTemplateId)
	if !p.lease.outlived(id) {
		return fmt.Sprintf("another step makes a part of the network, or died when it did: its lease %s (%s) is removed once it is older than %s", name, id, p.lease.lasts), nil
	}
	p.lease.forget(id)
	return fmt.Sprintf("the lease %s (%s) on the network was left by a step that died, and is removed", name, id), at.deleteLaunchTemplate(ctx, id, name)
}

// launchTemplate returns nil when there is none of that name.
func (at *place) launchTemplate(ctx context.Context, name string) (*types.LaunchTemplate, error) {
	found, err := at.ec2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{Filters: []types.Filter{filter("launch-template-name", name)}})
	if err != nil {
		return nil, at.explain(err, "find the launch template "+name)
	}
	if len(found.LaunchTemplates) == 0 {
		return nil, nil
	}
	return &found.LaunchTemplates[0], nil
}

// deleteLaunchTemplate takes one that is gone as deleted.
func (at *place) deleteLaunchTemplate(ctx context.Context, id, name string) error {
	_, err := at.ec2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: aws.String(id)})
	return unlessGone(at.explain(err, "delete the launch template "+name))
}

// unlessGone is nil for what is not there any more.
func unlessGone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func notOurs(kind, name, id string) error {
	if id != "" && id != name {
		id = " (" + id + ")"
	} else {
		id = ""
	}
	return fault.New(fault.Exists, "the AWS account has a %s %s%s that is not this region's: it lacks the region's tags; rename it, or give the region another name", kind, name, id)
}
