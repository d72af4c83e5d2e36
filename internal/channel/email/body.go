package email

import (
	_ "embed"
	"fmt"
	htmltemplate "html/template"
	texttemplate "text/template"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/channel"
)

var (
	//go:embed body.txt
	textSource string
	//go:embed body.html
	htmlSource string

	textBody = texttemplate.Must(texttemplate.New("text").Parse(textSource))
	htmlBody = htmltemplate.Must(htmltemplate.New("html").Parse(htmlSource)) // escapes what it is given
)

// view is what the templates show. All of it is on one line each, see channel.Line.
type view struct {
	Headline string
	Lines    []string
	Labels   []string
	At       string
	Project  string
	Buttons  []button
}

type button struct{ Name, URL string }

// view is a page for the templates, with links for its reader where there is something to do.
func (a *Adapter) view(p alert.Page, now time.Time) (view, error) {
	v := view{Headline: channel.Headline(p), Lines: channel.Lines(p), Labels: channel.Labels(p), Project: channel.Line(p.Project, 80),
		At: p.Content.At.UTC().Format("2006-01-02 15:04:05 UTC")}
	if p.Kind != alert.PageTrigger || a.Links == nil {
		return v, nil
	}
	for _, b := range []struct{ name, do string }{{"Acknowledge", alert.AcknowledgeUpdate}, {"Resolve", alert.ResolveUpdate}} {
		url, err := a.Links(p, b.do, now)
		if err != nil {
			return view{}, fmt.Errorf("link to %s: %w", b.name, err)
		}
		v.Buttons = append(v.Buttons, button{Name: b.name, URL: url})
	}
	return v, nil
}
