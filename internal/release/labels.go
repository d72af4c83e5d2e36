package release

// The labels of what runs a service in a cluster: its applier writes them, gateways read them. Access is a label of Services
// and an annotation of pods.
const (
	LabelManaged = "m3o.dev/managed" // "true" on all that belongs to a service
	LabelProject = "m3o.dev/project"
	LabelService = "m3o.dev/service"
	LabelRelease = "m3o.dev/release" // the release's number, on pods too
	LabelAccess  = "m3o.dev/access"  // "public" or "key"

	LabelSuspended = "m3o.dev/suspended" // "true" on the namespace of a project that is suspended: gateways refuse what is for it
)
