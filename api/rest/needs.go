package rest

import (
	"context"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/region"
	"github.com/m3o/platform/internal/release"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/ticket"
)

// Regions reads the read model of regions and plans.
type Regions interface {
	Regions(ctx context.Context, platform string, includeDeleted bool) ([]region.Region, error)
	RegionNamed(ctx context.Context, name string) (region.Region, error)
	Plan(ctx context.Context, id string) (region.Plan, []region.Spec, error)
}

// Services reads the read model of services and releases.
type Services interface {
	Services(ctx context.Context, project string, page store.Page) ([]release.Service, string, error)
	Service(ctx context.Context, key release.Key) (release.Service, error)
	Releases(ctx context.Context, key release.Key, page store.Page) ([]release.Release, string, error)
	Release(ctx context.Context, key release.Key, number int) (release.Release, error)
}

// Events reads what happened, and tells when there is more.
type Events interface {
	Events(ctx context.Context, after int64, project string, limit int) ([]event.Event, error)
	LastEvent(ctx context.Context) (int64, error)
	Watch() (<-chan struct{}, func())
}

// Accounts knows who calls, and keeps what they did.
type Accounts interface {
	Principal(ctx context.Context, hash []byte) (account.Principal, error)
	AppendAudit(ctx context.Context, a event.Audit) (seq int64, err error)
	ConcludeAudit(ctx context.Context, seq int64, status int) error
	Audits(ctx context.Context, page store.Page) ([]event.Audit, string, error)
	Ping(ctx context.Context) error
}

// Claims makes a request with an idempotency key happen once.
type Claims interface {
	Claim(ctx context.Context, principal, route, key string, bodyHash []byte) (store.Claim, error)
	Finish(ctx context.Context, c store.Claim, status int, body []byte) error
	Abandon(ctx context.Context, c store.Claim) error
}

// PlanCommands makes and carries out plans.
type PlanCommands interface {
	PlanPlatform(ctx context.Context, in region.PlanInput) error
	ApplyPlan(ctx context.Context, in region.ApplyPlanInput) error
	AwaitPlan(ctx context.Context, workflowID string) error
}

// RegionCommands commands the workflows that own regions.
type RegionCommands interface {
	RemoveRegion(ctx context.Context, id string, key region.Key, in region.RemoveInput) (region.Accepted, error)
	RetryRegion(ctx context.Context, id string, key region.Key, in region.RetryInput) (region.Accepted, error)
	Kubeconfig(ctx context.Context, id string, key region.Key, in region.KubeconfigInput) (region.SealedKubeconfig, error)
	RegionProgress(ctx context.Context, key region.Key) (region.Progress, error)
}

// ServiceCommands commands the workflows that own services.
type ServiceCommands interface {
	DeployService(ctx context.Context, id string, in release.Request) (release.Accepted, error)
	RollbackService(ctx context.Context, id string, key release.Key, in release.RollbackInput) (release.Accepted, error)
	KillService(ctx context.Context, id string, key release.Key, in release.KillInput) (release.Accepted, error)
	ServiceProgress(ctx context.Context, key release.Key) (release.Progress, error)
}

// Tickets signs permits that gateways check.
type Tickets interface {
	Sign(g ticket.Grant) (string, error)
}
