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

// meanings are the events that make signals. A region's own events tell what became of what was done to it, and what its inspections
// found; whether it answers from outside is another key. A release that failed is mended by the next one that is ready, and so is a service
// that has none, or could not be removed.
var meanings = withTurns(map[string]meaning{
	"region.failed":   {"region", Trigger, Critical, "failed"},
	"region.degraded": {"region", Trigger, Error, "is degraded"},
	"region.ready":    {"region", Resolve, "", "is ready"},
	"region.deleted":  {"region", Resolve, "", "was deleted"},

	"release.failed":     {"release", Trigger, Error, "failed"},
	"release.rolledback": {"release", Trigger, Warning, "was rolled back"},
	"release.ready":      {"release", Resolve, "", "is ready"},
	"service.failed":     {"release", Trigger, Error, "failed"},
	"service.deleted":    {"release", Resolve, "", "was deleted"},
})

// turns are what events tell when it begins and when it ends.
var turns = []struct {
	event.Turn
	about    string
	severity Severity
	begins   string // what is said of the subject then
	ends     string
}{
	{event.RegionReach, "sight", Critical, "does not answer", "answers again"},
	{event.RegionsSeen, "sight", Critical, "no region answers", "regions answer again"},
	{event.ServiceWell, "health", Error, "is degraded", "is well again"},
	{event.RegionDrift, "drift", Warning, "is not as it was applied", "is as it was applied"},
	{event.QuotaNear, "quota", Warning, "is nearly used up", "has room again"},
	{event.TokenEnds, "token", Warning, "expires soon", "is revoked or not in use any more"},
	{event.CertEnds, "certificate", Error, "expires soon", "is renewed"},
	{event.QueueServed, "queue/served", Error, "is served by nobody", "is served again"},
	{event.QueueLag, "queue/lag", Warning, "lags", "lags no more"},
	{event.RelayMoves, "relay", Critical, "is stuck", "moves again"},
	{event.PagesArrive, "pages", Error, "do not arrive", "arrive again"},
}

func withTurns(all map[string]meaning) map[string]meaning {
	for _, t := range turns {
		all[t.Begins] = meaning{t.about, Trigger, t.severity, t.begins}
		all[t.Ends] = meaning{t.about, Resolve, "", t.ends}
	}
	return all
}

// FromEvent makes a signal of an event of the platform; false for one that is no news of something going wrong or being well again. A
// signal is its project's, or project "platform"'s. What a person's own token is about to do is recorded, and pages nobody.
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
		Labels: map[string]string{"kind": noun, "event": e.Kind, "subject": e.Subject}}
	if s.Project == "" {
		s.Project = Platform
	}
	s.place(e.Region)
	key, message := e.Subject, e.Message
	switch {
	case m.about == "health": // of a service in one region; the message begins with that
		s.Service, key, message = last(e.Subject), e.Subject+"/"+e.Region, strings.TrimPrefix(e.Message, e.Region+": ")
		if m.says += " in " + e.Region; message == e.Region {
			message = ""
		}
	case noun == "service":
		s.Service = last(e.Subject)
	case noun == "release": // project/service/number: one key for all releases of a service
		key = e.Subject[:max(0, strings.LastIndex(e.Subject, "/"))]
		s.Service = last(key)
	case noun == "page": // of a channel
		noun = "pages by"
	case noun == "token" && e.Project == "" && m.action == Trigger:
		s.Severity = Info
	}
	s.DedupKey = strings.TrimSuffix(m.about+"/"+key, "/")
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
