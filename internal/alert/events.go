package alert

import (
	"fmt"
	"strings"

	"github.com/m3o/platform/internal/event"
)

// meaning is what an event says of the key that it is about.
type meaning struct {
	about    string // begins the key: two events of one key have the same
	action   Action
	severity Severity
	says     string // what is said of the subject
}

// meanings are the events that make signals. A region is seen from outside by its gateway; its status is what the operator made of it.
// A service that is being deleted has no status to mend, and one that is gone no release.
var meanings = map[string]meaning{
	"region.failed":   {"region", Trigger, Critical, "failed"},
	"region.degraded": {"region", Trigger, Error, "is degraded"},
	"region.ready":    {"region", Resolve, "", "is ready"},
	"region.deleted":  {"region", Resolve, "", "was deleted"},
	"region.unseen":   {"sight", Trigger, Critical, "does not answer"},
	"region.seen":     {"sight", Resolve, "", "answers again"},
	"regions.unseen":  {"sight", Trigger, Critical, "no region answers"},
	"regions.seen":    {"sight", Resolve, "", "regions answer again"},

	"service.degraded":  {"health", Trigger, Error, "is degraded"},
	"service.recovered": {"health", Resolve, "", "is well again"},
	"service.failed":    {"service", Trigger, Error, "failed"},
	"service.running":   {"service", Resolve, "", "is running"},
	"service.deleting":  {"service", Resolve, "", "is being deleted"},
	"service.deleted":   {"release", Resolve, "", "was deleted"},

	"release.failed":     {"release", Trigger, Error, "failed"},
	"release.rolledback": {"release", Trigger, Warning, "was rolled back"},
	"release.ready":      {"release", Resolve, "", "is ready"},
}

// FromEvent makes a signal of an event of the platform; false for one that is no news of something going wrong or being well again. A
// signal is its project's, or project "platform"'s.
//
// Labels are kind (the noun of the event), event (its kind), subject, and as far as the event tells them platform and region.
func FromEvent(e event.Event) (Signal, bool) {
	m, known := meanings[e.Kind]
	if !known {
		return Signal{}, false
	}
	noun, _, _ := strings.Cut(e.Kind, ".")
	noun = strings.TrimSuffix(noun, "s")
	s := Signal{Project: e.Project, Action: m.action, Source: FromPlatform, Severity: m.severity, At: e.Time,
		Labels: map[string]string{"kind": noun, "event": e.Kind}}
	if s.Project == "" {
		s.Project = Platform
	}
	key, message := e.Subject, e.Message
	switch noun {
	case "region":
		s.place(e.Subject)
	case "service":
		s.Service = last(e.Subject)
		if m.about == "health" { // the message begins with the region
			region, rest, _ := strings.Cut(e.Message, ": ")
			s.place(region)
			key, message = e.Subject+"/"+region, rest
			m.says += " in " + region
		}
	case "release": // project/service/number: one key for all releases of a service
		if at := strings.LastIndex(e.Subject, "/"); at >= 0 {
			key = e.Subject[:at]
		}
		s.Service = last(key)
	}
	s.DedupKey = strings.TrimSuffix(m.about+"/"+key, "/")
	s.Labels["subject"] = e.Subject
	s.Summary = summary(noun, e.Subject, m.says, message)
	s.bound()
	return s, true
}

func summary(noun, subject, says, message string) string {
	text := says
	if subject != "" {
		text = fmt.Sprintf("%s %s %s", noun, subject, says)
	}
	if message != "" {
		text += ": " + message
	}
	return text
}

// place labels a signal with a region, written platform/name.
func (s *Signal) place(region string) {
	platform, name, qualified := strings.Cut(region, "/")
	if qualified {
		s.Labels["platform"], s.Labels["region"] = platform, name
	}
}

func last(subject string) string { return subject[strings.LastIndex(subject, "/")+1:] }

// bound cuts what is longer than a signal may be: an event's message may be a program's.
func (s *Signal) bound() {
	s.DedupKey, s.Details = shorten(s.DedupKey, MaxDedupKey), shorten(s.Details, MaxDetails)
	if len(s.Summary) > MaxSummary {
		s.Details, s.Summary = shorten(s.Summary, MaxDetails), shorten(s.Summary, MaxSummary)
	}
	for name, value := range s.Labels {
		if value == "" {
			delete(s.Labels, name)
			continue
		}
		s.Labels[name] = shorten(value, MaxLabel)
	}
}

// shorten cuts a text to a number of bytes, at a character.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
