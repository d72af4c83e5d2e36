package alert

import (
	"fmt"
	"time"
)

// Notice is what a person should know, and nobody has to acknowledge. Key says what it is about ("silence/<id>"): it is sent once.
type Notice struct {
	Key     string    `json:"key"`
	Project string    `json:"project"`
	Person  string    `json:"person"`
	Content Content   `json:"content"`
	Until   time.Time `json:"until"` // when it is of no use any more
}

// Notice tells the silence's author that it ends soon.
func (s Silence) Notice() Notice {
	lines := []string{"Comment: " + s.Comment}
	for _, m := range s.Match {
		lines = append(lines, "Matches: "+m.String())
	}
	title := fmt.Sprintf("Your %s in project %s ends at %s: alerts that match page again then", s.Noun(), s.Project, s.Ends.UTC().Format(time.RFC3339))
	return Notice{Key: "silence/" + s.ID, Project: s.Project, Person: s.By, Until: s.Ends,
		Content: Content{Title: title, Lines: lines[:min(len(lines), MaxLines)], More: max(0, len(lines)-MaxLines), Severity: Info, At: s.NoticeAt()}}
}

// Recipient is a person by their contacts, in the order in which they, or the rules, want them to be used. A person who cannot be reached
// has none, and why says so.
func (v View) Recipient(name string) (r Recipient, why string) {
	r, why = v.person(name)
	r.Name = name
	return r, why
}
