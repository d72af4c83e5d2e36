package rest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/store"
)

// PolicyFile is a policy file as it is written.
type PolicyFile struct {
	File string `json:"file" maxLength:"1048576" doc:"The policy file, as it is written (YAML)."`
}

// ApplyRequest asks for the rules of a policy file in the place of those that there are.
type ApplyRequest struct {
	PolicyFile
	Version int64 `json:"version" minimum:"0" doc:"Of the rules that are replaced, as the plan says; 0 where there are none."`
}

// SimulateRequest asks who would be paged by an alert that nobody acknowledges.
type SimulateRequest struct {
	Labels map[string]string `json:"labels,omitempty" doc:"Of the alert: severity, service and what its source says. Severity is error when left out."`
	At     time.Time         `json:"at,omitzero" doc:"When it begins; now when left out."`
	File   string            `json:"file,omitempty" maxLength:"1048576" doc:"A policy file that is simulated in the place of the rules that there are."`
}

// horizon bounds a simulation: overrides are looked up so far ahead. A policy that passes its check takes less.
const horizon = 60 * 24 * time.Hour

func (a *API) registerAlerting() {
	typed(a, "get-alerting-rules", http.MethodGet, "/v1/alerting", "Show how the project's alerts reach people", account.ReadAlerts, 200, a.getRules)
	typed(a, "plan-alerting-rules", http.MethodPost, "/v1/alerting/plan", "Show what applying a policy file would change", account.WriteAlerting, 200, a.planRules)
	typed(a, "apply-alerting-rules", http.MethodPut, "/v1/alerting", "Have the project's alerts reach people as a policy file says", account.WriteAlerting, 200, a.applyRules,
		http.StatusConflict)
	typed(a, "simulate-alert", http.MethodPost, "/v1/alerting/simulate", "Show who would be paged when and how", account.ReadAlerts, 200, a.simulateAlert)
}

func (a *API) getRules(ctx context.Context, _ *InProject) (*Body[alert.Rules], error) {
	r, err := a.AlertRules.Rules(ctx, project(ctx).Name)
	if !caller(ctx).May(account.WriteAlerting, project(ctx).Name) {
		r = r.Masked()
	}
	return answered(ctx, r, err)
}

// readPolicy reads a policy file of the request's project.
func readPolicy(ctx context.Context, file string) (alert.Rules, error) {
	r, err := alert.ParseRules([]byte(file))
	if err == nil && r.Project != project(ctx).Name {
		err = fault.Problems([]fault.Problem{{Field: "project", Message: fmt.Sprintf("%q is not %q, the project of the request", r.Project, project(ctx).Name)}})
	}
	return r, err
}

func (a *API) planRules(ctx context.Context, in *struct {
	InProject
	Body PolicyFile
}) (*Body[alert.RulesPlan], error) {
	r, err := readPolicy(ctx, in.Body.File)
	if err != nil {
		return nil, problem(ctx, err)
	}
	plan, err := a.compare(ctx, r)
	return answered(ctx, plan, err)
}

// compare says what a policy file changes, and what is wrong with the people whom it names.
func (a *API) compare(ctx context.Context, r alert.Rules) (alert.RulesPlan, error) {
	known, err := a.AlertRules.ActiveUsers(ctx, r.People())
	if err != nil {
		return alert.RulesPlan{}, err
	}
	if err := fault.Problems(r.UnknownPeople(func(name string) bool { return known[name] })); err != nil {
		return alert.RulesPlan{}, err
	}
	old, err := a.AlertRules.Rules(ctx, r.Project)
	if err != nil {
		return alert.RulesPlan{}, err
	}
	now := time.Now()
	view, err := a.AlertRules.AlertView(ctx, r.WithDefaults(), now, alert.GapsEnd(now.Add(alert.GapsAhead)))
	if err != nil {
		return alert.RulesPlan{}, err
	}
	changes := alert.Differences(old, r)
	if changes == nil {
		changes = []alert.Change{}
	}
	return alert.RulesPlan{Project: r.Project, Version: old.Version, Changes: changes, Warnings: view.Warnings(now)}, nil
}

func (a *API) applyRules(ctx context.Context, in *struct {
	InProject
	Body ApplyRequest
}) (*Body[alert.Rules], error) {
	r, err := readPolicy(ctx, in.Body.File)
	if err != nil {
		return nil, problem(ctx, err)
	}
	r.Version = in.Body.Version
	applied, err := a.AlertRules.ApplyRules(ctx, r, caller(ctx).Subject)
	return answered(ctx, applied, err)
}

func (a *API) simulateAlert(ctx context.Context, in *struct {
	InProject
	Body SimulateRequest
}) (*Body[alert.Simulated], error) {
	q, err := in.Body.question(project(ctx).Name)
	if err != nil {
		return nil, problem(ctx, err)
	}
	var r alert.Rules
	if in.Body.File != "" {
		r, err = readPolicy(ctx, in.Body.File)
		r = r.WithDefaults()
	} else {
		r, err = a.AlertRules.Rules(ctx, project(ctx).Name)
	}
	if err != nil {
		return nil, problem(ctx, err)
	}
	view, err := a.AlertRules.AlertView(ctx, r, q.At, q.At.Add(horizon))
	if err != nil {
		return nil, problem(ctx, err)
	}
	simulated := alert.Simulate(view, q)
	return answered(ctx, simulated, a.hideStrangers(ctx, view, simulated.Pages))
}

// hideStrangers takes out how people are reached who have nothing to do with the project: anybody can be named in a file.
func (a *API) hideStrangers(ctx context.Context, v alert.View, pages []alert.SimulatedPage) error {
	members, err := a.OnCall.ContactsIn(ctx, project(ctx).Name, slices.Collect(maps.Keys(v.People)))
	for i, p := range pages {
		if _, person := v.People[p.Name]; person && len(members[p.Name]) == 0 {
			pages[i].Address = "***"
		}
	}
	return err
}

// question is what is to be simulated, as a signal would have it.
func (r SimulateRequest) question(project string) (alert.Question, error) {
	s := alert.Signal{Project: project, Source: alert.Source(r.Labels["source"]), Severity: alert.Severity(r.Labels["severity"]), Labels: r.Labels}
	if s.Severity == "" {
		s.Severity = alert.Error
	}
	if s.Source == "" {
		s.Source = alert.FromAPI
	}
	if r.At.IsZero() {
		r.At = time.Now()
	}
	q := alert.Question{Labels: s.LabelSet(), At: r.At.UTC().Truncate(time.Second)}
	return q, q.Validate(time.Now())
}

// SilenceRequest asks for a silence or a maintenance window.
type SilenceRequest struct {
	Match       []string  `json:"match" maxItems:"20" doc:"Matchers of labels, all of which must hold: severity=warning, service!=shop, region=~lon.*."`
	Comment     string    `json:"comment" maxLength:"1000" doc:"Why."`
	Begins      time.Time `json:"begins,omitzero" doc:"Now when left out; at most a year ahead."`
	Ends        time.Time `json:"ends" doc:"At most 30 days after it begins."`
	Maintenance bool      `json:"maintenance,omitempty" doc:"A maintenance window."`
}

// SilencePath names a silence or a maintenance window.
type SilencePath struct {
	InProject
	ID string `path:"id" maxLength:"64" doc:"Id of the silence or maintenance window."`
}

func (a *API) registerSilences() {
	typed(a, "list-silences", http.MethodGet, "/v1/silences", "List the silences, or the maintenance windows", account.ReadAlerts, 200, a.listSilences)
	typed(a, "create-silence", http.MethodPost, "/v1/silences", "Stop alerts that match from paging for a time", account.WriteAlerts, 201, a.createSilence, http.StatusConflict)
	typed(a, "end-silence", http.MethodDelete, "/v1/silences/{id}", "End a silence or a maintenance window before its time", account.WriteAlerts, 200, a.endSilence)
}

func (a *API) listSilences(ctx context.Context, in *struct {
	InProject
	Paging
	Maintenance bool `query:"maintenance" doc:"The maintenance windows, in place of the silences."`
	Over        bool `query:"over" doc:"Those that are over, too."`
}) (*Body[List[alert.Silence]], error) {
	items, next, err := a.Silences.SilencePage(ctx, project(ctx).Name, store.SilenceFilter{Maintenance: in.Maintenance, Over: in.Over}, in.page())
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[List[alert.Silence]]{List[alert.Silence]{Items: items, Next: next}}, nil
}

func (a *API) createSilence(ctx context.Context, in *struct {
	InProject
	Keyed
	Body SilenceRequest
}) (*Body[alert.Silence], error) {
	s := alert.Silence{Project: project(ctx).Name, Maintenance: in.Body.Maintenance, Comment: in.Body.Comment, By: caller(ctx).Subject, Begins: in.Body.Begins, Ends: in.Body.Ends}
	var c fault.Checker
	for i, text := range in.Body.Match {
		m, err := alert.ParseMatcher(text)
		c.Check(err == nil, fmt.Sprintf("match[%d]", i), "%v", err)
		s.Match = append(s.Match, m)
	}
	if err := c.Err(); err != nil {
		return nil, problem(ctx, err)
	}
	made, err := once(ctx, a, "create-silence "+s.Project, in.IdempotencyKey, in.Body, func(id string) (alert.Silence, error) {
		s.ID = "sil_" + id
		return a.Silences.CreateSilence(ctx, s)
	})
	return answered(ctx, made, err)
}

func (a *API) endSilence(ctx context.Context, in *SilencePath) (*Body[alert.Silence], error) {
	ended, err := a.Silences.EndSilence(ctx, project(ctx).Name, in.ID, caller(ctx).Subject)
	return answered(ctx, ended, err)
}
