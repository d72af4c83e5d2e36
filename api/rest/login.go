package rest

import (
	"context"
	"html/template"
	"net/http"
	"time"

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

func (a *API) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	token := HashToken(r.PostFormValue("token"))
	p, err := a.Accounts.Principal(r.Context(), token)
	if err == nil {
		_, err = a.audit(r.WithContext(context.WithValue(r.Context(), principalKey{}, p)), "login", http.StatusSeeOther)
	}
	if err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			a.strangers.note(r)
		}
		renderLogin(w, statuses[fault.Of(err)], fault.Message(err))
		return
	}
	session := a.sessions.issue(token, time.Now())
	http.SetCookie(w, &http.Cookie{Name: SessionCookie, Value: session, Path: "/v1/codec", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, a.TemporalUI, http.StatusSeeOther)
}
