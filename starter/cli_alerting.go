package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
)

// alertingCommands are the commands about alerts and who is told of them.
func alertingCommands() []*cobra.Command {
	return []*cobra.Command{alertCommand(), policyCommand(), silencesCommand(false), silencesCommand(true), onCallCommand(), scheduleCommand(),
		contactCommand(), heartbeatCommand()}
}

// alertNoun is a command that only groups others about alerts.
func alertNoun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := noun(use, short, verbs...)
	cmd.GroupID = groupAlerts
	return cmd
}

func alertCommand() *cobra.Command {
	verbs := append([]*cobra.Command{alertListCommand(), alertShowCommand()}, alertVerbs()...)
	return alertNoun("alert", "List, acknowledge, resolve, send and simulate alerts", append(verbs, alertDrillCommand(), alertSimulateCommand(),
		alertStatsCommand(), alertSendCommand(), alertKeyCommand())...)
}

func policyCommand() *cobra.Command {
	return alertNoun("policy", "Plan, apply and show how alerts reach people", policyPlanCommand(), policyApplyCommand(), policyShowCommand())
}

// policyFlags name a policy file.
type policyFlags struct {
	file string
	yes  bool
}

func (f *policyFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "file", "f", "", "the policy file; - reads standard input")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml") // fails only for a flag that does not exist
}

// read reads the file, finds what is wrong with it before anybody is asked, and has the project of the file be asked about.
func (f *policyFlags) read(s *session) (string, error) {
	if f.file == "" {
		return "", misuse("name the policy file: %s -f alerting.yaml", s.cmd.CommandPath())
	}
	data, err := readFile(f.file, s.cmd.InOrStdin(), alert.MaxFileBytes)
	if err != nil {
		return "", err
	}
	r, err := alert.ParseRules(data)
	if err != nil {
		return "", listed(f.file, err)
	}
	if s.api.Project == "" {
		s.api.Project = r.Project
	}
	if s.api.Project != r.Project {
		return "", misuse("--project: %q is not %q, the project of %s", s.api.Project, r.Project, f.file)
	}
	return string(data), nil
}

func policyPlanCommand() *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{Use: "plan -f FILE", Short: "Show what apply would change", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		Long:    "Show what would be created, changed and deleted, and what would be found out at night: people whom no page would reach. Nothing is changed.",
		Example: "  m3o policy plan -f deploy/local/alerting.yaml",
		RunE: action(func(s *session, _ []string) error {
			file, err := f.read(s)
			if err != nil {
				return err
			}
			plan, err := s.api.PlanRules(s.ctx(), file)
			if err != nil {
				return err
			}
			return s.printRulesPlan(plan, s.json)
		})}
	f.bind(cmd)
	return cmd
}

// printRulesPlan prints what would change, and warns of what is allowed.
func (s *session) printRulesPlan(plan alert.RulesPlan, asJSON bool) error {
	if asJSON {
		return printJSON(s.out, plan)
	}
	warn(s.err, plan.Warnings)
	if len(plan.Changes) == 0 {
		_, err := fmt.Fprintln(s.text(), "no changes")
		return err
	}
	var lines [][]string
	for _, c := range plan.Changes {
		first := ""
		if len(c.Fields) > 0 {
			first = c.Fields[0]
		}
		lines = append(lines, []string{c.Action, c.What, first})
		for _, field := range c.Fields[min(1, len(c.Fields)):] {
			lines = append(lines, []string{"", "", field})
		}
	}
	return table(s.text(), []string{"action", "what", "fields"}, lines)
}

func policyApplyCommand() *cobra.Command {
	var f policyFlags
	cmd := &cobra.Command{Use: "apply -f FILE", Short: "Have the project's alerts reach people as a policy file says", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Show what would change, ask, and change it. Alerts that are being escalated follow the new rules from their next step on.\n" +
			"The file names its project; the platform's own alerts are those of the project platform.",
		Example: "  m3o policy apply -f deploy/local/alerting.yaml --yes",
		RunE: action(func(s *session, _ []string) error {
			file, err := f.read(s)
			if err != nil {
				return err
			}
			return s.applyPolicy(file, f.yes)
		})}
	f.bind(cmd)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	return cmd
}

func (s *session) applyPolicy(file string, yes bool) error {
	plan, err := s.api.PlanRules(s.ctx(), file)
	if err != nil {
		return err
	}
	if err := s.printRulesPlan(plan, false); err != nil {
		return err
	}
	if len(plan.Changes) > 0 {
		if err := s.confirm(yes, fmt.Sprintf("Change how alerts of project %s reach people?", plan.Project)); err != nil {
			return err
		}
	}
	r, err := s.api.ApplyRules(s.ctx(), file, plan.Version)
	if err != nil {
		return err
	}
	return s.done(r, "The alerting rules of project %s have version %d. Try them: m3o alert simulate --project %s", r.Project, r.Version, r.Project)
}

func policyShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show", Short: "Print how the project's alerts reach people, as a policy file", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			r, err := s.api.Rules(s.ctx())
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, r)
			}
			if r.Version == 0 {
				fmt.Fprintf(s.err, "No policy file was applied to project %s: these rules hold, and page nobody.\n", r.Project)
			}
			r.Version = 0 // the store's, not the file's
			var text strings.Builder
			if err := printJSON(&text, r); err != nil {
				return err
			}
			file, err := yaml.JSONToYAML([]byte(text.String()))
			if err != nil {
				return fmt.Errorf("write the rules as YAML: %w", err)
			}
			_, err = s.out.Write(file)
			return err
		})}
}

// moment reads a time: RFC 3339, the clock of this machine (2026-01-05T09:00), or a span from now (+2h).
func moment(flag, text string, now time.Time) (time.Time, error) {
	if span, ahead := strings.CutPrefix(text, "+"); ahead {
		d, err := time.ParseDuration(span)
		if err == nil && d > 0 {
			return now.Add(d), nil
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, misuse("--%s: %.40q is no time such as 2026-01-05T09:00, 2026-01-05T09:00:00Z or +2h", flag, text)
}

func alertSimulateCommand() *cobra.Command {
	var f policyFlags
	var at, severity string
	cmd := &cobra.Command{Use: "simulate [LABEL=VALUE]…", Short: "Show who would be paged when and how", Args: takes(0, alert.MaxLabels), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Show who would be paged when and how by an alert with these labels that begins at a time and that nobody acknowledges: across steps,\n" +
			"repetitions and handovers, with what holds pages back and what reaches nobody. Nobody is paged. With -f by the rules of a file that is not applied.",
		Example: "  m3o alert simulate service=shop --severity critical --at 2026-01-05T03:00\n  m3o alert simulate kind=region -f deploy/local/alerting.yaml",
		RunE: action(func(s *session, args []string) error {
			request, err := simulation(s, args, at, severity, &f)
			if err != nil {
				return err
			}
			found, err := s.api.SimulateAlert(s.ctx(), request)
			if err != nil {
				return err
			}
			return s.printSimulated(found)
		})}
	f.bind(cmd)
	cmd.Flags().StringVar(&at, "at", "", "when the alert begins (default: now)")
	cmd.Flags().StringVar(&severity, "severity", string(alert.Error), "critical, error, warning or info")
	return cmd
}

// simulation is what the command line asks to be simulated.
func simulation(s *session, args []string, at, severity string, f *policyFlags) (client.SimulateRequest, error) {
	request := client.SimulateRequest{Labels: map[string]string{"severity": severity}}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return request, misuse("%.80q is no label such as service=shop", arg)
		}
		request.Labels[name] = value
	}
	var err error
	if at != "" {
		if request.At, err = moment("at", at, time.Now()); err != nil {
			return request, err
		}
	}
	if f.file != "" {
		request.File, err = f.read(s)
	}
	return request, err
}

func (s *session) printSimulated(found alert.Simulated) error {
	if s.json {
		return printJSON(s.out, found)
	}
	if _, err := fmt.Fprintf(s.out, "Project %s, route %s, policy %s, severity %s, urgency %s, from %s\n", found.Project, found.Route, dash(found.Policy), found.Severity, found.Urgency,
		found.At.Format(time.RFC3339)); err != nil {
		return err
	}
	var lines [][]string
	for _, p := range found.Pages {
		lines = append(lines, []string{p.At.Format(time.RFC3339), "+" + alert.Duration(time.Duration(p.After).Round(time.Second)).String(), fmt.Sprintf("%d.%d", p.Round, p.Step), p.Name, dash(p.Schedule), string(p.Channel), p.Address})
	}
	if len(lines) > 0 {
		if err := table(s.out, []string{"at", "after", "step", "who", "on call in", "channel", "address"}, lines); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(s.out, "Nobody would be paged."); err != nil {
		return err
	}
	for _, n := range found.Notes {
		if _, err := fmt.Fprintf(s.out, "%s  %s\n", n.At.Format(time.RFC3339), oneLine(n.Text)); err != nil {
			return err
		}
	}
	return nil
}

// silencesCommand is `m3o silence`, or `m3o maintenance`.
func silencesCommand(maintenance bool) *cobra.Command {
	if maintenance {
		return alertNoun("maintenance", "Add, list and end maintenance windows", silenceAddCommand(true), silenceListCommand(true), silenceEndCommand(true))
	}
	return alertNoun("silence", "Add, list and end silences of alerts", silenceAddCommand(false), silenceListCommand(false), silenceEndCommand(false))
}

// silenceFlags are the times and the comment of a silence.
type silenceFlags struct {
	comment, begins, ends string
	span                  time.Duration
}

func silenceAddCommand(maintenance bool) *cobra.Command {
	var f silenceFlags
	cmd := &cobra.Command{Use: "add MATCHER…", Short: "Stop alerts that match from paging for a time", Args: takes(1, alert.MaxMatchers), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Stop alerts that match from paging for a time. All matchers must hold; they are written severity=warning, service!=shop, region=~lon.*\n" +
			"or kind!~test.*. It ends by itself, at most 30 days after it begins, and its author is told before it does.",
		Example: "  m3o silence add service=shop severity=~warning --for 2h --comment 'the importer is slow'",
		RunE: action(func(s *session, args []string) error {
			request, err := f.request(args, maintenance, time.Now())
			if err != nil {
				return err
			}
			made, err := s.api.CreateSilence(s.ctx(), request)
			if err != nil {
				return err
			}
			return s.done(made, "%s %s is %s until %s.", sentence(made.Noun()), made.ID, made.Status, made.Ends.Local().Format(time.RFC3339))
		})}
	if maintenance {
		cmd.Short = "Announce work during which alerts that match page nobody"
		cmd.Long = "Announce work during which alerts that match page nobody: a silence ahead of time, which also holds what is being escalated when it begins.\n" +
			"All matchers must hold; they are written severity=warning, service!=shop, region=~lon.* or kind!~test.*."
		cmd.Example = "  m3o maintenance add region=lon1 --begins 2026-01-05T22:00 --for 4h --comment 'new nodes' --project platform"
	}
	flags := cmd.Flags()
	flags.StringVar(&f.comment, "comment", "", "why")
	flags.StringVar(&f.begins, "begins", "", "when it begins: 2026-01-05T22:00, or +2h (default: now)")
	flags.StringVar(&f.ends, "ends", "", "when it ends")
	flags.DurationVar(&f.span, "for", 0, "how long it holds, in place of --ends")
	cmd.MarkFlagsMutuallyExclusive("ends", "for")
	return cmd
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// request is what is asked for, once what is wrong with it without asking is known.
func (f silenceFlags) request(args []string, maintenance bool, now time.Time) (r client.SilenceRequest, err error) {
	for _, text := range args {
		if _, err := alert.ParseMatcher(text); err != nil {
			return r, misuse("%s", fault.Message(err))
		}
	}
	if f.comment == "" {
		return r, misuse("--comment: say why, for whoever wonders")
	}
	r = client.SilenceRequest{Match: args, Comment: f.comment, Maintenance: maintenance}
	begins := now
	if f.begins != "" {
		if begins, err = moment("begins", f.begins, now); err != nil {
			return r, err
		}
		r.Begins = begins
	}
	switch {
	case f.ends != "":
		r.Ends, err = moment("ends", f.ends, now)
	case f.span > 0:
		r.Ends = begins.Add(f.span)
	default:
		err = misuse("say when it ends: --for 2h, or --ends 2026-01-05T22:00")
	}
	return r, err
}

func silenceListCommand(maintenance bool) *cobra.Command {
	var over bool
	cmd := &cobra.Command{Use: "list", Short: "List those that are not over", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			all, err := s.api.Silences(s.ctx(), maintenance, over)
			if err != nil {
				return err
			}
			return rows(s, all, "There are none.", []string{"id", "status", "match", "begins", "ends", "by", "comment"}, func(v alert.Silence) []string {
				match := make([]string, len(v.Match))
				for i, m := range v.Match {
					match[i] = m.String()
				}
				return []string{v.ID, string(v.Status), strings.Join(match, " "), v.Begins.Local().Format(time.RFC3339), v.Ends.Local().Format(time.RFC3339), v.By, v.Comment}
			})
		})}
	cmd.Flags().BoolVar(&over, "over", false, "those that are over, too")
	return cmd
}

func silenceEndCommand(maintenance bool) *cobra.Command {
	noun := alert.Silence{Maintenance: maintenance}.Noun()
	return &cobra.Command{Use: "end ID", Short: "End a " + noun + " now", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, args []string) error {
			ended, err := s.api.EndSilence(s.ctx(), args[0])
			if err != nil {
				return err
			}
			return s.done(ended, "%s %s is over.", sentence(ended.Noun()), ended.ID)
		})}
}
