package apitest

import (
	"context"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/release"
)

// projects stands for the workflows of projects.
type projects struct{ *World }

func (p projects) SuspendProject(ctx context.Context, id string, in account.SuspendInput) (account.Project, error) {
	return remembered(p.World, id, "suspend "+in.Project, func() (account.Project, error) { return p.Store.RecordSuspension(ctx, in) })
}

// RemoveProject kills the project's services and erases it, in the background.
func (p projects) RemoveProject(ctx context.Context, id string, in account.RemoveInput) (account.Project, error) {
	return remembered(p.World, id, "remove "+in.Project, func() (account.Project, error) {
		closed, err := p.Store.BeginRemoval(ctx, in)
		if err != nil {
			return closed, err
		}
		keys, err := p.Store.ServicesOf(ctx, in.Project)
		p.background(func(ctx context.Context) {
			for _, key := range keys {
				p.pause()
				v, err := p.Store.Service(ctx, key)
				p.must(err)
				v.Status, v.Regions, v.Current = release.Killed, nil, 0
				services(p).recordService(&v)
			}
			p.pause()
			p.must(p.Store.EraseProject(ctx, in.Project, in.By))
		})
		return closed, err
	})
}

func (p projects) Removal(context.Context, string) (account.Removal, error) {
	return account.Removal{Stage: "services", Waiting: "services to go"}, nil
}
