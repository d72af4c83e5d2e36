package workflows

import "github.com/m3o/platform/activities"

// The activities, for their names alone.
var (
	accounts    *activities.Accounts
	alerts      *activities.Alerts
	builds      *activities.Builds
	callbacks   *activities.Callbacks
	clusters    *activities.Clusters
	contacts    *activities.Contacts
	flows       *activities.Flows
	gateways    *activities.Gateways
	identities  *activities.Identities
	kubeconfigs *activities.Kubeconfigs
	networks    *activities.Networks
	notices     *activities.Notices
	operators   *activities.Operators
	pages       *activities.Pages
	parts       *activities.Parts
	projects    *activities.Projects
	regions     *activities.Regions
	releases    *activities.Releases
	services    *activities.Services
	traffic     *activities.Traffic
)
