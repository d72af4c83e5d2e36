package alert

import (
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/oncall"
)

// The most that rules may hold.
const (
	MaxSchedules = 50
	MaxPolicies  = 50
	MaxSteps     = 20
	MaxTargets   = 20
	MaxRepeat    = 20
	MaxRoutes    = 100
	MaxGroupBy   = 10
	MaxInhibit   = 50
	MaxNotify    = 10

	MaxDelay       = Duration(24 * time.Hour)     // of a step, a line of notify, resolve_after and group_interval
	MaxWait        = Duration(10 * time.Minute)   // of group_wait
	MaxAcknowledge = Duration(7 * 24 * time.Hour) // of acknowledged_for
	MinAcknowledge = Duration(time.Minute)
)

var (
	ruleName     = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`)
	slackChannel = regexp.MustCompile(`^(#[a-z0-9_-]{1,80}|[CDGU][A-Z0-9]{5,20})$`)
)

const ruleNameRule = "must be a DNS label: lower-case letters, digits and hyphens, beginning with a letter, at most 40 characters"

// Validate says all that is wrong with the rules, each problem with its field, its rule and its value. Whether there are such people the
// store knows: see UnknownPeople.
func (r Rules) Validate() error {
	c := &fault.Checker{}
	c.Check(ruleName.MatchString(r.Project), "project", "%.60q %s", r.Project, ruleNameRule)
	r.checkSchedules(c)
	count(c, len(r.Policies), MaxPolicies, "policies")
	unique(c, r.Policies, "policies", func(p Policy) string { return p.Name })
	for i, p := range r.Policies[:min(len(r.Policies), MaxPolicies)] {
		r.checkPolicy(c, p, fmt.Sprintf("policies[%d].", i))
	}
	count(c, len(r.Routes), MaxRoutes, "routes")
	unique(c, r.Routes, "routes", func(route Route) string { return route.Name })
	for i, route := range r.Routes[:min(len(r.Routes), MaxRoutes)] {
		at := fmt.Sprintf("routes[%d].", i)
		c.Check(route.Name != DefaultRoute, at+"name", "%q is the name of the default route", route.Name)
		c.Check(len(route.Match) > 0, at+"match", "is empty: what every signal matches is the default route")
		r.checkRoute(c, route, at)
	}
	c.Check(r.Default.Policy != "" || r.Default.Urgency == Low, "default.policy", "is empty: what no route matches would page nobody; name a policy, or set default.urgency to low if that is meant")
	c.Check(r.Default.Name == "" || r.Default.Name == DefaultRoute, "default.name", "%.60q: the default route is called %q", r.Default.Name, DefaultRoute)
	c.Check(len(r.Default.Match) == 0, "default.match", "must be empty: the default route takes what no other matches")
	r.checkRoute(c, r.Default, "default.")
	count(c, len(r.Inhibit), MaxInhibit, "inhibit")
	for i, rule := range r.Inhibit[:min(len(r.Inhibit), MaxInhibit)] {
		rule.check(c, fmt.Sprintf("inhibit[%d].", i))
	}
	checkNotify(c, r.Notify.High, "notify.high")
	r.Limits.check(c)
	return c.Err()
}

// UnknownPeople says where the rules name somebody who is none of the people.
func (r Rules) UnknownPeople(known func(name string) bool) []fault.Problem {
	var c fault.Checker
	for i, p := range r.Policies {
		for j, step := range p.Steps {
			for k, t := range step.Targets {
				c.Check(t.Person == "" || known(t.Person), fmt.Sprintf("policies[%d].steps[%d].targets[%d].person", i, j, k), "there is no active user %.60q", t.Person)
			}
		}
	}
	for i, s := range r.Schedules {
		for j, layer := range s.Layers {
			for k, name := range layer.People {
				c.Check(known(name), fmt.Sprintf("schedules[%d].layers[%d].people[%d]", i, j, k), "there is no active user %.60q", name)
			}
		}
	}
	return c.Problems()
}

func count(c *fault.Checker, n, most int, field string) {
	c.Check(n <= most, field, "%d are more than %d", n, most)
}

// unique checks the names of a list.
func unique[T any](c *fault.Checker, all []T, field string, name func(T) string) {
	first := map[string]int{}
	for i, item := range all {
		at := fmt.Sprintf("%s[%d].name", field, i)
		c.Check(ruleName.MatchString(name(item)), at, "%.60q %s", name(item), ruleNameRule)
		before, twice := first[name(item)]
		c.Check(!twice, at, "%.60q is the name of %s[%d] already", name(item), field, before)
		first[name(item)] = i
	}
}

func within(c *fault.Checker, d, most Duration, field string) {
	c.Check(d >= 0, field, "%s is negative", d)
	c.Check(d <= most, field, "%s is more than %s", d, most)
}

func (r Rules) checkPolicy(c *fault.Checker, p Policy, at string) {
	c.Check(len(p.Steps) > 0, at+"steps", "is empty: the policy targets nobody")
	count(c, len(p.Steps), MaxSteps, at+"steps")
	c.Check(p.Repeat >= 0 && p.Repeat <= MaxRepeat, at+"repeat", "%d is not between 0 and %d", p.Repeat, MaxRepeat)
	within(c, p.AcknowledgedFor, MaxAcknowledge, at+"acknowledged_for")
	c.Check(p.AcknowledgedFor <= 0 || p.AcknowledgedFor >= MinAcknowledge, at+"acknowledged_for", "%s is less than %s", p.AcknowledgedFor, MinAcknowledge)
	for i, step := range p.Steps[:min(len(p.Steps), MaxSteps)] {
		here := fmt.Sprintf("%ssteps[%d].", at, i)
		within(c, step.After, MaxDelay, here+"after")
		c.Check(len(step.Targets) > 0, here+"targets", "is empty: the step targets nobody")
		count(c, len(step.Targets), MaxTargets, here+"targets")
		for j, t := range step.Targets[:min(len(step.Targets), MaxTargets)] {
			r.checkTarget(c, t, fmt.Sprintf("%stargets[%d]", here, j))
		}
	}
}

func (r Rules) checkTarget(c *fault.Checker, t Target, at string) {
	given := slices.DeleteFunc([]string{t.Person, t.Schedule, t.Slack, t.Email, t.Webhook}, func(s string) bool { return s == "" })
	switch {
	case len(given) == 0:
		c.Check(false, at, "targets nobody: name one of person, schedule, slack, email and webhook")
	case len(given) > 1:
		c.Check(false, at, "names %d of person, schedule, slack, email and webhook; a target is exactly one", len(given))
	case t.Schedule != "":
		known := slices.ContainsFunc(r.Schedules, func(s oncall.Schedule) bool { return s.Name == t.Schedule })
		c.Check(known, at+".schedule", "there is no schedule %.60q in the file", t.Schedule)
	case t.Slack != "":
		c.Check(slackChannel.MatchString(t.Slack), at+".slack", "%.60q is no Slack channel such as #ops or C024BE91L", t.Slack)
	case t.Email != "":
		a, err := mail.ParseAddress(t.Email)
		c.Check(err == nil && a.Address == t.Email && len(t.Email) <= 254, at+".email", "%.60q is no address such as ops@example.com", t.Email)
	case t.Webhook != "":
		why := webhookProblem(t.Webhook)
		c.Check(why == "", at+".webhook", "%s", why)
	}
}

// webhookProblem says what is wrong with a webhook's URL. A secret in it is not quoted.
func webhookProblem(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > 2048:
		return "is no URL of at most 2048 bytes"
	case u.User != nil:
		return "must not hold a user or a password"
	case u.Scheme != "https":
		return fmt.Sprintf("must begin with https://, not %.20q", u.Scheme+":")
	case u.Hostname() == "":
		return "names no host"
	case strings.HasPrefix(u.Path, masked):
		return "is masked, as those see it who may not write policies: write it whole"
	case u.Fragment != "":
		return "must not hold a fragment"
	}
	return ""
}

func (r Rules) checkRoute(c *fault.Checker, route Route, at string) {
	checkMatchers(c, route.Match, at+"match")
	_, known := r.policyNamed(route.Policy)
	c.Check(route.Policy == "" || known, at+"policy", "there is no policy %.60q in the file", route.Policy)
	c.Check(route.Urgency == "" || route.Urgency == High || route.Urgency == Low, at+"urgency", "%.20q is neither high nor low", route.Urgency)
	count(c, len(route.GroupBy), MaxGroupBy, at+"group_by")
	checkLabels(c, route.GroupBy, at+"group_by")
	within(c, route.Wait, MaxWait, at+"group_wait")
	within(c, route.Interval, MaxDelay, at+"group_interval")
	within(c, route.ResolveIn, MaxDelay, at+"resolve_after")
}

func checkMatchers(c *fault.Checker, all []Matcher, field string) {
	count(c, len(all), MaxMatchers, field)
	for i, m := range all[:min(len(all), MaxMatchers)] {
		m.check(c, fmt.Sprintf("%s[%d]", field, i))
	}
}

func checkLabels(c *fault.Checker, names []string, field string) {
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", field, i)
		c.Check(labelName.MatchString(name), at, "%.60q is no name of a label", name)
		c.Check(!slices.Contains(names[:i], name), at, "%.60q is given twice", name)
	}
}

func (i Inhibition) check(c *fault.Checker, at string) {
	c.Check(len(i.Source) > 0, at+"source", "is empty: any alert would inhibit others")
	c.Check(len(i.Target) > 0, at+"target", "is empty: every alert would be inhibited")
	checkMatchers(c, i.Source, at+"source")
	checkMatchers(c, i.Target, at+"target")
	count(c, len(i.Equal), MaxGroupBy, at+"equal")
	checkLabels(c, i.Equal, at+"equal")
}

// personal are the channels of people: a webhook is nobody's.
var personal = []Channel{Email, SMS, Slack}

func checkNotify(c *fault.Checker, lines []Notify, field string) {
	count(c, len(lines), MaxNotify, field)
	for i, line := range lines[:min(len(lines), MaxNotify)] {
		at := fmt.Sprintf("%s[%d].", field, i)
		c.Check(slices.Contains(personal, line.Channel), at+"channel", "%.20q is none of email, sms and slack", line.Channel)
		within(c, line.After, MaxDelay, at+"after")
	}
}

func (l Limits) check(c *fault.Checker) {
	for _, f := range []struct {
		name  string
		value int
	}{{"pages_per_alert", l.PagesPerAlert}, {"per_person_hour", l.PerPersonHour}, {"per_contact_hour", l.PerContactHour}} {
		c.Check(f.value >= 0 && f.value <= MaxPages, "limits."+f.name, "%d is not between 1 and %d", f.value, MaxPages)
	}
}

// checkSchedules says what is wrong with the schedules, below where they stand in the file.
func (r Rules) checkSchedules(c *fault.Checker) {
	count(c, len(r.Schedules), MaxSchedules, "schedules")
	for i, s := range r.Schedules[:min(len(r.Schedules), MaxSchedules)] {
		at := fmt.Sprintf("schedules[%d].", i)
		c.Add(s.Problems(at)...)
		twice := slices.ContainsFunc(r.Schedules[:i], func(before oncall.Schedule) bool { return before.Name == s.Name })
		c.Check(!twice, at+"name", "%.60q is the name of another schedule already", s.Name)
	}
}
