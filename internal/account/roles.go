package account

import "slices"

// Permission is what one route demands, "<noun>:<verb>".
type Permission string

// The permissions. A route without one does not pass the tests.
const (
	ReadRegions     Permission = "regions:read"
	WriteRegions    Permission = "regions:write"
	InspectRegions  Permission = "regions:inspect" // kubeconfigs that look and do not touch, in every project's part of a cluster
	AccessRegions   Permission = "regions:access"  // kubeconfigs that may do everything
	ReadServices    Permission = "services:read"   // logs, too
	WriteServices   Permission = "services:write"
	CallServices    Permission = "services:call"
	ReadEvents      Permission = "events:read"
	ReadAudit       Permission = "audit:read"
	ReadMetrics     Permission = "metrics:read"
	DecodePayloads  Permission = "payloads:decode" // the codec endpoint of the Temporal UI
	ReadProjects    Permission = "projects:read"   // a project, its members and service accounts
	CreateProjects  Permission = "projects:create"
	DeleteProjects  Permission = "projects:delete"
	SuspendProjects Permission = "projects:suspend"
	WriteMembers    Permission = "members:write" // roles in a project, its service accounts and their tokens
	ReadUsers       Permission = "users:read"
	WriteUsers      Permission = "users:write"
	WriteRoles      Permission = "roles:write" // roles on the platform
	ReadTokens      Permission = "tokens:read" // one's own
	WriteTokens     Permission = "tokens:write"
	ReadAlerts      Permission = "alerts:read"    // alerts, their logs, who is on call
	WriteAlerts     Permission = "alerts:write"   // acknowledge, resolve, snooze, escalate, note; silences and overrides
	WriteAlerting   Permission = "alerting:write" // policies, schedules, integration keys, heartbeats
	ReadContacts    Permission = "contacts:read"  // one's own
	WriteContacts   Permission = "contacts:write"
	Known           Permission = "known"  // whoever has a good token
	Anyone          Permission = "anyone" // health, the public status and login alone
)

// platformWide are the permissions for what belongs to no project. They are held on the platform or not at all.
var platformWide = []Permission{ReadRegions, WriteRegions, InspectRegions, AccessRegions, ReadAudit, ReadMetrics, DecodePayloads, CreateProjects, SuspendProjects,
	ReadUsers, WriteUsers, WriteRoles}

// PlatformWide reports whether the permission is for what belongs to no project.
func (p Permission) PlatformWide() bool { return slices.Contains(platformWide, p) }

// Own reports whether the permission is for what belongs to the caller: every role holds it, and so does who has none.
func (p Permission) Own() bool {
	return p == ReadTokens || p == WriteTokens || p == ReadContacts || p == WriteContacts
}

// Role is what a member is in a project, or on the platform.
type Role string

// The roles in a project, and those on the platform, which hold in every project.
const (
	Owner     Role = "owner"
	Developer Role = "developer"
	Viewer    Role = "viewer"
	Billing   Role = "billing"

	Operator Role = "operator"
	Finance  Role = "finance"
	OnCall   Role = "on-call"
	Auditor  Role = "auditor"
)

// grant is a role and the permissions that it holds.
type grant struct {
	role  Role
	holds []Permission
}

// inProjects and onPlatform are the table: which role holds what. api/rest/testdata/access.golden shows what it comes to,
// route by route.
var (
	inProjects = []grant{
		{Owner, []Permission{ReadServices, WriteServices, CallServices, ReadEvents, ReadProjects, DeleteProjects, WriteMembers, ReadAlerts, WriteAlerts, WriteAlerting}},
		{Developer, []Permission{ReadServices, WriteServices, CallServices, ReadEvents, ReadProjects, ReadAlerts, WriteAlerts, WriteAlerting}},
		{Viewer, []Permission{ReadServices, ReadEvents, ReadProjects, ReadAlerts}},
		{Billing, []Permission{ReadProjects}},
	}
	onPlatform = []grant{
		{Operator, []Permission{ReadRegions, WriteRegions, InspectRegions, AccessRegions, ReadServices, WriteServices, CallServices, ReadEvents, ReadAudit, ReadMetrics, DecodePayloads,
			ReadProjects, CreateProjects, DeleteProjects, SuspendProjects, WriteMembers, ReadUsers, WriteUsers, WriteRoles, ReadAlerts, WriteAlerts, WriteAlerting}},
		{Finance, []Permission{ReadProjects}},
		{OnCall, []Permission{ReadRegions, InspectRegions, ReadServices, ReadEvents, ReadMetrics, ReadProjects, ReadAlerts, WriteAlerts}},
		{Auditor, []Permission{ReadRegions, InspectRegions, ReadServices, ReadEvents, ReadAudit, ReadMetrics, ReadProjects, ReadUsers, ReadAlerts}},
	}
)

// Holds reports whether the role holds the permission.
func (r Role) Holds(need Permission) bool {
	holds := func(g grant) bool { return g.role == r && slices.Contains(g.holds, need) }
	return slices.ContainsFunc(inProjects, holds) || slices.ContainsFunc(onPlatform, holds)
}

// Permissions lists what the role holds.
func (r Role) Permissions() []Permission {
	for _, g := range slices.Concat(inProjects, onPlatform) {
		if g.role == r {
			return slices.Clone(g.holds)
		}
	}
	return nil
}

// ProjectRoles and PlatformRoles list the roles that there are.
func ProjectRoles() []Role  { return rolesOf(inProjects) }
func PlatformRoles() []Role { return rolesOf(onPlatform) }

func rolesOf(table []grant) []Role {
	roles := make([]Role, len(table))
	for i, g := range table {
		roles[i] = g.role
	}
	return roles
}

// scopes are the permissions that a token can be limited to.
var scopes = []Permission{ReadRegions, WriteRegions, InspectRegions, AccessRegions, ReadServices, WriteServices, CallServices, ReadEvents, ReadAudit, ReadMetrics, DecodePayloads,
	ReadProjects, CreateProjects, DeleteProjects, SuspendProjects, WriteMembers, ReadUsers, WriteUsers, WriteRoles, ReadTokens, WriteTokens,
	ReadAlerts, WriteAlerts, WriteAlerting, ReadContacts, WriteContacts}
