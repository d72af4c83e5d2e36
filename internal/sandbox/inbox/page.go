package inbox

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// shown is how many messages the page has.
const shown = 100

//go:embed page.html
var pageText string

//go:embed page.js
var pageScript string

var pageTemplate = template.Must(template.New("inbox").Funcs(template.FuncMap{"clock": clock, "pieces": pieces,
	"script": func() template.JS { return template.JS(pageScript) }}).Parse(pageText))

// pagePolicy lets the page run its own script and nothing else.
var pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + digest(pageScript) +
	"'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// received is what one person received, or a channel of many.
type received struct {
	ID, Name string
	Messages []Message
}

// page shows what each person received, the newest first.
func (s Server) page(w http.ResponseWriter, r *http.Request) {
	found, err := s.messages(r.Context(), "", shown)
	var text bytes.Buffer
	if err == nil {
		err = pageTemplate.Execute(&text, byPerson(found))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text.Bytes()) // the reader may have gone
}

func byPerson(all []Message) (people []received) {
	for _, m := range slices.Backward(all) {
		i := slices.IndexFunc(people, func(p received) bool { return p.Name == m.label() })
		if i < 0 {
			people, i = append(people, received{ID: plainID.ReplaceAllString(m.label(), "-"), Name: m.label()}), len(people)
		}
		people[i].Messages = append(people[i].Messages, m)
	}
	slices.SortFunc(people, func(a, b received) int { return strings.Compare(a.Name, b.Name) })
	return people
}

// plainID is what an element's id does without.
var plainID = regexp.MustCompile(`[^a-zA-Z0-9]`)

func clock(t time.Time) string { return t.Local().Format("15:04:05") }

// piece is a part of a text: a link, or not.
type piece struct {
	Text string
	Link bool
}

var link = regexp.MustCompile(`https?://[^\s<>"]*[^\s<>".,;:!?)]`)

// pieces takes a text apart, so that links in it can be clicked.
func pieces(text string) (all []piece) {
	for at := link.FindStringIndex(text); at != nil; at = link.FindStringIndex(text) {
		all = append(all, piece{Text: text[:at[0]]}, piece{Text: text[at[0]:at[1]], Link: true})
		text = text[at[1]:]
	}
	return append(all, piece{Text: text})
}
