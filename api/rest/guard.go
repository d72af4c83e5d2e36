package rest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// Route is one route: what it does, the permission it needs, and of what a request to it is.
type Route struct {
	Method, Path, Action string
	Permission           account.Permission
	About                About

	typed   bool  // whether huma reads its parameters and body
	cookies bool  // whether a browser's session is as good as a token
	refuses []int // statuses that do not follow from the rest
}

// About says how the guard finds out where the permission must be held.
type About string

// What a request is about.
const (
	AboutCaller   About = "caller"   // what belongs to the caller, or to nobody
	AboutPlatform About = "platform" // what belongs to no project
	AboutProject  About = "project"  // the project in its path or query, else the caller's own, else the default one
	AboutMany     About = "projects" // the project in its query, else every one in which the caller holds the permission
)

// about is what requests to a route are about, as its path and permission tell.
func about(action, path string, need account.Permission) About {
	switch {
	case need == account.Anyone, need == account.Known, need.Own():
		return AboutCaller
	case need.PlatformWide():
		return AboutPlatform
	case action == "stream-events" && !strings.Contains(path, "{project}"):
		return AboutMany
	}
	return AboutProject
}

// work lists the routes that begin or show work: a suspended project is refused them.
var work = []string{"create-release", "rollback-service", "put-source", "create-call-ticket", "create-log-ticket", "get-build-log"}

// Works reports whether a suspended project is refused the route.
func (r Route) Works() bool { return slices.Contains(work, r.Action) }

// closed reports whether a project that is being removed is refused the route: every change but the removal itself.
func (r Route) closed() bool { return r.Works() || changes(r.Method) && r.Action != "delete-project" }

// request is what the guard found out of one request.
type request struct {
	id      string
	from    string // where it comes from
	route   Route
	caller  account.Principal
	token   []byte // hash of the token that the caller presented, or began the session with
	session []byte // hash of the session's id, if it came with one
	project account.Project
	target  string // what an audited change was done to, once it has a name
}

type requestKey struct{}

// here is the request that a context is of.
func here(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// caller is who calls, as the guard found.
func caller(ctx context.Context) account.Principal { return here(ctx).caller }

// project is the project of a request about one.
func project(ctx context.Context) account.Project { return here(ctx).project }

// requestOf is the id of the request, as its answer and the log have it.
func requestOf(ctx context.Context) string { return here(ctx).id }

// named keeps for the audit log what a change was done to.
func named(ctx context.Context, target string) { here(ctx).target = target }

// guard lets a request through to next if its caller holds the permission where the request is about, and keeps changes in
// the audit log.
func (a *API) guard(route Route, cookies bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known := &request{id: requestID(r), from: a.from(r), route: route}
		w.Header().Set("X-Request-Id", known.id)
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, known))
		if route.Permission == account.Anyone {
			next.ServeHTTP(w, r)
			return
		}
		if err := a.authenticate(r, known, cookies); err != nil {
			a.turnAway(w, r, err)
			return
		}
		permitted := next
		if err := a.admit(r, known); err != nil {
			permitted = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { writeProblem(w, r, err) })
		}
		if changes(r.Method) {
			permitted = a.audited(route.Action, permitted)
		}
		permitted.ServeHTTP(w, r)
	})
}

// admit says why the caller may not do this. It asks for the permission before it looks whether the project exists, so that
// nobody learns of projects which are not theirs.
func (a *API) admit(r *http.Request, known *request) error {
	p, route := known.caller, known.route
	switch route.About {
	case AboutCaller:
		return allowed(p, route.Permission, "")
	case AboutPlatform:
		known.project.Name = r.PathValue("project") // for the audit log alone: the permission is the platform's
		return allowed(p, route.Permission, "")
	case AboutMany:
		return a.admitMany(r, route.Permission, known)
	}
	known.project.Name = cmp.Or(r.PathValue("project"), r.URL.Query().Get("project"), p.Home())
	if err := account.CheckProject("project", known.project.Name); err != nil {
		return err
	}
	if err := allowed(p, route.Permission, known.project.Name); err != nil {
		return err
	}
	found, err := a.Accounts.Project(r.Context(), known.project.Name)
	if err != nil {
		return err
	}
	known.project = found
	if route.Works() || found.Status == account.ProjectRemoving && route.closed() {
		return found.Takes()
	}
	return nil
}

// readmit says why a request that was let in would not be now.
func (a *API) readmit(r *http.Request) (err error) {
	known := *here(r.Context())
	if known.caller, err = a.Accounts.Principal(r.Context(), known.token); err != nil {
		return err
	}
	return a.admit(r, &known)
}

// whileAdmitted is the request with a context that ends when it would not be let in any more. That nobody can tell ends
// nothing. stop ends it in any case.
func (a *API) whileAdmitted(r *http.Request) (admitted *http.Request, stop func()) {
	ctx, cancel := context.WithCancelCause(r.Context())
	go func() {
		ask := time.NewTicker(askEvery)
		defer ask.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ask.C:
			}
			if err := a.readmit(r); refused(err) {
				cancel(err)
				return
			}
		}
	}()
	return r.WithContext(ctx), func() { cancel(nil) }
}

func refused(err error) bool {
	return fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict)
}

// admitMany is admit for what may be of one project or of many.
func (a *API) admitMany(r *http.Request, need account.Permission, known *request) error {
	if known.project.Name = r.URL.Query().Get("project"); known.project.Name != "" {
		return allowed(known.caller, need, known.project.Name)
	}
	if within, all := known.caller.Within(need); len(within) == 0 && !all {
		return allowed(known.caller, need, "")
	}
	return nil
}

// allowed says why a principal may not do what needs the permission, there.
func allowed(p account.Principal, need account.Permission, project string) error {
	switch {
	case p.May(need, project):
		return nil
	case need.PlatformWide() && p.Project != "":
		return fault.New(fault.Denied, "%s may not do this: it acts in project %q alone, and %q is for the whole platform", p.Subject, p.Project, need)
	case project != "" && (p.Project != "" && p.Project != project || len(p.Platform) == 0 && len(p.Projects[project]) == 0):
		return fault.New(fault.Denied, "%s may not act in project %q", p.Subject, shorten(project, maxProject))
	case project != "":
		return fault.New(fault.Denied, "%s may not do this in project %q: it needs %q", p.Subject, shorten(project, maxProject), need)
	}
	return fault.New(fault.Denied, "%s may not do this: it needs %q", p.Subject, need)
}

// turnAway answers a caller nobody knows. Strangers are counted, not audited: they could fill the log.
func (a *API) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	if fault.Is(err, fault.Unauthenticated) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="m3o"`)
		a.strangers.note(r)
	}
	writeProblem(w, r, err)
}

func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// authenticate finds out who calls. What is no token is refused without a look at the store.
func (a *API) authenticate(r *http.Request, known *request, cookies bool) error {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if cookie, err := r.Cookie(SessionCookie); !found && cookies && err == nil {
		return a.inSession(r, known, cookie.Value)
	}
	if !found || token == "" {
		return fault.New(fault.Unauthenticated, "no token: send Authorization: Bearer <token> (see admin.token in the data directory, or set M3O_TOKEN)")
	}
	if err := account.CheckSecret(token, account.PersonToken, account.ServiceToken); err != nil {
		return err
	}
	var err error
	known.token = account.Hash(token)
	known.caller, err = a.Accounts.Principal(r.Context(), known.token)
	return err
}

// requestID is the caller's, if it is sane, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	sane := func(c rune) bool {
		return c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	if id != "" && len(id) <= 64 && strings.IndexFunc(id, func(c rune) bool { return !sane(c) }) < 0 {
		return id
	}
	random := make([]byte, 12)
	rand.Read(random) // never fails, see crypto/rand
	return hex.EncodeToString(random)
}
