package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

type principalKey struct{}

// caller is who calls, as the guard found.
func caller(ctx context.Context) account.Principal {
	p, _ := ctx.Value(principalKey{}).(account.Principal)
	return p
}

// HashToken is what is kept of a token. Tokens are long and random, so a fast hash is enough.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

type requestKey struct{}

// requestOf is the id of the request, as its answer and the log have it.
func requestOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// guard lets a request through to next if its caller holds the permission, and keeps changes in the audit log.
func (a *API) guard(action string, need account.Permission, cookies bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		w.Header().Set("X-Request-Id", id)
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, id))
		if need == account.Anyone {
			next.ServeHTTP(w, r)
			return
		}
		p, err := a.authenticate(r, cookies)
		if err != nil {
			a.turnAway(w, r, err)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), principalKey{}, p))
		permitted := next
		if err := allowed(p, need); err != nil {
			permitted = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { writeProblem(w, r, err) })
		}
		if changes(r.Method) {
			permitted = a.audited(action, permitted)
		}
		permitted.ServeHTTP(w, r)
	})
}

// allowed says why a principal may not do what needs the permission.
func allowed(p account.Principal, need account.Permission) error {
	switch {
	case p.May(need):
		return nil
	case need.PlatformWide() && p.Project != "":
		return fault.New(fault.Denied, "%s may not do this: it acts in project %q alone, and %q is for the whole platform", p.Subject, p.Project, need)
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

func (a *API) authenticate(r *http.Request, cookies bool) (account.Principal, error) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if cookie, err := r.Cookie(SessionCookie); !found && cookies && err == nil {
		return a.inSession(r.Context(), cookie.Value)
	}
	if !found || token == "" {
		return account.Principal{}, fault.New(fault.Unauthenticated, "no token: send Authorization: Bearer <token> (see admin.token in the data directory, or set M3O_TOKEN)")
	}
	return a.Accounts.Principal(r.Context(), HashToken(token))
}

// inSession is who began the session. The token is looked up every time, so that its end is the session's too.
func (a *API) inSession(ctx context.Context, value string) (account.Principal, error) {
	hash, err := a.sessions.tokenHash(value, time.Now())
	if err != nil {
		return account.Principal{}, err
	}
	p, err := a.Accounts.Principal(ctx, hash)
	return ofSession(p), err
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
