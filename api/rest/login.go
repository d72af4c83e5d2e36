package rest

import (
	"cmp"
	"context"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/fault"
)

// The login page gives a browser the session by which the Temporal UI, on another port of the same host, may have payloads
// decrypted. The token travels in a form's body, never in an address, and does not stay in the browser.
var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>M3O: log in</title>
<style>body{font:16px/1.5 system-ui;max-width:30rem;margin:6rem auto;padding:0 1rem}input,button{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin:.3rem 0}.bad{color:#b00020}</style>
<h1>Log in</h1>
<p>Paste the token from <code>admin.token</code> in the data directory. The Temporal UI can then show what workflows were given and answered.</p>
{{if .}}<p class="bad" role="alert">{{.}}</p>{{end}}
<form method="post"><label>Token <input name="token" type="password" autocomplete="off" autofocus required></label><button>Log in</button></form>
`))

func (a *API) loginPage(w http.ResponseWriter, _ *http.Request) { renderLogin(w, http.StatusOK, "") }

func renderLogin(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action *")
	w.WriteHeader(status)
	_ = loginPage.Execute(w, message) // a caller who went away
}

// login begins a browser's session.
func (a *API) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	value, err := a.beginSession(r)
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			a.strangers.note(r)
		}
		renderLogin(w, statusOf(problem(r.Context(), err)), fault.Message(err))
		return
	}
	a.setCookie(w, r, value)
	if a.TemporalUI == "" { // there is nowhere to go on to
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "You are logged in.\n") // a caller who went away
		return
	}
	http.Redirect(w, r, a.TemporalUI, http.StatusSeeOther)
}

func (a *API) beginSession(r *http.Request) (cookie string, err error) {
	if err := r.ParseForm(); err != nil {
		return "", late(err, fault.Wrap(fault.Invalid, err, "this is no form with a token"))
	}
	if err := a.logins.take(here(r.Context()).from); err != nil {
		return "", err
	}
	token := strings.TrimSpace(r.PostFormValue("token"))
	if err := account.CheckSecret(token, account.PersonToken, account.ServiceToken); err != nil {
		return "", err
	}
	known, hash := here(r.Context()), account.Hash(token)
	if known.caller, err = a.Accounts.Principal(r.Context(), hash); err != nil {
		return "", err
	}
	if _, err := a.append(r.Context(), "login", r.URL.Path, http.StatusSeeOther); err != nil {
		return "", err
	}
	id, value, expires := a.newSession(time.Now())
	return value, a.Sessions.BeginSession(r.Context(), id, hash, expires)
}

// CodeRequest exchanges the code of an invitation for a token.
type CodeRequest struct {
	Code string `json:"code" minLength:"1" maxLength:"200" doc:"The code that was handed over. It is good once."`
	Name string `json:"name,omitempty" maxLength:"63" doc:"Name of the token that is made; login when left out."`
}

// NewToken is a token that was just made. Its secret is shown here and nowhere else.
type NewToken struct {
	Secret  string        `json:"secret" doc:"Shown once."`
	Token   account.Token `json:"token"`
	Subject string        `json:"subject" doc:"Whose it is."`
}

// loginByCode makes a user's first token, or another for one who lost them all. Who hands in no code that is known is not
// audited: strangers could fill the log.
func (a *API) loginByCode(ctx context.Context, in *struct{ Body CodeRequest }) (*Body[NewToken], error) {
	known := here(ctx)
	if err := a.logins.take(known.from); err != nil {
		return nil, problem(ctx, err)
	}
	if err := account.CheckSecret(in.Body.Code, account.InviteCode); err != nil {
		return nil, problem(ctx, err)
	}
	code, name := account.Hash(in.Body.Code), cmp.Or(in.Body.Name, "login")
	user, err := a.Identity.Invited(ctx, code)
	if err != nil {
		return nil, problem(ctx, err)
	}
	known.caller = account.Principal{ID: user.ID, Subject: user.Name, Kind: account.Person}
	seq, err := a.append(ctx, "login-by-code", "/v1/tokens/"+name, 0)
	if err != nil {
		return nil, problem(ctx, err)
	}
	secret := account.NewSecret(account.PersonToken)
	token, _, err := a.Identity.Redeem(ctx, code, name, account.Hash(secret))
	if err != nil {
		err = problem(ctx, err)
		a.conclude(ctx, seq, statusOf(err))
		return nil, err
	}
	a.conclude(ctx, seq, http.StatusCreated)
	return &Body[NewToken]{NewToken{Secret: secret, Token: token, Subject: user.Name}}, nil
}

// logout makes the token that the request carries good no more, or ends the session that it carries.
func (a *API) logout(w http.ResponseWriter, r *http.Request) {
	known := here(r.Context())
	var err error
	if known.session != nil {
		if err = a.Sessions.EndSession(r.Context(), known.session); err == nil {
			a.setCookie(w, r, "")
		}
	} else {
		named(r.Context(), "/v1/tokens/"+known.caller.Token.Name)
		err = a.Identity.RevokeToken(r.Context(), known.caller.ID, known.caller.Token.ID, known.caller.Subject)
	}
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
