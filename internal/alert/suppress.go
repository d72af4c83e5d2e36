package alert

import (
	"fmt"
	"slices"
	"time"

	"github.com/m3o/platform/internal/fault"
)

// Limits of silences.
const (
	MaxSilence  = 30 * 24 * time.Hour  // from its beginning to its end
	MaxAhead    = 366 * 24 * time.Hour // from its making to its beginning
	MaxMatchers = 20
	MaxComment  = 1000
	NoticeAhead = time.Hour // how long before a silence ends its author is told; half of a shorter one
)

// Suppresses says why nobody is to be paged for an alert now, and until when that holds at least; "" when nothing does. A silence and a
// window hold what is being escalated, too: nobody wants a page for what somebody has silenced.
func (v View) Suppresses(in PlanInput) (why string, until time.Time) {
	if s, ok := Silencing(v.Silences, in.Labels, in.At); ok {
		return s.Why(), s.Ends
	}
	if by, ok := v.inhibits(in); ok {
		return by, in.At.Add(InhibitedFor)
	}
	return "", time.Time{}
}

// Silencing is the silence that stops such labels at a time: of several, the one that ends last.
func Silencing(all []Silence, labels map[string]string, at time.Time) (found Silence, ok bool) {
	for _, s := range all {
		if s.Holds(at) && MatchesAll(s.Match, labels) && (!ok || s.Ends.After(found.Ends)) {
			found, ok = s, true
		}
	}
	return found, ok
}

// NextWindow is when the next silence or maintenance window begins that stops such labels after a time; zero when none does.
func NextWindow(all []Silence, labels map[string]string, after time.Time) (begins time.Time) {
	for _, s := range all {
		if s.Begins.After(after) && MatchesAll(s.Match, labels) && (begins.IsZero() || s.Begins.Before(begins)) {
			begins = s.Begins
		}
	}
	return begins
}

// Holds reports whether the silence has begun and has not ended.
func (s Silence) Holds(at time.Time) bool { return !at.Before(s.Begins) && at.Before(s.Ends) }

// Noun is what people call it.
func (s Silence) Noun() string {
	if s.Maintenance {
		return "maintenance window"
	}
	return "silence"
}

// Why says what it stops, as the log of an alert tells it.
func (s Silence) Why() string {
	return fmt.Sprintf("%s %s of %s until %s: %s", s.Noun(), s.ID, s.By, s.Ends.UTC().Format(time.RFC3339), s.Comment)
}

// NoticeAt is when its author is told that it ends soon.
func (s Silence) NoticeAt() time.Time { return s.Ends.Add(-min(NoticeAhead, s.Ends.Sub(s.Begins)/2)) }

// DueAt is when its status changes next by time alone; zero when it is over.
func (s Silence) DueAt() time.Time {
	switch s.Status {
	case SilenceAhead:
		return s.Begins
	case SilenceActive:
		return s.NoticeAt()
	case SilenceEnding:
		return s.Ends
	}
	return time.Time{}
}

// Next is its status after DueAt.
func (s Silence) Next() SilenceStatus {
	switch s.Status {
	case SilenceAhead:
		return SilenceActive
	case SilenceActive:
		return SilenceEnding
	}
	return SilenceOver
}

// Events of what plans are made of. Whoever escalates decides anew after each: see ChangesPlans.
const (
	RulesAppliedEvent    = "rules.applied"
	SilenceCreatedEvent  = "silence.created"
	SilenceBegunEvent    = "silence.begun"
	SilenceOverEvent     = "silence.over"
	OverrideCreatedEvent = "override.created"
	OverrideEndedEvent   = "override.ended"
	UserActiveEvent      = "user.active"
	UserSuspendedEvent   = "user.suspended"
	UserRemovedEvent     = "user.removed"
	ContactVerifiedEvent = "contact.verified"
	ContactRemovedEvent  = "contact.removed"
)

// ChangesPlans reports whether an event of this kind may change what MakePlan says of the project's alerts; of no project, of all alerts.
func ChangesPlans(kind string) bool {
	return slices.Contains([]string{RulesAppliedEvent, SilenceCreatedEvent, SilenceBegunEvent, SilenceOverEvent, OverrideCreatedEvent, OverrideEndedEvent,
		UserActiveEvent, UserSuspendedEvent, UserRemovedEvent, ContactVerifiedEvent, ContactRemovedEvent}, kind)
}

// Validate says all that is wrong with a silence that is to be made now.
func (s Silence) Validate(now time.Time) error {
	var c fault.Checker
	c.Check(len(s.Match) > 0, "match", "is empty: a silence without a matcher would stop every alert; write severity=~.* if that is meant")
	c.Check(len(s.Match) <= MaxMatchers, "match", "%d matchers are more than %d", len(s.Match), MaxMatchers)
	for i, m := range s.Match {
		m.check(&c, fmt.Sprintf("match[%d]", i))
	}
	c.Check(s.Comment != "", "comment", "is empty: say why, for whoever wonders")
	c.Check(len(s.Comment) <= MaxComment, "comment", "has %d bytes; at most %d are kept", len(s.Comment), MaxComment)
	c.Check(s.Begins.Before(s.Ends), "ends", "%s is not after %s, when it begins", s.Ends.UTC().Format(time.RFC3339), s.Begins.UTC().Format(time.RFC3339))
	c.Check(s.Ends.After(now), "ends", "%s is in the past", s.Ends.UTC().Format(time.RFC3339))
	c.Check(s.Ends.Sub(s.Begins) <= MaxSilence, "ends", "%s is more than 30 days after it begins", s.Ends.UTC().Format(time.RFC3339))
	c.Check(s.Begins.Sub(now) <= MaxAhead, "begins", "%s is more than a year ahead", s.Begins.UTC().Format(time.RFC3339))
	return c.Err()
}

// inhibits says which firing key inhibits the alert. An alert never inhibits itself, and two that would inhibit each other by one rule
// both page.
func (v View) inhibits(in PlanInput) (why string, ok bool) {
	for _, rule := range v.Rules.Inhibit {
		if !MatchesAll(rule.Target, in.Labels) {
			continue
		}
		mutual := MatchesAll(rule.Source, in.Labels)
		i := slices.IndexFunc(v.Firing, func(k Key) bool {
			labels := k.LabelSet()
			return k.Group != in.Alert.Group && MatchesAll(rule.Source, labels) && rule.alike(labels, in.Labels) && !(mutual && MatchesAll(rule.Target, labels))
		})
		if i >= 0 {
			return fmt.Sprintf("inhibited: %s fires", rule.sourceText(v.Firing[i].LabelSet())), true
		}
	}
	return "", false
}

// alike reports whether two sets of labels are the same in Equal; a label that neither has is the same in both.
func (i Inhibition) alike(a, b map[string]string) bool {
	return !slices.ContainsFunc(i.Equal, func(name string) bool { return a[name] != b[name] })
}

// sourceText is what fires, in the words of the rule: the labels that it looks at.
func (i Inhibition) sourceText(labels map[string]string) string {
	text := ""
	add := func(name string) {
		if value := labels[name]; value != "" {
			text += fmt.Sprintf(" %s=%s", name, value)
		}
	}
	for _, m := range i.Source {
		add(m.Name)
	}
	for _, name := range i.Equal {
		if !slices.ContainsFunc(i.Source, func(m Matcher) bool { return m.Name == name }) {
			add(name)
		}
	}
	return "an alert with" + text
}
