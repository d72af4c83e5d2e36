package release

// The labels of what runs a service in a cluster: its applier writes them, gateways read them. Access is a label of Services
// and an annotation of pods. So is preflight.
const (
	LabelManaged = "m3o.dev/managed" // "true" on all that belongs to a service
	LabelProject = "m3o.dev/project"
	LabelService = "m3o.dev/service"
	LabelRelease = "m3o.dev/release" // the release's number, on pods too
	LabelAccess  = "m3o.dev/access"  // "public" or "key"

	LabelPreflight = "m3o.dev/preflight" // "public" where everybody may send CORS preflights

	LabelSuspended = "m3o.dev/suspended" // "true" on the namespace of a project that is suspended: gateways refuse what is for it
)

// The annotations of pods that say what a service asks of gateways; they may as well be labels. Without one the gateway's own default holds.
const (
	MarkTimeout  = "m3o.dev/timeout"  // how long an exchange may stand still, as "30s"
	MarkMaxBody  = "m3o.dev/max-body" // bytes of a request's body
	MarkProtocol = "m3o.dev/protocol" // "h2c" where the program speaks HTTP/2 alone
)
