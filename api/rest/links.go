package rest

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel/link"
	"github.com/m3o/platform/internal/fault"
)

//go:embed links.html
var linkSource string

var linkPage = template.Must(template.New("link").Parse(linkSource))

// linkView is what the page of a link shows.
type linkView struct {
	Title   string
	Message string
	Alert   *alert.Alert
	Button  string // empty: there is nothing to do
}

func (a *API) registerLinks() {
	page := textOf("text/html", "The page.")
	others := map[string]*huma.Response{"403": {Description: "The page, which says that the link is not valid, or its person no active user any more.", Content: contents(page, nil)},
		"409": {Description: "The page, which says that the alert has ended, or the link expired.", Content: contents(page, nil)}}
	for _, status := range []int{http.StatusNotFound, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		others[strconv.Itoa(status)] = &huma.Response{Description: "The page, which says why. " + refusalsAbout[status], Content: contents(page, nil)}
	}
	path := link.Path + "{token}"
	a.plain("show-link", http.MethodGet, path, "Show what a link in a mail would do; it changes nothing", account.Anyone, false,
		shape{about: "The page.", gives: page, others: others}, a.showLink)
	a.plain("use-link", http.MethodPost, path, "Do what a link in a mail permits", account.Anyone, false,
		shape{about: "The page, which says what was done.", gives: page, others: others}, a.useLink)
}

// showLink asks. Mail scanners follow links, so this changes nothing.
func (a *API) showLink(w http.ResponseWriter, r *http.Request) {
	l, current, err := a.linked(r)
	if err != nil {
		renderFailure(w, r, err)
		return
	}
	renderLink(w, http.StatusOK, linkView{Title: linkTitle(l), Alert: &current, Button: linkButton(l), Message: already(l, current)}.settled())
}

// useLink does what the link permits, as the person that it was sent to.
func (a *API) useLink(w http.ResponseWriter, r *http.Request) {
	l, current, err := a.linked(r)
	if err != nil {
		renderFailure(w, r, err)
		return
	}
	if message := already(l, current); message != "" {
		status := http.StatusOK
		if current.Status.Final() {
			status = http.StatusConflict
		}
		renderLink(w, status, linkView{Title: "Nothing was done", Alert: &current, Message: message})
		return
	}
	after, err := a.commandByLink(r, l, current)
	if err != nil {
		renderFailure(w, r, err)
		return
	}
	renderLink(w, http.StatusOK, linkView{Title: "Done", Alert: &after, Message: fmt.Sprintf("Alert #%d is %s.", after.Number, after.Status)})
}

// linked is the link of a request, and its alert. The person must be an active user still.
func (a *API) linked(r *http.Request) (link.Link, alert.Alert, error) {
	if err := a.hooks.take(here(r.Context()).from); err != nil {
		return link.Link{}, alert.Alert{}, err
	}
	l, err := link.Verify(a.LinkKeys, r.PathValue("token"), time.Now())
	if err != nil {
		return l, alert.Alert{}, err
	}
	known := here(r.Context())
	known.caller = account.Principal{Kind: account.Person, Subject: l.Address}
	if l.Person != "" {
		if known.caller, err = a.LinkAlerts.Rights(r.Context(), l.Person); fault.Is(err, fault.NotFound) {
			err = fault.New(fault.Denied, "whoever this link was sent to is no user any more")
		}
		if err != nil {
			return l, alert.Alert{}, err
		}
	}
	current, err := a.LinkAlerts.Alert(r.Context(), l.Project, l.Alert)
	return l, current, err
}

// commandByLink does what the link permits, in the audit log. The alert's version is part of the command's id: pressed twice it is one command,
// and pressed again when the alert is open again it is another.
func (a *API) commandByLink(r *http.Request, l link.Link, current alert.Alert) (alert.Alert, error) {
	ctx := r.Context()
	sum := sha256.Sum256([]byte(r.PathValue("token")))
	id := fmt.Sprintf("link/%s/%d", hex.EncodeToString(sum[:16]), current.Version)
	seq, err := a.append(ctx, "use-link", fmt.Sprintf("/v1/alerts/%d", l.Alert), 0)
	if err != nil {
		return alert.Alert{}, err
	}
	after, err := a.LinkCommands.CommandAlert(ctx, id, l.Project, current.Group, l.Do, alert.Command{Number: l.Alert, By: cmp.Or(l.Person, l.Address), Via: alert.Email})
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.Conflict, "alert #%d has ended", l.Alert)
	}
	status := http.StatusOK
	if err != nil {
		status = statusOf(problem(ctx, err))
	}
	a.conclude(context.WithoutCancel(ctx), seq, status)
	return after, err
}

// already says why there is nothing to do for a link, "" when there is.
func already(l link.Link, current alert.Alert) string {
	switch {
	case current.Status.Final():
		return fmt.Sprintf("Alert #%d is %s already.", current.Number, current.Status)
	case l.Do == alert.AcknowledgeUpdate && current.Status == alert.Acknowledged:
		return fmt.Sprintf("Alert #%d was acknowledged already by %s.", current.Number, current.AcknowledgedBy)
	}
	return ""
}

func linkTitle(l link.Link) string {
	if l.Do == alert.ResolveUpdate {
		return "Resolve this alert?"
	}
	return "Acknowledge this alert?"
}

func linkButton(l link.Link) string { return l.Do }

// settled is the view without a question when there is nothing to do.
func (v linkView) settled() linkView {
	if v.Message != "" {
		v.Title, v.Button = "There is nothing to do", ""
	}
	return v
}

// renderFailure says on the page what went wrong.
func renderFailure(w http.ResponseWriter, r *http.Request, err error) {
	answer := problem(r.Context(), err)
	title := "That did not work"
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.Conflict) {
		title = "This link is of no use"
	}
	renderLink(w, statusOf(answer), linkView{Title: title, Message: sentence(answer)})
}

// sentence is what a problem document says.
func sentence(err error) string {
	if document, ok := err.(*huma.ErrorModel); ok {
		return document.Detail
	}
	return "something went wrong on our side; try again in a moment"
}

func renderLink(w http.ResponseWriter, status int, v linkView) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer") // its address is the link
	w.WriteHeader(status)
	_ = linkPage.Execute(w, v) // a caller who went away
}
