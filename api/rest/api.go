package rest

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.temporal.io/sdk/converter"
	"golang.org/x/time/rate"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/channel/link"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/intake"
	"github.com/m3o/platform/internal/ticket"
)

// API is what the handlers need. All of it must be set, but for what says otherwise.
type API struct {
	Regions         Regions
	Services        Services
	Events          Events
	Accounts        Accounts
	AuditLog        AuditLog
	Identity        Identity
	Sessions        Sessions
	Claims          Claims
	Plans           PlanCommands
	RegionCommands  RegionCommands
	ServiceCommands ServiceCommands
	Attendance      Attendance // nil: nothing is said of it
	ProjectCommands ProjectCommands
	Alerts          Alerts
	AlertCommands   AlertCommands
	Drills          Drills
	AlertRules      AlertRules
	Alerting        Alerting
	Silences        Silences
	OnCall          OnCall
	Contacts        Contacts
	NotifyRules     NotifyRules
	ContactCommands ContactCommands
	Intake          Intake
	Received        *intake.Metrics // of Intake; nil: nobody counts
	Integrations    Integrations
	Heartbeats      Heartbeats
	Pings           Pings
	Tickets         Tickets
	Blobs           blob.Store
	CheckImage      func(project, reference string) error // why a project may not run an image that exists
	Codec           converter.PayloadCodec
	Metrics         http.Handler
	Ready           func(*http.Request) error // beyond the store: what else must answer before the API is of use
	Version         string
	TemporalUI      string        // origin that may read decrypted payloads through a browser
	BodyWait        time.Duration // for a request's body to come; 30 s when left out

	Callbacks    Callbacks
	LinkAlerts   LinkAlerts
	LinkCommands LinkCommands
	LinkKeys     ticket.Keys // of links in mails; without any, none is good
	SlackSecret  string      // that Slack signs with; empty: Slack is not set up

	SessionKey     []byte         // signs browsers' sessions: the same in every process of the API
	PublicURL      string         // how people reach the API; over https, cookies are for https alone
	TrustedProxies []netip.Prefix // whose X-Forwarded-For and -Proto are believed (none)

	mux       *http.ServeMux
	huma      huma.API
	routes    []Route
	strangers strangers
	logins    *logins
	streams   openStreams
	hooks     hookLimits
	status    published

	intakeLimits intake.Limits
	keys         *intake.Keys
}

// MaxBody bounds a JSON body.
const MaxBody = 2 << 20

// Handler builds the routes and returns them behind a limit of how long a body may take, tracing, and what every answer says.
func (a *API) Handler() http.Handler {
	a.mux = http.NewServeMux()
	a.BodyWait = cmp.Or(a.BodyWait, bodyWait)
	a.logins = newLogins()
	a.strangers.say = rate.Sometimes{First: 1, Interval: time.Minute}
	a.huma = humago.New(a.mux, a.configuration())
	a.registerRegions()
	a.registerPlans()
	a.registerServices()
	a.registerReleases()
	a.registerAccount()
	a.registerTokens()
	a.registerUsers()
	a.registerProjects()
	a.registerMembers()
	a.registerAlerts()
	a.registerAlerting()
	a.registerStatus()
	a.registerSilences()
	a.registerOnCall()
	a.registerContacts()
	a.registerHooks()
	a.registerLinks()
	a.registerIntake()
	a.registerPlain()
	a.mux.HandleFunc("/", nowhere)
	traced := otelhttp.NewHandler(withSecrets(withHeaders(a.mux)), "api", otelhttp.WithFilter(traceable))
	return hurried(a.BodyWait, withoutSecrets(traced))
}

// traceable reports whether a request is worth a trace, and may be in one: the address of a link is a permit.
func traceable(r *http.Request) bool {
	return r.URL.Path != "/healthz" && r.URL.Path != "/readyz" && !strings.HasPrefix(r.URL.Path, link.Path)
}

// schemaName tells apart what two nouns call the same: region.Progress is RegionProgress, release.Progress ReleaseProgress.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[huma.ErrorModel]():
		return "Problem"
	case reflect.TypeFor[huma.ErrorDetail]():
		return "ProblemDetail"
	}
	noun := path.Base(t.PkgPath())
	if !slices.Contains([]string{"region", "release", "alert"}, noun) {
		return name
	}
	if noun = strings.ToUpper(noun[:1]) + noun[1:]; strings.HasPrefix(name, noun) {
		return name
	}
	return noun + name
}

// Routes lists every route with its permission; Handler must have been called.
func (a *API) Routes() []Route { return a.routes }

// declare notes a route, and what it refuses beyond what follows from it. There is none without a permission.
func (a *API) declare(r Route) Route {
	if r.Permission == "" {
		panic("rest: the route " + r.Action + " declares no permission")
	}
	r.About = about(r.Action, r.Path, r.Permission)
	a.routes = append(a.routes, r)
	return r
}

// typed registers a route whose request and answer are JSON. This and plain are the only ways to register one. refuses are the
// statuses of problem documents that do not follow from the permission, the path, the parameters and the body.
func typed[I, O any](a *API, id, method, path, summary string, need account.Permission, status int, handler func(context.Context, *I) (*O, error), refuses ...int) {
	r := a.declare(Route{Method: method, Path: path, Action: id, Permission: need, typed: true, refuses: refuses})
	huma.Register(a.huma, huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, DefaultStatus: status, MaxBodyBytes: MaxBody,
		Middlewares: huma.Middlewares{a.enforce(r)}, BodyReadTimeout: a.BodyWait}, handler)
}

// enforce is guard for typed routes.
func (a *API) enforce(route Route) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		a.guard(route, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next(humago.NewContext(ctx.Operation(), r, w))
		})).ServeHTTP(w, r)
	}
}

// plain registers a route that huma does not type. cookies says whether a browser's session is as good as a token.
func (a *API) plain(id, method, path, summary string, need account.Permission, cookies bool, s shape, handler http.HandlerFunc) {
	r := a.declare(Route{Method: method, Path: path, Action: id, Permission: need, cookies: cookies, refuses: s.refuses})
	a.mux.Handle(method+" "+path, a.guard(r, cookies, punctual(handler)))
	if method != http.MethodOptions {
		a.huma.OpenAPI().AddOperation(describe(r, summary, s))
	}
}

// nowhere answers what no route does.
func nowhere(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, r, fault.New(fault.NotFound, "there is no %s %s; /v1/openapi.json lists what there is", r.Method, r.URL.Path))
}

// withHeaders sets what every answer says to browsers.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
