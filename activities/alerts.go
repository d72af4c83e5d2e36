package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/fault"
)

// AlertRecords is the read model of alerts.
type AlertRecords interface {
	OpenAlert(context.Context, alert.Opening) (alert.Opened, error)
	RecordAlert(context.Context, alert.Alert, []alert.Entry) error
	CloseGroup(ctx context.Context, project, group string) error
}

// PageRecords is the read model of alerts' pages.
type PageRecords interface {
	BeginPage(context.Context, alert.PageRequest) (alert.PageDecision, error)
	RecordPage(context.Context, alert.PageRow) error
	PageByReceipt(ctx context.Context, channel alert.Channel, id string) (alert.PageRow, error)
}

// AlertRules are what decides who is paged: a project's rules, and how the world is.
type AlertRules interface {
	Rules(ctx context.Context, project string) (alert.Rules, error)
	AlertView(ctx context.Context, r alert.Rules, from, to time.Time) (alert.View, error)
	People(ctx context.Context, names []string) (map[string]alert.Person, error)
}

// Alerts writes the read model of alerts and pages, and reads the rules for decisions that a history must keep.
type Alerts struct {
	Records AlertRecords
	Pages   PageRecords
	Rules   AlertRules
}

// OpenAlert records an alert that begins, and gives it its number. Asking again for the same first signal is the same alert.
func (a *Alerts) OpenAlert(ctx context.Context, in alert.Opening) (alert.Opened, error) {
	opened, err := a.Records.OpenAlert(ctx, in)
	if err != nil {
		return alert.Opened{}, fail(fmt.Errorf("open an alert of project %s: %w", in.Group.Project, err))
	}
	return opened, nil
}

// AlertRecord is what is now known of an alert, and the lines of its log that are new.
type AlertRecord struct {
	Alert   alert.Alert   `json:"alert"`
	Entries []alert.Entry `json:"entries,omitempty"`
}

// RecordAlert writes what is known of an alert. Older versions than the one recorded are ignored, and so are lines that are there.
func (a *Alerts) RecordAlert(ctx context.Context, in AlertRecord) error {
	if err := a.Records.RecordAlert(ctx, in.Alert, in.Entries); err != nil {
		return fail(fmt.Errorf("record alert %d: %w", in.Alert.Number, err))
	}
	return nil
}

// BeginPage decides whether a page may be sent now, and notes that it is being sent. Asked again for one that went out, it answers with
// what came of it.
func (a *Alerts) BeginPage(ctx context.Context, in alert.PageRequest) (alert.PageDecision, error) {
	decision, err := a.Pages.BeginPage(ctx, in)
	if err != nil {
		return alert.PageDecision{}, fail(fmt.Errorf("begin page %s: %w", in.Page.Key, err))
	}
	return decision, nil
}

// RecordPage writes what came of a page. Repeating it changes nothing, and what was delivered stays so.
func (a *Alerts) RecordPage(ctx context.Context, p alert.PageRow) error {
	if err := a.Pages.RecordPage(ctx, p); err != nil {
		return fail(fmt.Errorf("record page %s: %w", p.Key, err))
	}
	return nil
}

// ReportPage writes what a channel says of a page after it took it. Repeating it changes nothing. Of a page whose receipt is not recorded
// yet nothing is written: whoever sends it does that.
func (a *Alerts) ReportPage(ctx context.Context, in alert.PageReport) error {
	row, err := a.Pages.PageByReceipt(ctx, in.Receipt.Channel, in.Receipt.ID)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil {
		row.State, row.Message, row.UpdateAt = in.Receipt.State, in.Receipt.Message, in.Receipt.At
		err = a.Pages.RecordPage(ctx, row)
	}
	if err != nil {
		return fail(fmt.Errorf("record what became of page %s: %w", in.Key, err))
	}
	return nil
}

// GroupIn names a group of a project by its hash.
type GroupIn struct {
	Project string `json:"project"`
	Group   string `json:"group"`
}

// CloseGroup notes that no key of the group fires any more: a person closed its alert. Repeating it changes nothing.
func (a *Alerts) CloseGroup(ctx context.Context, in GroupIn) error {
	if err := a.Records.CloseGroup(ctx, in.Project, in.Group); err != nil {
		return fail(fmt.Errorf("close a group of project %s: %w", in.Project, err))
	}
	return nil
}

// PlanStep says who is to be paged in a step by the rules, schedules, overrides and silences as they are now. It only reads.
func (a *Alerts) PlanStep(ctx context.Context, in alert.PlanInput) (alert.Plan, error) {
	view, err := a.view(ctx, in)
	if err != nil {
		return alert.Plan{}, fail(fmt.Errorf("plan step %d of alert %d: %w", in.Step, in.Alert.Number, err))
	}
	return alert.MakePlan(view, in), nil
}

func (a *Alerts) view(ctx context.Context, in alert.PlanInput) (alert.View, error) {
	rules, err := a.Rules.Rules(ctx, in.Alert.Project)
	if err != nil {
		return alert.View{}, err
	}
	return a.Rules.AlertView(ctx, rules, in.At, in.At.Add(time.Second))
}
