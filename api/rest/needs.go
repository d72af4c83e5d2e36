package rest

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/oncall"
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
	Outlook(ctx context.Context) (region.Outlook, error)
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
	Events(ctx context.Context, after int64, projects []string, limit int) ([]event.Event, error)
	LastEvent(ctx context.Context) (int64, error)
	Watch() (<-chan struct{}, func())
}

// Accounts knows who calls, and which projects there are.
type Accounts interface {
	Principal(ctx context.Context, hash []byte) (account.Principal, error)
	Project(ctx context.Context, name string) (account.Project, error)
	Ping(ctx context.Context) error
}

// AuditLog keeps who did what.
type AuditLog interface {
	AppendAudit(ctx context.Context, a event.Audit) (seq int64, err error)
	ConcludeAudit(ctx context.Context, seq int64, status int, target string) error
	Audits(ctx context.Context, page store.Page) ([]event.Audit, string, error)
}

// Identity is the rows of who there is: each changes in a transaction that also tells an event of it, with who did it.
type Identity interface {
	Users
	Tokens
	Roles
	Projects
	ServiceAccounts
}

// Alerts reads the read model of alerts and their pages.
type Alerts interface {
	Alerts(ctx context.Context, project string, f alert.Filter, page store.Page) ([]alert.Alert, string, error)
	Alert(ctx context.Context, project string, number int64) (alert.Alert, error)
	AlertLog(ctx context.Context, project string, number int64) ([]alert.Entry, error)
	PagesOf(ctx context.Context, project string, number int64) ([]alert.PageRow, error)
}

// AlertCommands commands the workflows of alerts.
type AlertCommands interface {
	CommandAlert(ctx context.Context, id, project, group, update string, in alert.Command) (alert.Alert, error)
}

// Drills takes the signals of drills.
type Drills interface {
	AppendSignals(ctx context.Context, signals []alert.Signal) ([]int64, error)
}

// Alerting is how the platform and its alerts fare.
type Alerting interface {
	Conditions(ctx context.Context) ([]store.Condition, error)
	AlertsSince(ctx context.Context, project string, since time.Time) (all []alert.Alert, more bool, err error)
	GroupKeys(ctx context.Context, project, group string) ([]alert.Key, error)
}

// AlertRules are how projects' alerts reach people.
type AlertRules interface {
	Rules(ctx context.Context, project string) (alert.Rules, error)
	ApplyRules(ctx context.Context, r alert.Rules, by string) (alert.Rules, error)
	ActiveUsers(ctx context.Context, names []string) (map[string]bool, error)
	AlertView(ctx context.Context, r alert.Rules, from, to time.Time) (alert.View, error)
}

// Silences are those of projects, and their maintenance windows.
type Silences interface {
	SilencePage(ctx context.Context, project string, f store.SilenceFilter, p store.Page) ([]alert.Silence, string, error)
	CreateSilence(ctx context.Context, s alert.Silence) (alert.Silence, error)
	EndSilence(ctx context.Context, project, id, by string) (alert.Silence, error)
}

// OnCall are overrides, and how the people are reached whom schedules put on call.
type OnCall interface {
	Overrides(ctx context.Context, project string, from, to time.Time) ([]oncall.Override, error)
	CreateOverride(ctx context.Context, o oncall.Override) (oncall.Override, error)
	EndOverride(ctx context.Context, project, id, by string) (oncall.Override, error)
	Unreachable(ctx context.Context, project string, names []string) (map[string]string, error)
	ContactsIn(ctx context.Context, project string, names []string) (map[string][]alert.Contact, error)
}

// Contacts are those of one person.
type Contacts interface {
	Contacts(ctx context.Context, person string) ([]alert.Contact, error)
	CreateContact(ctx context.Context, person string, channel alert.Channel, address string) (alert.Contact, error)
	RemoveContact(ctx context.Context, person, id string) error
	BeginCode(ctx context.Context, person, id string) (n int64, err error)
	VerifyContact(ctx context.Context, person, id, code string) (alert.Contact, error)
}

// NotifyRules are how people want to be paged.
type NotifyRules interface {
	NotifyRules(ctx context.Context, person string) (map[alert.Urgency][]alert.Notify, error)
	SetNotifyRules(ctx context.Context, person string, by map[alert.Urgency][]alert.Notify) error
}

// ContactCommands start the workflows that send codes.
type ContactCommands interface {
	VerifyContact(ctx context.Context, in alert.VerifyInput) error
}

// Intake keeps alerts: what it returned of is durable.
type Intake interface {
	Keep(ctx context.Context, signals []alert.Signal) error
}

// Integrations are the keys that sources of alerts are let in by.
type Integrations interface {
	IntegrationKey(ctx context.Context, hash []byte) (alert.IntegrationKey, error)
	IntegrationKeys(ctx context.Context, project string) ([]alert.IntegrationKey, error)
	CreateIntegrationKey(ctx context.Context, k alert.IntegrationKey, first, second []byte) (alert.IntegrationKey, error)
	RotateIntegrationKey(ctx context.Context, project, name string, second []byte, by string) (alert.IntegrationKey, error)
	RevokeIntegrationKey(ctx context.Context, project, name, by string) error
}

// Heartbeats are the monitors of programs that ping.
type Heartbeats interface {
	Heartbeats(ctx context.Context, project string) ([]alert.Heartbeat, error)
	CreateHeartbeat(ctx context.Context, h alert.Heartbeat, hash []byte) (alert.Heartbeat, error)
	PauseHeartbeat(ctx context.Context, project, name, by string) (alert.Heartbeat, error)
	ResumeHeartbeat(ctx context.Context, project, name, by string) (alert.Heartbeat, error)
	RemoveHeartbeat(ctx context.Context, project, name, by string) error
}

// Pings hears heartbeats.
type Pings interface {
	PingHeartbeat(ctx context.Context, hash []byte) (alert.Heartbeat, error)
}

// Users are the people.
type Users interface {
	Users(ctx context.Context) ([]account.User, error)
	InviteUser(ctx context.Context, name, email string, code []byte, by string) (account.User, time.Time, error)
	RenewInvitation(ctx context.Context, name string, code []byte, by string) (account.User, time.Time, error)
	MoveUser(ctx context.Context, name string, to account.Status, by string) (account.User, error)
	RemoveUser(ctx context.Context, name, by string) error
}

// Tokens are those of users and service accounts.
type Tokens interface {
	Tokens(ctx context.Context, owner string) ([]account.Token, error)
	CreateToken(ctx context.Context, spec account.TokenSpec, hash []byte) (account.Token, error)
	RevokeToken(ctx context.Context, owner, token, by string) error
	Invited(ctx context.Context, code []byte) (account.User, error)
	Redeem(ctx context.Context, code []byte, name string, hash []byte) (account.Token, account.User, error)
}

// Roles are those of users, in a project or, without one, on the platform.
type Roles interface {
	UserNamed(ctx context.Context, name string) (account.User, error)
	Grant(ctx context.Context, project, user string, role account.Role, by string) error
	Revoke(ctx context.Context, project, user string, role account.Role, by string) error
	Members(ctx context.Context, project string) ([]account.Member, error)
}

// Projects are the rows of projects. What reaches into regions is ProjectCommands'.
type Projects interface {
	Projects(ctx context.Context) ([]account.Project, error)
	CreateProject(ctx context.Context, name, platform, by string) (account.Project, error)
}

// ServiceAccounts are the programs that act in projects.
type ServiceAccounts interface {
	ServiceAccounts(ctx context.Context, project string) ([]account.ServiceAccount, error)
	ServiceAccount(ctx context.Context, project, name string) (account.ServiceAccount, error)
	CreateServiceAccount(ctx context.Context, in account.ServiceAccount) (account.ServiceAccount, error)
	RemoveServiceAccount(ctx context.Context, project, name, by string) error
}

// Sessions keeps browsers' sessions, by the hash of their ids, as long as the tokens they were begun with are good.
type Sessions interface {
	BeginSession(ctx context.Context, id, token []byte, expires time.Time) error
	Session(ctx context.Context, id []byte) (token []byte, err error)
	EndSession(ctx context.Context, id []byte) error
}

// ProjectCommands commands the workflows that bring a project's standing to every region, and that remove it.
type ProjectCommands interface {
	SuspendProject(ctx context.Context, id string, in account.SuspendInput) (account.Project, error)
	RemoveProject(ctx context.Context, id string, in account.RemoveInput) (account.Project, error)
	Removal(ctx context.Context, project string) (account.Removal, error)
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

// Attendance knows which clouds nobody works on.
type Attendance interface {
	Unserved(region.Provider) *region.Unserved
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

// Callbacks keeps what providers call back with, until it is verified and has its effect.
type Callbacks interface {
	AppendCallback(ctx context.Context, c alert.Callback, digest []byte) (fresh bool, err error)
	ReportForged(ctx context.Context, c alert.Channel, seq int64, why string) error
}

// LinkAlerts is what the page of a link in a mail shows: the alert, and whose link it is.
type LinkAlerts interface {
	Alert(ctx context.Context, project string, number int64) (alert.Alert, error)
	Rights(ctx context.Context, person string) (account.Principal, error)
}

// LinkCommands does what a link in a mail permits.
type LinkCommands interface {
	CommandAlert(ctx context.Context, id, project, group, update string, in alert.Command) (alert.Alert, error)
}
