package release

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// Access says who may call a service through an entrypoint.
type Access string

// The kinds of access. Without a word a service demands a key.
const (
	Public Access = "public"
	ByKey  Access = "key"
)

// Protocol says what a service's program speaks on its port.
type Protocol string

// The protocols. gRPC without TLS is H2C.
const (
	HTTP Protocol = "http" // HTTP/1.1
	H2C  Protocol = "h2c"  // HTTP/2 without TLS
)

// Status is where a release is, over all and in each region.
type Status string

// The statuses.
const (
	Pending    Status = "pending"
	Deploying  Status = "deploying"
	Ready      Status = "ready"
	Failed     Status = "failed"
	RolledBack Status = "rolledback"
	Superseded Status = "superseded" // a newer one took its place, before or after it ran
)

// Ended reports whether the status is final for the run that set it.
func (s Status) Ended() bool { return s != Pending && s != Deploying }

// Verb says what became of a release that does not run, as it follows its name in a sentence.
func (s Status) Verb() string {
	switch s {
	case RolledBack:
		return "was rolled back"
	case Superseded:
		return "was superseded"
	}
	return string(s)
}

// ServiceStatus is where a service is.
type ServiceStatus string

// The statuses of a service.
const (
	Running  ServiceStatus = "running"
	Degraded ServiceStatus = "degraded" // released, and not well now in some region: Service.Regions says how
	Starting ServiceStatus = "starting"
	Broken   ServiceStatus = "failed"
	Killing  ServiceStatus = "deleting"
	Killed   ServiceStatus = "deleted"
)

// Key names a service: both parts are DNS labels.
type Key struct {
	Project string `json:"project"`
	Name    string `json:"name"`
}

func (k Key) String() string { return k.Project + "/" + k.Name }

// Namespace is the Kubernetes namespace of the service's project.
func (k Key) Namespace() string { return Namespace(k.Project) }

// Namespace is the Kubernetes namespace of a project.
func Namespace(project string) string { return "project-" + project }

// Spec is what runs: everything about a release but its image. Of a Request, what has its zero value is not named.
type Spec struct {
	Access    Access            `json:"access"`
	Preflight Access            `json:"preflight,omitempty"` // who may send CORS preflights; as Access when left out
	Port      int               `json:"port"`                // the port the program listens on; it is also told by $PORT
	Protocol  Protocol          `json:"protocol,omitempty"`  // what it speaks there; HTTP when left out
	Replicas  int               `json:"replicas"`            // in each region
	Health    string            `json:"health,omitempty"`    // path of an HTTP health check; empty: a connection is enough
	Start     Duration          `json:"start,omitempty"`     // until when an instance must be ready; DefaultStart when left out
	Timeout   Duration          `json:"timeout,omitempty"`   // how long an exchange may stand still; the gateway's own when left out
	MaxBody   int64             `json:"max_body,omitempty"`  // bytes of a request's body; the gateway's own when left out
	Env       map[string]string `json:"env,omitempty"`       // plain settings; secrets do not belong here
	Args      []string          `json:"args,omitempty"`
}

// Origin is where the image comes from: exactly one of Source and Image.
type Origin struct {
	Source  string `json:"source,omitempty"`  // digest of an uploaded source, "sha256:<hex>"
	Package string `json:"package,omitempty"` // main package in the source, "." by default
	Module  string `json:"module,omitempty"`  // import path of that package, by which programs are told apart; empty: not known
	Build   Build  `json:"build,omitzero"`    // how the source is built
	Image   string `json:"image,omitempty"`   // reference of an image that exists
}

// Build is how a source is built, and what of it the image holds beside the program.
type Build struct {
	Tags    []string          `json:"tags,omitempty"`    // build tags, as go build -tags takes them
	Set     map[string]string `json:"set,omitempty"`     // values of string variables by "importpath.name", as -ldflags -X sets them
	Include []string          `json:"include,omitempty"` // patterns of files of the package's folder that come along; empty: all that are packed but Go's own
	Exclude []string          `json:"exclude,omitempty"` // patterns of those that do not, in the form of .gitignore
}

// Request is what a developer asks for. What it does not name stays as the release has it that it follows.
type Request struct {
	Service Key      `json:"service"`
	Origin  Origin   `json:"origin"`
	Spec    Spec     `json:"spec"`
	File    *InFile  `json:"file,omitempty"`  // nil: no manifest was read, and what one said before stays
	Reset   []string `json:"reset,omitempty"` // settings that go back to their default, by name: "replicas", "env.LEVEL"
	By      string   `json:"by"`
}

// InFile names the settings whose values a request has from the manifest of its source: "replicas", "env.LEVEL"; not those that
// something else, such as a flag, overrules. What a release has from a manifest and the next one's manifest says no more goes back to its
// default.
type InFile struct {
	Settings []string `json:"settings,omitempty"`
}

// Release is one numbered attempt.
type Release struct {
	Service   Key       `json:"service"`
	Number    int       `json:"number"`
	Origin    Origin    `json:"origin"`
	Spec      Spec      `json:"spec"`
	Image     string    `json:"image,omitempty"` // by digest, once it is known
	Status    Status    `json:"status"`
	Message   string    `json:"message,omitempty"`
	RollsBack int       `json:"rolls_back_to,omitempty"` // the release whose image and spec this one repeats
	Follows   int       `json:"follows,omitempty"`       // the release whose settings it keeps where the request names none; of one that rolls back, the one that ran
	InFile    []string  `json:"in_file,omitempty"`       // settings whose values come from the manifest of a source
	By        string    `json:"by"`
	Regions   []Placed  `json:"regions"`
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Brief is what must be remembered of a release to go back to it: the rest is recorded.
func (r Release) Brief() Release {
	return Release{Service: r.Service, Number: r.Number, Image: r.Image, RollsBack: r.RollsBack}
}

// BoundFor reports whether the release is on its way into the region: it is being deployed to it, or everywhere as far as is
// known yet, or it is ready elsewhere and being placed there.
func (r Release) BoundFor(key region.Key) bool {
	at := slices.IndexFunc(r.Regions, func(p Placed) bool { return p.Region == key.String() })
	switch r.Status {
	case Deploying:
		return len(r.Regions) == 0 || at >= 0
	case Ready:
		return at >= 0 && !r.Regions[at].Status.Ended()
	}
	return false
}

// Placed is a release in one region. URL is the service's base there, ending in a slash.
type Placed struct {
	Region  string `json:"region"`            // its full name, platform/name
	Cluster string `json:"cluster,omitempty"` // the provider's id of the cluster that it was brought to
	Status  Status `json:"status"`
	URL     string `json:"url,omitempty"`
	Message string `json:"message,omitempty"`
	// Health is how the service is there now, as the region's gateway told last; nil where it has not told.
	Health *Health `json:"health,omitempty"`
}

// Service is what the read model knows of one service.
type Service struct {
	Key     Key           `json:"key"`
	Status  ServiceStatus `json:"status"`
	Access  Access        `json:"access"`
	Current int           `json:"current"` // the release that is meant to run; 0 when there is none yet
	Latest  int           `json:"latest"`  // the newest release, running or not
	Message string        `json:"message,omitempty"`
	Regions []Placed      `json:"regions"`
	// PartlyRemoved says that a kill failed somewhere, whatever became of later releases: the current one is brought to no region
	// any more.
	PartlyRemoved bool      `json:"partly_removed,omitempty"`
	Version       int64     `json:"version"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
}

// In reports whether the service was placed in the region.
func (s Service) In(r region.Region) bool {
	return slices.ContainsFunc(s.Regions, func(p Placed) bool { return p.Region == r.Spec.Key().String() })
}

// Says reports whether the row says the same as another, whenever they were recorded.
func (s Service) Says(other Service) bool {
	return s.Key == other.Key && s.Status == other.Status && s.Access == other.Access && s.Current == other.Current &&
		s.Latest == other.Latest && s.Message == other.Message && s.PartlyRemoved == other.PartlyRemoved && slices.Equal(s.Regions, other.Regions)
}

// Bounds of what a service may ask of gateways for itself. A region's own may be narrower.
const (
	MinTimeout  = Duration(time.Second)
	MaxTimeout  = Duration(24 * time.Hour)
	LargestBody = 64 << 30
)

// Limits of a request.
const (
	MaxReplicas = 50
	MaxEnv      = 200
	MaxEnvBytes = 32 << 10
	MaxArgs     = 100
	MaxArgBytes = 32 << 10
	maxImage    = 512
	maxModule   = 1024
	maxPackage  = 1024
)

// DefaultPort is what $PORT says when the request names no port.
const DefaultPort = 8080

// Until when an instance must be ready: what a request may say, and what holds when it does not. It counts from when the instance is made,
// so it has room for pulling the image. A program that is not there in two minutes most often listens somewhere else.
const (
	MinStart     = Duration(10 * time.Second)
	DefaultStart = Duration(2 * time.Minute)
	MaxStart     = Duration(30 * time.Minute)
)

// Deadline is until when an instance must be ready.
func (s Spec) Deadline() time.Duration { return time.Duration(cmp.Or(s.Start, DefaultStart)) }

var (
	digest  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Validate says everything that is wrong with the request by itself, at once. Fields are called as the API's body and m3o.yaml call them.
func (r Request) Validate() error {
	var c fault.Checker
	r.Service.check(&c)
	r.Origin.check(&c)
	r.Spec.WithDefaults().check(&c)
	r.checkNames(&c)
	return c.Err()
}

// A service's host is one DNS label, <service>--<project>.
const (
	joint    = "--"
	maxNames = 63 - len(joint)
)

// check holds a service's names to what its host can be made of.
func (k Key) check(c *fault.Checker) {
	c.Check(region.IsLabel(k.Project), "project", "%.80q %s", k.Project, region.LabelRule)
	c.Check(region.IsLabel(k.Name), "name", "%.80q %s", k.Name, region.LabelRule)
	c.Check(!strings.Contains(k.Project, joint), "project", "%.80q has two hyphens in a row", k.Project)
	c.Check(!strings.Contains(k.Name, joint), "name", "%.80q has two hyphens in a row", k.Name)
	c.Check(len(k.Project)+len(k.Name) <= maxNames, "name", "%.80q and the project's name %.80q together have %d characters; at most %d make one host name",
		k.Name, k.Project, len(k.Project)+len(k.Name), maxNames)
}

func (o Origin) check(c *fault.Checker) {
	c.Check((o.Source == "") != (o.Image == ""), "source", "name either a source or an image")
	c.Check(o.Source == "" || digest.MatchString(o.Source), "source", "%.80q is not a digest of the form sha256:<64 hex digits>", o.Source)
	c.Check(o.Package == "" || isFolder(o.Package), "package", "%.80q is not a folder inside the source", o.Package)
	c.Check(o.Module == "" || len(o.Module) <= maxModule && module.CheckImportPath(o.Module) == nil, "module", "%.80q is not an import path", o.Module)
	c.Check(len(o.Image) <= maxImage && !strings.ContainsAny(o.Image, " \t\n"), "image",
		"%.80q is not an image reference: at most %d bytes, without spaces", o.Image, maxImage)
	o.Build.check(c)
}

// isFolder reports whether a package's folder has a name that files of Go modules may have. Braces mark other things where sources are
// built.
func isFolder(name string) bool {
	name = strings.TrimPrefix(name, "./")
	return name == "." || len(name) <= maxPackage && module.CheckFilePath(name) == nil && !strings.HasPrefix(name, "-") && !strings.ContainsAny(name, "{}")
}

func (s Spec) check(c *fault.Checker) {
	c.Check(s.Access == Public || s.Access == ByKey, "access", "%.80q is neither \"public\" nor \"key\"", s.Access)
	c.Check(s.Preflight == "" || s.Preflight == Public || s.Preflight == ByKey, "preflight", "%.80q is neither \"public\" nor \"key\"", s.Preflight)
	c.Check(s.Port >= 1 && s.Port <= 65535, "port", "%d is not between 1 and 65535", s.Port)
	c.Check(s.Protocol == "" || s.Protocol == HTTP || s.Protocol == H2C, "protocol", "%.80q is neither \"http\" nor \"h2c\"", s.Protocol)
	c.Check(s.Replicas >= 1 && s.Replicas <= MaxReplicas, "replicas", "%d is not between 1 and %d", s.Replicas, MaxReplicas)
	c.Check(s.Timeout == 0 || s.Timeout >= MinTimeout && s.Timeout <= MaxTimeout, "timeout", "%s is not between %s and %s", s.Timeout, MinTimeout, MaxTimeout)
	c.Check(s.MaxBody >= 0 && s.MaxBody <= LargestBody, "max_body", "%d bytes are not between 1 and %d (64GiB)", s.MaxBody, int64(LargestBody))
	c.Check(s.Start == 0 || s.Start >= MinStart && s.Start <= MaxStart, "start", "%s is not between %s and %s", s.Start, MinStart, MaxStart)
	c.Check(s.Health == "" || strings.HasPrefix(s.Health, "/") && len(s.Health) <= 256, "health", "%.80q is not a path: it begins with /", s.Health)
	s.checkArgs(c)
	s.checkEnv(c)
}

func (s Spec) checkArgs(c *fault.Checker) {
	args := strings.Join(s.Args, "")
	c.Check(len(s.Args) <= MaxArgs, "args", "%d arguments are more than %d", len(s.Args), MaxArgs)
	c.Check(len(args) <= MaxArgBytes, "args", "%d bytes are more than %d", len(args), MaxArgBytes)
	c.Check(!strings.Contains(args, "\x00"), "args", "arguments cannot hold NUL characters")
}

func (s Spec) checkEnv(c *fault.Checker) {
	c.Check(len(s.Env) <= MaxEnv, "env", "%d settings are more than %d", len(s.Env), MaxEnv)
	size := 0
	for _, name := range slices.Sorted(maps.Keys(s.Env)) { // in one order: validators run in workflows
		value := s.Env[name]
		size += len(name) + len(value)
		c.Check(envName.MatchString(name), "env", "%q is not the name of a setting", name)
		c.Check(!strings.Contains(value, "\x00"), "env", "%q cannot hold NUL characters", name)
		c.Check(name != "PORT", "env", "PORT is set from port: say port instead")
	}
	c.Check(size <= MaxEnvBytes, "env", "%d bytes are more than %d", size, MaxEnvBytes)
}
