package alert

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/oncall"
)

// Change is one thing that applying rules would create, change or delete.
type Change struct {
	Action string   `json:"action"` // create, change, delete
	What   string   `json:"what"`   // "policy ops", "route database", "limits"
	Fields []string `json:"fields,omitempty"`
}

// RulesPlan says what applying a policy file would do.
type RulesPlan struct {
	Project  string   `json:"project"`
	Version  int64    `json:"version"` // of the rules that it was compared with: what ApplyRules wants
	Changes  []Change `json:"changes"`
	Warnings []string `json:"warnings,omitempty"` // what is allowed, and would be found out at night
}

// Warnings are what is allowed in the view's rules, and would be found out at night: people whom no page would reach, times within
// GapsAhead when nobody is on call, and policies that no route uses.
func (v View) Warnings(now time.Time) []string {
	var all []string
	for _, g := range v.Rules.Gaps(v.Overrides, now, now.Add(GapsAhead), nil) {
		all = append(all, gapSummary(g, now))
	}
	for _, name := range v.Rules.People() {
		if _, problem := v.person(name); problem != "" {
			all = append(all, problem)
		}
	}
	for _, p := range v.Rules.Policies {
		used := v.Rules.Default.Policy == p.Name || slices.ContainsFunc(v.Rules.Routes, func(r Route) bool { return r.Policy == p.Name })
		if !used {
			all = append(all, fmt.Sprintf("policy %s is used by no route", p.Name))
		}
	}
	return all
}

// Differences lists what changes from one set of rules to the other, in the order of the file. That routes change places is a change of
// each that moved: the first that matches holds.
func Differences(from, to Rules) []Change {
	from, to = from.WithDefaults(), to.WithDefaults()
	var all []Change
	all = append(all, named("schedule", from.Schedules, to.Schedules, func(s oncall.Schedule) string { return s.Name }, false)...)
	all = append(all, named("policy", from.Policies, to.Policies, func(p Policy) string { return p.Name }, false)...)
	all = append(all, named("route", from.Routes, to.Routes, func(r Route) string { return r.Name }, true)...)
	for _, f := range []struct {
		what     string
		from, to any
	}{{"default route", from.Default, to.Default}, {"inhibitions", map[string]any{"inhibit": from.Inhibit}, map[string]any{"inhibit": to.Inhibit}},
		{"notify", from.Notify, to.Notify}, {"limits", from.Limits, to.Limits}} {
		if fields := changed("", plain(f.from), plain(f.to)); len(fields) > 0 {
			all = append(all, Change{Action: "change", What: f.what, Fields: fields})
		}
	}
	return all
}

// named compares two lists whose items have names.
func named[T any](noun string, from, to []T, name func(T) string, ordered bool) []Change {
	var all []Change
	at := func(list []T, of T) int { return slices.IndexFunc(list, func(v T) bool { return name(v) == name(of) }) }
	for i, v := range to {
		before := at(from, v)
		if before < 0 {
			all = append(all, Change{Action: "create", What: noun + " " + name(v)})
			continue
		}
		fields := changed("", plain(from[before]), plain(v))
		if ordered && before != i {
			fields = append(fields, fmt.Sprintf("place: %d -> %d", before+1, i+1))
		}
		if len(fields) > 0 {
			all = append(all, Change{Action: "change", What: noun + " " + name(v), Fields: fields})
		}
	}
	for _, v := range from {
		if at(to, v) < 0 {
			all = append(all, Change{Action: "delete", What: noun + " " + name(v)})
		}
	}
	return all
}

// plain is a noun as JSON has it: maps, lists and words.
func plain(noun any) any {
	data, err := json.Marshal(noun)
	var value any
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		panic("alert: rules cannot be written as JSON: " + err.Error()) // they are plain data
	}
	return value
}

// changed lists the fields that differ: "steps[0].after: 0s -> 5m".
func changed(at string, from, to any) []string {
	a, aIs := from.(map[string]any)
	b, bIs := to.(map[string]any)
	if aIs && bIs {
		var all []string
		keys := slices.Sorted(maps.Keys(a))
		for _, key := range slices.Sorted(maps.Keys(b)) {
			if _, both := a[key]; !both {
				keys = append(keys, key)
			}
		}
		for _, key := range keys {
			all = append(all, changed(strings.TrimPrefix(at+"."+key, "."), a[key], b[key])...)
		}
		return all
	}
	x, xIs := from.([]any)
	y, yIs := to.([]any)
	if xIs && yIs && len(x) == len(y) {
		var all []string
		for i := range x {
			all = append(all, changed(fmt.Sprintf("%s[%d]", at, i), x[i], y[i])...)
		}
		return all
	}
	if reflect.DeepEqual(from, to) {
		return nil
	}
	return []string{at + ": " + written(from) + " -> " + written(to)}
}

func written(value any) string {
	switch v := value.(type) {
	case nil:
		return "none"
	case string:
		return v
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return shorten(string(data), 200)
}
