package rest

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/intake"
)

// AlertPath names an alert by its number.
type AlertPath struct {
	InProject
	Number int64 `path:"number" minimum:"1" doc:"Number of the alert."`
}

// AlertDetails is an alert with what happened, and what was sent to whom.
type AlertDetails struct {
	Alert alert.Alert     `json:"alert"`
	Log   []alert.Entry   `json:"log" doc:"What happened, oldest first."`
	Pages []alert.PageRow `json:"pages" doc:"What was sent to whom, and what became of it."`
}

// AlertRequest asks something of an alert.
type AlertRequest struct {
	Comment string `json:"comment,omitempty" maxLength:"1000" doc:"For the log."`
}

// HoldRequest asks that nobody is paged for a while.
type HoldRequest struct {
	AlertRequest
	For alert.Duration `json:"for,omitempty" doc:"How long, such as 2h; at most 720h. An acknowledgement without it holds as long as the policy says."`
}

// EscalateRequest asks for a step of the policy.
type EscalateRequest struct {
	AlertRequest
	To int `json:"to,omitempty" minimum:"0" doc:"Number of the step; the next one when left out."`
}

// NoteRequest is a note.
type NoteRequest struct {
	Comment string `json:"comment" minLength:"1" maxLength:"1000" doc:"What is to be noted."`
}

// DrillRequest asks for an alert that is none, to see that people are reached.
type DrillRequest struct {
	Summary  string            `json:"summary,omitempty" maxLength:"1024" doc:"What the pages say, after the word that it is a drill."`
	Service  string            `json:"service,omitempty" maxLength:"63" doc:"The service that it is about, as routes match it."`
	Severity alert.Severity    `json:"severity,omitempty" enum:"critical,error,warning,info" doc:"critical when left out."`
	Labels   map[string]string `json:"labels,omitempty" doc:"Further labels, as routes match them."`
}

// Drill is a drill that begins: the alert of the group is it.
type Drill struct {
	Project  string `json:"project"`
	DedupKey string `json:"dedup_key"`
	Group    string `json:"group" doc:"The group of the alert: alerts with it are the drill's."`
}

func (a *API) registerAlerts() {
	typed(a, "list-alerts", http.MethodGet, "/v1/alerts", "List the alerts, newest first", account.ReadAlerts, 200, a.listAlerts)
	typed(a, "get-alert", http.MethodGet, "/v1/alerts/{number}", "Show an alert, its log and its pages", account.ReadAlerts, 200, a.getAlert)
	typed(a, "acknowledge-alert", http.MethodPost, "/v1/alerts/{number}/acknowledge", "Stop paging for an alert: somebody has it", account.WriteAlerts, 200,
		commands(a, alert.AcknowledgeUpdate, func(r HoldRequest) alert.Command { return alert.Command{Comment: r.Comment, For: time.Duration(r.For)} }), mayRefuse...)
	typed(a, "resolve-alert", http.MethodPost, "/v1/alerts/{number}/resolve", "Close an alert", account.WriteAlerts, 200,
		commands(a, alert.ResolveUpdate, func(r AlertRequest) alert.Command { return alert.Command{Comment: r.Comment} }), mayRefuse...)
	typed(a, "snooze-alert", http.MethodPost, "/v1/alerts/{number}/snooze", "Stop paging for an alert for a while", account.WriteAlerts, 200,
		commands(a, alert.SnoozeUpdate, func(r HoldRequest) alert.Command { return alert.Command{Comment: r.Comment, For: time.Duration(r.For)} }), mayRefuse...)
	typed(a, "escalate-alert", http.MethodPost, "/v1/alerts/{number}/escalate", "Begin a step of an alert's policy now", account.WriteAlerts, 200,
		commands(a, alert.EscalateUpdate, func(r EscalateRequest) alert.Command { return alert.Command{Comment: r.Comment, To: r.To} }), mayRefuse...)
	typed(a, "add-note", http.MethodPost, "/v1/alerts/{number}/notes", "Write a note into an alert's log", account.WriteAlerts, 200,
		commands(a, alert.AddNoteUpdate, func(r NoteRequest) alert.Command { return alert.Command{Comment: r.Comment} }), mayRefuse...)
	typed(a, "start-drill", http.MethodPost, "/v1/alerts/drills", "Page for real, marked as a drill", account.WriteAlerting, 202, a.startDrill)
}

func (a *API) listAlerts(ctx context.Context, in *struct {
	InProject
	Paging
	Status  alert.Status `query:"status" enum:"open,acknowledged,snoozed,suppressed,resolved,closed" doc:"Those of this status alone."`
	Current bool         `query:"current" doc:"Those that have not ended alone."`
	Service string       `query:"service" maxLength:"63" doc:"Those of this service alone."`
}) (*Body[List[alert.Alert]], error) {
	filter := alert.Filter{Status: in.Status, Current: in.Current, Service: in.Service}
	items, next, err := a.Alerts.Alerts(ctx, project(ctx).Name, filter, in.page())
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &Body[List[alert.Alert]]{List[alert.Alert]{Items: items, Next: next}}, nil
}

func (a *API) getAlert(ctx context.Context, in *AlertPath) (*Body[AlertDetails], error) {
	var d AlertDetails
	var err error
	if d.Alert, err = a.Alerts.Alert(ctx, project(ctx).Name, in.Number); err != nil {
		return nil, problem(ctx, err)
	}
	if d.Log, err = a.Alerts.AlertLog(ctx, d.Alert.Project, in.Number); err != nil {
		return nil, problem(ctx, err)
	}
	d.Pages, err = a.Alerts.PagesOf(ctx, d.Alert.Project, in.Number)
	return answered(ctx, d, err)
}

// commanded is a request that asks something of an alert.
type commanded[R any] struct {
	AlertPath
	Keyed
	Body R
}

// commands handles the requests that become one of the updates of an alert's workflow.
func commands[R any](a *API, update string, read func(R) alert.Command) func(context.Context, *commanded[R]) (*Body[alert.Alert], error) {
	return func(ctx context.Context, in *commanded[R]) (*Body[alert.Alert], error) {
		command := read(in.Body)
		command.Number, command.By = in.Number, caller(ctx).Subject
		if err := command.Check(update); err != nil {
			return nil, problem(ctx, err)
		}
		route := update + " " + project(ctx).Name + "/" + strconv.FormatInt(in.Number, 10)
		done, err := once(ctx, a, route, in.IdempotencyKey, in.Body, func(id string) (alert.Alert, error) { return a.commandAlert(ctx, id, update, command) })
		return answered(ctx, done, err)
	}
}

// commandAlert sends a command to the workflow of the alert. One that has ended says since when.
func (a *API) commandAlert(ctx context.Context, id, update string, in alert.Command) (alert.Alert, error) {
	found, err := a.Alerts.Alert(ctx, project(ctx).Name, in.Number)
	if err != nil {
		return alert.Alert{}, err
	}
	done, err := a.AlertCommands.CommandAlert(ctx, id, found.Project, found.Group, update, in)
	if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict) {
		return done, err
	}
	if found, readErr := a.Alerts.Alert(ctx, found.Project, in.Number); readErr == nil && found.Status.Final() {
		return done, fault.New(fault.Conflict, "%s", found.Ended())
	}
	if fault.Is(err, fault.NotFound) {
		return done, fault.Wrap(fault.Unavailable, err, "nobody is at work on alert %d: its next signal brings it back", in.Number)
	}
	return done, err
}

func (a *API) startDrill(ctx context.Context, in *struct {
	InProject
	Keyed
	Body DrillRequest
}) (*Body[Drill], error) {
	started, err := once(ctx, a, "start-drill "+project(ctx).Name, in.IdempotencyKey, in.Body, func(id string) (Drill, error) {
		s := alert.Signal{Project: project(ctx).Name, Service: in.Body.Service, Action: alert.Trigger, DedupKey: "drill/" + id, Source: alert.FromDrill,
			Summary: cmp.Or(in.Body.Summary, "a drill by "+caller(ctx).Subject+": please acknowledge"), Severity: cmp.Or(in.Body.Severity, alert.Critical), Labels: in.Body.Labels, At: time.Now().UTC()}
		s, err := intake.Check(s)
		if err != nil {
			return Drill{}, err
		}
		rules, err := a.AlertRules.Rules(ctx, s.Project)
		if err != nil {
			return Drill{}, err
		}
		group, _ := rules.GroupOf(s)
		_, err = a.Drills.AppendSignals(ctx, []alert.Signal{s})
		return Drill{Project: s.Project, DedupKey: s.DedupKey, Group: group.Hash()}, err
	})
	return answered(ctx, started, err)
}
