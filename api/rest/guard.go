package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/event"
	"github.com/m3o/platform/internal/fault"
)

// SessionCookie carries a browser's token to the routes that browsers call (the Temporal UI's codec endpoint).
const SessionCookie = "m3o_session"

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
		if err == nil {
			err = allowed(p, need)
		}
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		if err != nil {
			if fault.Is(err, fault.Unauthenticated) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="m3o"`)
			}
			writeProblem(seen, r, err)
		} else {
			next.ServeHTTP(seen, r.WithContext(context.WithValue(r.Context(), principalKey{}, p)))
		}
		if changes(r.Method) {
			a.audit(r, p, action, id, seen.status)
		}
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

func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

func (a *API) authenticate(r *http.Request, cookies bool) (account.Principal, error) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if cookie, err := r.Cookie(SessionCookie); !found && cookies && err == nil {
		token, found = cookie.Value, true
	}
	if !found || token == "" {
		return account.Principal{}, fault.New(fault.Unauthenticated, "no token: send Authorization: Bearer <token> (see admin.token in the data directory, or set M3O_TOKEN)")
	}
	return a.Accounts.Principal(r.Context(), HashToken(token))
}

// audit keeps who did what, even when the caller has gone away meanwhile.
func (a *API) audit(r *http.Request, p account.Principal, action, id string, status int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
	defer cancel()
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	project := p.Project
	if project == "" {
		project = r.URL.Query().Get("project")
	}
	entry := event.Audit{Time: time.Now().UTC(), Subject: p.Subject, Kind: string(p.Kind), Project: project, Action: action,
		Target: r.URL.Path, From: from, RequestID: id, Status: status}
	if err := a.Accounts.AppendAudit(ctx, entry); err != nil {
		slog.ErrorContext(ctx, "the audit log could not be written", "error", err, "action", action, "subject", p.Subject, "request_id", id)
	}
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

// statusWriter remembers the status for the audit log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what this wraps.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush passes on what is written so far.
func (w *statusWriter) Flush() {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // a writer that cannot flush sends later
}
