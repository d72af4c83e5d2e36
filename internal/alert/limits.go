package alert

import "fmt"

// The limits that hold where the rules say nothing, and the most that they may say.
const (
	DefaultPagesPerAlert  = 10
	DefaultPerPersonHour  = 60
	DefaultPerContactHour = 30
	MaxPages              = 1000
)

// WithDefaults fills in what is left out.
func (l Limits) WithDefaults() Limits {
	for _, f := range []struct {
		value    *int
		standard int
	}{{&l.PagesPerAlert, DefaultPagesPerAlert}, {&l.PerPersonHour, DefaultPerPersonHour}, {&l.PerContactHour, DefaultPerContactHour}} {
		if *f.value == 0 {
			*f.value = f.standard
		}
	}
	return l
}

// Before is how many pages of kind PageTrigger went out before one that is to be decided about.
type Before struct {
	Alert   int // of the alert
	Person  int // to the person by all channels, in the last hour
	Contact int // to the contact, in the last hour
}

// Refuses says which limit forbids one more page to a person and a contact; "" when none does. What tells people how an alert ended is not
// limited: it answers a page that was.
func (l Limits) Refuses(kind PageKind, person string, sent Before) string {
	l = l.WithDefaults()
	switch {
	case kind == PageAcknowledged || kind == PageResolved:
		return ""
	case kind == PageTrigger && sent.Alert >= l.PagesPerAlert:
		return fmt.Sprintf("limit: %d pages were sent of this alert, the most by pages_per_alert", sent.Alert)
	case sent.Contact >= l.PerContactHour:
		return fmt.Sprintf("limit: %d pages were sent to this contact within an hour, the most by per_contact_hour", sent.Contact)
	case person != "" && sent.Person >= l.PerPersonHour:
		return fmt.Sprintf("limit: %d pages were sent to %s within an hour, the most by per_person_hour", sent.Person, person)
	}
	return ""
}
