package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/oncall"
)

// How far schedules are shown.
const (
	shiftsAhead = 14 * 24 * time.Hour // when nothing else is asked for
	maxShifts   = 92 * 24 * time.Hour
)

// OnCallLine is who is on call by a schedule.
type OnCallLine struct {
	Schedule string        `json:"schedule"`
	Zone     string        `json:"zone"`
	Now      oncall.Shift  `json:"now"`
	Why      string        `json:"why,omitempty" doc:"Why a page would reach nobody now."`
	Next     *oncall.Shift `json:"next,omitempty" doc:"The first shift of somebody else, or of nobody; left out when there is none within 92 days."`
}

// ScheduleView is a schedule with what comes of it.
type ScheduleView struct {
	oncall.Schedule
	Overrides []oncall.Override `json:"overrides"`
	Shifts    []oncall.Shift    `json:"shifts" doc:"Without holes; a shift without a person is a gap."`
}

// OverrideRequest asks for an override.
type OverrideRequest struct {
	Schedule string    `json:"schedule" maxLength:"63"`
	Person   string    `json:"person" maxLength:"63" doc:"Name of an active user."`
	Begins   time.Time `json:"begins,omitzero" doc:"Now when left out."`
	Ends     time.Time `json:"ends" doc:"At most 366 days after it begins."`
}

// SchedulePath names a schedule.
type SchedulePath struct {
	InProject
	Schedule string `path:"schedule" maxLength:"63" doc:"Name of the schedule."`
}

// OverridePath names an override.
type OverridePath struct {
	InProject
	ID string `path:"id" maxLength:"64" doc:"Id of the override."`
}

func (a *API) registerOnCall() {
	typed(a, "list-on-call", http.MethodGet, "/v1/oncall", "List who is on call now and next, by schedule", account.ReadAlerts, 200, a.listOnCall)
	typed(a, "list-on-call-gaps", http.MethodGet, "/v1/oncall/gaps", "List the times ahead in which a page would reach nobody", account.ReadAlerts, 200, a.listGaps)
	typed(a, "get-schedule", http.MethodGet, "/v1/schedules/{schedule}", "Show a schedule with its shifts and overrides", account.ReadAlerts, 200, a.getSchedule)
	typed(a, "list-overrides", http.MethodGet, "/v1/overrides", "List the overrides that are not over", account.ReadAlerts, 200, a.listOverrides)
	typed(a, "create-override", http.MethodPost, "/v1/overrides", "Put a person on call in the place of whoever a schedule has", account.WriteAlerts, 201, a.createOverride,
		http.StatusConflict)
	typed(a, "end-override", http.MethodDelete, "/v1/overrides/{id}", "End an override now", account.WriteAlerts, 200, a.endOverride)
}

// rota reads the project's schedules, and its overrides between from and to.
func (a *API) rota(ctx context.Context, from, to time.Time) (alert.Rules, []oncall.Override, error) {
	rules, err := a.AlertRules.Rules(ctx, project(ctx).Name)
	if err != nil {
		return rules, nil, err
	}
	overrides, err := a.OnCall.Overrides(ctx, project(ctx).Name, from, to)
	return rules, overrides, err
}

func (a *API) listOnCall(ctx context.Context, _ *InProject) (*Body[List[OnCallLine]], error) {
	now := time.Now().UTC()
	rules, overrides, err := a.rota(ctx, now.Add(-maxShifts), now.Add(maxShifts))
	if err != nil {
		return nil, problem(ctx, err)
	}
	why, err := a.OnCall.Unreachable(ctx, project(ctx).Name, rules.OnCallPeople(overrides))
	if err != nil {
		return nil, problem(ctx, err)
	}
	var lines []OnCallLine
	for _, s := range rules.Schedules {
		line := OnCallLine{Schedule: s.Name, Zone: s.Zone, Now: s.At(now, overrides)}
		if line.Why = why[line.Now.Person]; line.Now.Person == "" {
			line.Why = "nobody is on call"
		}
		if next, there := s.Next(now, now.Add(maxShifts), overrides); there {
			line.Next = &next
		}
		lines = append(lines, line)
	}
	return listed(ctx, lines, nil)
}

func (a *API) listGaps(ctx context.Context, in *struct {
	InProject
	Days int `query:"days" minimum:"0" maximum:"92" doc:"How many days ahead; 7 when left out."`
}) (*Body[List[oncall.Gap]], error) {
	now := time.Now().UTC()
	to := now.Add(alert.GapsAhead)
	if in.Days > 0 {
		to = now.AddDate(0, 0, in.Days)
	}
	rules, overrides, err := a.rota(ctx, now, alert.GapsEnd(to))
	if err != nil {
		return nil, problem(ctx, err)
	}
	why, err := a.OnCall.Unreachable(ctx, project(ctx).Name, rules.OnCallPeople(overrides))
	if err != nil {
		return nil, problem(ctx, err)
	}
	return listed(ctx, rules.Gaps(overrides, now, to, why), nil)
}

func (a *API) getSchedule(ctx context.Context, in *struct {
	SchedulePath
	From time.Time `query:"from" doc:"From when shifts are shown; now when left out."`
	To   time.Time `query:"to" doc:"Until when; 14 days after from when left out, and 92 at most."`
}) (*Body[ScheduleView], error) {
	from, to := in.From, in.To
	if from.IsZero() {
		from = time.Now()
	}
	if to.IsZero() {
		to = from.Add(shiftsAhead)
	}
	var c fault.Checker
	c.Check(to.After(from) && to.Sub(from) <= maxShifts, "to", "%s is not within 92 days after from, %s", to.UTC().Format(time.RFC3339), from.UTC().Format(time.RFC3339))
	if err := c.Err(); err != nil {
		return nil, problem(ctx, err)
	}
	rules, overrides, err := a.rota(ctx, from, to)
	if err != nil {
		return nil, problem(ctx, err)
	}
	s, err := scheduleOf(rules, in.Schedule)
	if err != nil {
		return nil, problem(ctx, err)
	}
	overrides = slices.DeleteFunc(overrides, func(o oncall.Override) bool { return o.Schedule != s.Name })
	return &Body[ScheduleView]{ScheduleView{Schedule: s, Overrides: overrides, Shifts: s.Shifts(from, to, overrides)}}, nil
}

// scheduleOf finds a schedule of the rules.
func scheduleOf(rules alert.Rules, name string) (oncall.Schedule, error) {
	names := make([]string, len(rules.Schedules))
	for i, s := range rules.Schedules {
		if s.Name == name {
			return s, nil
		}
		names[i] = s.Name
	}
	if len(names) == 0 {
		return oncall.Schedule{}, fault.New(fault.NotFound, "project %s has no schedule: m3o policy apply makes them", rules.Project)
	}
	return oncall.Schedule{}, fault.New(fault.NotFound, "project %s has no schedule %q; there are %s", rules.Project, shorten(name, maxProject), fmt.Sprint(names))
}

func (a *API) listOverrides(ctx context.Context, in *struct {
	InProject
	Schedule string `query:"schedule" maxLength:"63" doc:"Of this schedule alone."`
}) (*Body[List[oncall.Override]], error) {
	now := time.Now()
	items, err := a.OnCall.Overrides(ctx, project(ctx).Name, now, now.AddDate(10, 0, 0))
	items = slices.DeleteFunc(items, func(o oncall.Override) bool { return in.Schedule != "" && o.Schedule != in.Schedule })
	return listed(ctx, items, err)
}

func (a *API) createOverride(ctx context.Context, in *struct {
	InProject
	Keyed
	Body OverrideRequest
}) (*Body[oncall.Override], error) {
	o := oncall.Override{Project: project(ctx).Name, Schedule: in.Body.Schedule, Person: in.Body.Person, Begins: in.Body.Begins, Ends: in.Body.Ends, By: caller(ctx).Subject}
	if o.Begins.IsZero() {
		o.Begins = time.Now()
	}
	if err := o.Validate(); err != nil {
		return nil, problem(ctx, err)
	}
	rules, err := a.AlertRules.Rules(ctx, o.Project)
	if err != nil {
		return nil, problem(ctx, err)
	}
	if _, err := scheduleOf(rules, o.Schedule); err != nil {
		return nil, problem(ctx, err)
	}
	made, err := once(ctx, a, "create-override "+o.Project, in.IdempotencyKey, in.Body, func(id string) (oncall.Override, error) {
		o.ID = "ovr_" + id
		named(ctx, "/v1/overrides/"+o.ID)
		return a.OnCall.CreateOverride(ctx, o)
	})
	return answered(ctx, made, err)
}

func (a *API) endOverride(ctx context.Context, in *OverridePath) (*Body[oncall.Override], error) {
	ended, err := a.OnCall.EndOverride(ctx, project(ctx).Name, in.ID, caller(ctx).Subject)
	return answered(ctx, ended, err)
}
