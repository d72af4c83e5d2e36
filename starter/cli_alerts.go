package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
)

// newestAlerts is how many alerts a list shows that does not ask for more.
const newestAlerts = 50

// alertStatuses are those that a list may be cut down to.
var alertStatuses = []alert.Status{alert.Open, alert.Acknowledged, alert.Snoozed, alert.Suppressed, alert.Resolved, alert.Closed}

func joined(statuses []alert.Status) string {
	var b strings.Builder
	for i, s := range statuses {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}

func alertListCommand() *cobra.Command {
	var current bool
	var status, service string
	var most int
	cmd := &cobra.Command{Use: "list", Short: "List the alerts, newest first", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  m3o alert list --current\n  m3o alert list --status acknowledged --project platform",
		RunE: action(func(s *session, _ []string) error {
			if most < 1 {
				return misuse("--limit: %d is not above 0", most)
			}
			if status != "" && !slices.Contains(alertStatuses, alert.Status(status)) {
				return misuse("--status: %.40q is none of %s", status, joined(alertStatuses))
			}
			filter := alert.Filter{Status: alert.Status(status), Current: current, Service: service}
			found, err := s.api.Alerts(s.ctx(), filter, most)
			if err != nil {
				return err
			}
			none := ""
			if len(found) == 0 && !s.json {
				project, err := s.project()
				if err != nil {
					return err
				}
				none = noAlerts(project, filter)
			}
			return rows(s, found, none, []string{"alert", "status", "severity", "firing", "pages", "began", "title", "message"}, func(a alert.Alert) []string {
				return []string{strconv.FormatInt(a.Number, 10), string(a.Status), string(a.Severity), strconv.Itoa(a.Firing), strconv.Itoa(a.Pages), ago(a.StartedAt), titleOf(a), a.Message}
			})
		})}
	flags := cmd.Flags()
	flags.BoolVar(&current, "current", false, "those that have not ended alone")
	flags.StringVar(&status, "status", "", "those of a status alone: "+joined(alertStatuses))
	flags.StringVar(&service, "service", "", "those of a service alone")
	flags.IntVar(&most, "limit", newestAlerts, "how many at most")
	return cmd
}

// noAlerts says that a project has none. Whoever forgot --project looks for the platform's own.
func noAlerts(project string, f alert.Filter) string {
	text := "Project " + project + " has no such alerts."
	if f == (alert.Filter{}) {
		text = "Project " + project + " has no alerts."
	}
	if project != alert.Platform {
		text += " The platform's own are in another: m3o alert list --project " + alert.Platform
	}
	return text
}

// titleOf is what an alert is about. A drill says so first.
func titleOf(a alert.Alert) string {
	if a.Drill {
		return "DRILL: " + a.Title
	}
	return a.Title
}

// alertNumber reads an alert's number, with a # before it or without.
func alertNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "#"), 10, 64)
	if err != nil || n < 1 {
		return 0, misuse("%.40q is no number of an alert; m3o alert list shows them", text)
	}
	return n, nil
}

func alertShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show NUMBER", Short: "Show an alert: its log, and who was paged by what", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  m3o alert show 12",
		RunE: action(func(s *session, args []string) error {
			n, err := alertNumber(args[0])
			if err != nil {
				return err
			}
			d, err := s.api.Alert(s.ctx(), n)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, d)
			}
			return s.printAlert(d)
		})}
}

// labelsText is labels as name=value, in order.
func labelsText(labels map[string]string) string {
	all := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, name+"="+labels[name])
	}
	return strings.Join(all, " ")
}

func (s *session) printAlert(d client.AlertDetails) error {
	a := d.Alert
	facts := [][]string{{"alert", strconv.FormatInt(a.Number, 10)}, {"project", a.Project}, {"title", titleOf(a)}, {"status", string(a.Status)}, {"severity", string(a.Severity)},
		{"urgency", string(a.Urgency)}, {"firing", strconv.Itoa(a.Firing)}, {"signals", strconv.FormatInt(a.Signals, 10)}, {"route", a.Route}, {"policy", dash(a.Policy)}}
	for _, f := range []struct{ name, value string }{{"service", a.Service}, {"labels", labelsText(a.Labels)}, {"message", a.Message}, {"acknowledged by", a.AcknowledgedBy}} {
		if f.value != "" {
			facts = append(facts, []string{f.name, f.value})
		}
	}
	facts = append(facts, []string{"began", ago(a.StartedAt)})
	if !a.EndedAt.IsZero() {
		facts = append(facts, []string{"ended", ago(a.EndedAt)})
	}
	if err := table(s.out, nil, facts); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	lines := make([][]string, len(d.Log))
	for i, e := range d.Log {
		lines[i] = []string{e.At.Local().Format(time.RFC3339), string(e.Kind), dash(e.By), dash(string(e.Channel)), e.Text}
	}
	if err := table(s.out, []string{"at", "what", "who", "channel", "text"}, lines); err != nil || len(d.Pages) == 0 {
		return err
	}
	fmt.Fprintln(s.out)
	sent := make([][]string, len(d.Pages))
	for i, p := range d.Pages {
		sent[i] = []string{p.BeganAt.Local().Format(time.RFC3339), cmp.Or(p.Person, p.Contact), string(p.Channel), string(p.Kind), string(p.State), dash(p.Receipt), p.Message}
	}
	return table(s.out, []string{"page", "who", "channel", "kind", "state", "receipt", "message"}, sent)
}

// alertVerb is a command that asks something of an alert.
type alertVerb struct {
	use, short, example string
	path                string // the route's last part
	spans, required     bool   // it takes --for, and must have it
	steps               bool   // it takes --to
	noted               bool   // it takes a text
	done                func(alert.Alert) string
}

func (v alertVerb) command() *cobra.Command {
	var request client.AlertRequest
	var span time.Duration
	most := 1
	if v.noted {
		most = 2
	}
	cmd := &cobra.Command{Use: v.use, Short: v.short, Example: v.example, Args: takes(most, most), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, args []string) error {
			n, err := alertNumber(args[0])
			if err != nil {
				return err
			}
			if v.noted {
				request.Comment = args[1]
			}
			switch {
			case v.noted && strings.TrimSpace(request.Comment) == "":
				return misuse("the note is empty")
			case v.required && span == 0:
				return misuse("--for: say how long, such as 2h; at most %s", alert.Duration(alert.MaxSnooze))
			case span < 0 || span > alert.MaxSnooze:
				return misuse("--for: %s is not between 0s and %s", alert.Duration(span), alert.Duration(alert.MaxSnooze))
			}
			request.For = alert.Duration(span)
			a, err := s.api.CommandAlert(s.ctx(), n, v.path, request)
			if err != nil {
				return err
			}
			return s.done(a, "%s", v.done(a))
		})}
	if v.spans {
		cmd.Flags().DurationVar(&span, "for", 0, "how long, such as 2h")
	}
	if v.steps {
		cmd.Flags().IntVar(&request.To, "to", 0, "which step (default: the next one)")
	}
	if !v.noted {
		cmd.Flags().StringVar(&request.Comment, "comment", "", "for the log")
	}
	return cmd
}

func until(a alert.Alert) string {
	if a.Until.IsZero() {
		return ""
	}
	return " until " + a.Until.Local().Format(time.RFC3339)
}

// alertVerbs are the commands that ask something of an alert.
func alertVerbs() []*cobra.Command {
	verbs := []alertVerb{
		{use: "ack NUMBER", short: "Stop paging for an alert: you have it", example: "  m3o alert ack 12 --for 2h", path: "acknowledge", spans: true,
			done: func(a alert.Alert) string {
				return fmt.Sprintf("Alert %d is acknowledged by %s%s: %s", a.Number, a.AcknowledgedBy, until(a), titleOf(a))
			}},
		{use: "resolve NUMBER", short: "Close an alert", example: "  m3o alert resolve 12 --comment 'the disk was replaced'", path: "resolve",
			done: func(a alert.Alert) string { return fmt.Sprintf("Alert %d is closed.", a.Number) }},
		{use: "snooze NUMBER --for SPAN", short: "Stop paging for an alert for a while", example: "  m3o alert snooze 12 --for 4h", path: "snooze", spans: true, required: true,
			done: func(a alert.Alert) string { return fmt.Sprintf("Alert %d is snoozed%s.", a.Number, until(a)) }},
		{use: "escalate NUMBER", short: "Begin a step of an alert's policy now", example: "  m3o alert escalate 12 --to 2", path: "escalate", steps: true,
			done: func(a alert.Alert) string {
				return fmt.Sprintf("Alert %d is escalated; m3o alert show %d tells who is paged.", a.Number, a.Number)
			}},
		{use: "note NUMBER TEXT", short: "Write a note into an alert's log", example: "  m3o alert note 12 'the importer filled the disk'", path: "notes", noted: true,
			done: func(a alert.Alert) string { return fmt.Sprintf("Noted on alert %d.", a.Number) }},
	}
	commands := make([]*cobra.Command, len(verbs))
	for i, v := range verbs {
		commands[i] = v.command()
	}
	return commands
}

// drillPatience is how long a drill's alert is waited for: the relay needs a moment.
const drillPatience = 15 * time.Second

func alertDrillCommand() *cobra.Command {
	var request client.DrillRequest
	var severity string
	cmd := &cobra.Command{Use: "drill [LABEL=VALUE]…", Short: "Page for real, marked as a drill", Args: takes(0, alert.MaxLabels), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Page whoever would be paged by an alert with these labels, for real: every message says first that it is a drill, and a drill counts as no\n" +
			"incident. It ends when somebody closes it: m3o alert resolve.",
		Example: "  m3o alert drill --service shop",
		RunE: action(func(s *session, args []string) error {
			request.Severity, request.Labels = alert.Severity(severity), map[string]string{}
			for _, arg := range args {
				name, value, ok := strings.Cut(arg, "=")
				if !ok || name == "" {
					return misuse("%.80q is no label such as region=lon1", arg)
				}
				request.Labels[name] = value
			}
			d, err := s.api.StartDrill(s.ctx(), request)
			if err != nil {
				return err
			}
			return s.awaitDrill(d)
		})}
	flags := cmd.Flags()
	flags.StringVar(&request.Service, "service", "", "the service that it is about")
	flags.StringVar(&request.Summary, "summary", "", "what the pages say")
	flags.StringVar(&severity, "severity", string(alert.Critical), "critical, error, warning or info")
	return cmd
}

// awaitDrill finds the drill's alert, and says its number.
func (s *session) awaitDrill(d client.Drill) error {
	for began := time.Now(); time.Since(began) < drillPatience; {
		found, err := s.api.Alerts(s.ctx(), alert.Filter{Current: true}, newestAlerts)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(found, func(a alert.Alert) bool { return a.Group == d.Group }); i >= 0 {
			return s.done(found[i], "The drill is alert %d; m3o alert show %d tells who is paged.", found[i].Number, found[i].Number)
		}
		select {
		case <-s.ctx().Done():
			return s.ctx().Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
	return s.done(d, "The drill is accepted, and no alert has begun yet; m3o alert list --current shows it when it does.")
}
