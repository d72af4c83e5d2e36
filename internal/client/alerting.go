package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/m3o/platform/internal/alert"
)

// mostSilences bounds a list that is read to its end.
const mostSilences = 10_000

// SilenceRequest asks for a silence or a maintenance window. Without a beginning it begins now.
type SilenceRequest struct {
	Match       []string  `json:"match"`
	Comment     string    `json:"comment"`
	Begins      time.Time `json:"begins,omitzero"`
	Ends        time.Time `json:"ends"`
	Maintenance bool      `json:"maintenance,omitempty"`
}

// SimulateRequest asks who would be paged by an alert that nobody acknowledges: by the rules that there are, or by those of a file.
type SimulateRequest struct {
	Labels map[string]string `json:"labels,omitempty"`
	At     time.Time         `json:"at,omitzero"`
	File   string            `json:"file,omitempty"`
}

// Rules shows how the project's alerts reach people.
func (c *Client) Rules(ctx context.Context) (alert.Rules, error) {
	var r alert.Rules
	return r, c.look(ctx, "/v1/alerting", c.inProject(), &r)
}

// PlanRules says what applying a policy file would change.
func (c *Client) PlanRules(ctx context.Context, file string) (alert.RulesPlan, error) {
	plan := alert.RulesPlan{}
	return plan, c.change(ctx, http.MethodPost, "/v1/alerting/plan", c.inProject(), map[string]string{"file": file}, &plan)
}

// ApplyRules puts the rules of a policy file in the place of those of a version, which the plan says.
func (c *Client) ApplyRules(ctx context.Context, file string, version int64) (alert.Rules, error) {
	var r alert.Rules
	body := struct {
		File    string `json:"file"`
		Version int64  `json:"version"`
	}{file, version}
	return r, c.change(ctx, http.MethodPut, "/v1/alerting", c.inProject(), body, &r)
}

// SimulateAlert says who would be paged when and how.
func (c *Client) SimulateAlert(ctx context.Context, in SimulateRequest) (alert.Simulated, error) {
	var s alert.Simulated
	return s, c.change(ctx, http.MethodPost, "/v1/alerting/simulate", c.inProject(), in, &s)
}

// Silences lists the project's silences, or its maintenance windows; with over those that are over, too.
func (c *Client) Silences(ctx context.Context, maintenance, over bool) ([]alert.Silence, error) {
	query := c.inProject()
	if maintenance {
		query.Set("maintenance", "true")
	}
	if over {
		query.Set("over", "true")
	}
	return pages[alert.Silence](ctx, c, "/v1/silences", query, mostSilences)
}

// CreateSilence makes a silence or a maintenance window.
func (c *Client) CreateSilence(ctx context.Context, in SilenceRequest) (alert.Silence, error) {
	var s alert.Silence
	return s, c.change(ctx, http.MethodPost, "/v1/silences", c.inProject(), in, &s)
}

// EndSilence ends a silence or a maintenance window now.
func (c *Client) EndSilence(ctx context.Context, id string) (alert.Silence, error) {
	var s alert.Silence
	return s, c.change(ctx, http.MethodDelete, "/v1/silences/"+url.PathEscape(id), c.inProject(), nil, &s)
}

// mostAlerts bounds a list that is read to its end.
const mostAlerts = 10_000

// AlertDetails is an alert with what happened, and what was sent to whom.
type AlertDetails struct {
	Alert alert.Alert     `json:"alert"`
	Log   []alert.Entry   `json:"log"`
	Pages []alert.PageRow `json:"pages"`
}

// AlertRequest asks something of an alert: For of an acknowledgement and a snooze, To of an escalation.
type AlertRequest struct {
	Comment string         `json:"comment,omitempty"`
	For     alert.Duration `json:"for,omitzero"`
	To      int            `json:"to,omitempty"`
}

// DrillRequest asks for an alert that is none.
type DrillRequest struct {
	Summary  string            `json:"summary,omitempty"`
	Service  string            `json:"service,omitempty"`
	Severity alert.Severity    `json:"severity,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
}

// Drill is a drill that begins.
type Drill struct {
	Project  string `json:"project"`
	DedupKey string `json:"dedup_key"`
	Group    string `json:"group"`
}

// Alerts lists the project's alerts that a filter chooses, newest first, at most so many; 0 is all.
func (c *Client) Alerts(ctx context.Context, f alert.Filter, most int) ([]alert.Alert, error) {
	query := c.inProject()
	if f.Status != "" {
		query.Set("status", string(f.Status))
	}
	if f.Current {
		query.Set("current", "true")
	}
	if f.Service != "" {
		query.Set("service", f.Service)
	}
	if most == 0 {
		most = mostAlerts
	}
	return pages[alert.Alert](ctx, c, "/v1/alerts", query, most)
}

// Alert shows an alert, its log and its pages.
func (c *Client) Alert(ctx context.Context, number int64) (AlertDetails, error) {
	var d AlertDetails
	return d, c.look(ctx, alertPath(number), c.inProject(), &d)
}

// CommandAlert asks something of an alert: acknowledge, resolve, snooze, escalate or notes.
func (c *Client) CommandAlert(ctx context.Context, number int64, verb string, in AlertRequest) (alert.Alert, error) {
	var a alert.Alert
	return a, c.change(ctx, http.MethodPost, alertPath(number)+"/"+verb, c.inProject(), in, &a)
}

// StartDrill pages for real, marked as a drill.
func (c *Client) StartDrill(ctx context.Context, in DrillRequest) (Drill, error) {
	var d Drill
	return d, c.change(ctx, http.MethodPost, "/v1/alerts/drills", c.inProject(), in, &d)
}

func alertPath(number int64) string { return "/v1/alerts/" + strconv.FormatInt(number, 10) }
