package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/oncall"
)

func onCallCommand() *cobra.Command {
	return alertNoun("oncall", "Show and change who is on call", onCallShowCommand(), onCallOverrideCommand(), onCallOverridesCommand(), onCallGapsCommand())
}

func scheduleCommand() *cobra.Command {
	return alertNoun("schedule", "Show on-call schedules", scheduleShowCommand())
}

// onClock writes a moment as the zone's clock shows it.
func onClock(t time.Time, zone string) string {
	if t.IsZero() {
		return "-"
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		where = time.UTC
	}
	return t.In(where).Format("Mon 2006-01-02 15:04 MST")
}

func nobody(person string) string { return cmp.Or(person, "nobody") }

func onCallShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show [SCHEDULE]", Short: "Show who is on call now and next", Args: takes(0, 1), ValidArgsFunction: completeNames(scheduleNames),
		Long: "Show who is on call now and next, by schedule, on the schedule's own clock. A warning says why a page would reach nobody now.",
		RunE: action(func(s *session, args []string) error {
			lines, err := s.api.OnCall(s.ctx())
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if lines, err = onlySchedule(lines, args[0]); err != nil {
					return err
				}
			}
			var warnings []string
			for _, l := range lines {
				switch {
				case l.Now.Person == "":
					warnings = append(warnings, fmt.Sprintf("schedule %s: nobody is on call", l.Schedule))
				case l.Why != "":
					warnings = append(warnings, fmt.Sprintf("schedule %s: %s is on call and %s", l.Schedule, l.Now.Person, l.Why))
				}
			}
			warn(s.err, warnings)
			return rows(s, lines, "There is no schedule: m3o policy apply makes them.", []string{"schedule", "now", "until", "next", "from"}, func(l client.OnCallLine) []string {
				now, next, from := nobody(l.Now.Person), "-", "-"
				if l.Now.Override != "" {
					now += " (override)"
				}
				if l.Next != nil {
					next, from = nobody(l.Next.Person), onClock(l.Next.Begins, l.Zone)
				}
				return []string{l.Schedule, now, onClock(l.Now.Ends, l.Zone), next, from}
			})
		})}
}

func onlySchedule(lines []client.OnCallLine, name string) ([]client.OnCallLine, error) {
	for _, l := range lines {
		if l.Schedule == name {
			return []client.OnCallLine{l}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no schedule %.63q; m3o oncall show lists them", name)
}

// overrideFlags are the schedule and the times of an override.
type overrideFlags struct {
	schedule, from, to, end string
	span                    time.Duration
}

func onCallOverrideCommand() *cobra.Command {
	var f overrideFlags
	cmd := &cobra.Command{Use: "override PERSON", Short: "Put a person on call for a time, or end that", Args: takes(0, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Put a person on call in the place of whoever a schedule has, for a time. Of two overrides at the same time the newer one holds. Alerts that\n" +
			"are being escalated page the person from their next step on. --end ends an override now; one that has not begun is as if it had never been.",
		Example: "  m3o oncall override ana --schedule primary --from 2026-01-05T18:00 --to 2026-01-06T09:00\n  m3o oncall override bob --for 2h\n  m3o oncall override --end ovr_…",
		RunE: action(func(s *session, args []string) error {
			if f.end != "" {
				return f.finish(s, args)
			}
			if len(args) == 0 {
				return misuse("something is missing: %s", s.cmd.UseLine())
			}
			request, err := f.request(s, args[0], time.Now())
			if err != nil {
				return err
			}
			made, err := s.api.CreateOverride(s.ctx(), request)
			if err != nil {
				return err
			}
			return s.done(made, "%s is on call in %s from %s to %s (override %s).", made.Person, made.Schedule, made.Begins.Local().Format(time.RFC3339),
				made.Ends.Local().Format(time.RFC3339), made.ID)
		})}
	flags := cmd.Flags()
	flags.StringVar(&f.schedule, "schedule", "", "in which schedule; may be left out when there is one")
	flags.StringVar(&f.from, "from", "", "when it begins: 2026-01-05T18:00, or +2h (default: now)")
	flags.StringVar(&f.to, "to", "", "when it ends")
	flags.DurationVar(&f.span, "for", 0, "how long it holds, in place of --to")
	flags.StringVar(&f.end, "end", "", "end the override of this id")
	cmd.MarkFlagsMutuallyExclusive("to", "for", "end")
	return cmd
}

func (f overrideFlags) finish(s *session, args []string) error {
	if len(args) > 0 || f.schedule != "" || f.from != "" {
		return misuse("--end takes the id of an override and nothing else")
	}
	ended, err := s.api.EndOverride(s.ctx(), f.end)
	if err != nil {
		return err
	}
	return s.done(ended, "The override of %s by %s is over.", ended.Schedule, ended.Person)
}

// request is what is asked for, once what is wrong with it without asking is known.
func (f overrideFlags) request(s *session, person string, now time.Time) (r client.OverrideRequest, err error) {
	r = client.OverrideRequest{Schedule: f.schedule, Person: person}
	begins := now
	if f.from != "" {
		if begins, err = moment("from", f.from, now); err != nil {
			return r, err
		}
		r.Begins = begins
	}
	switch {
	case f.to != "":
		if r.Ends, err = moment("to", f.to, now); err != nil {
			return r, err
		}
	case f.span > 0:
		r.Ends = begins.Add(f.span)
	default:
		return r, misuse("say when it ends: --to 2026-01-06T09:00, or --for 12h")
	}
	if !r.Ends.After(begins) {
		return r, misuse("--to: %s is not after %s, when it begins", r.Ends.Format(time.RFC3339), begins.Format(time.RFC3339))
	}
	if r.Schedule == "" {
		r.Schedule, err = theSchedule(s)
	}
	return r, err
}

// theSchedule is the only schedule of the project.
func theSchedule(s *session) (string, error) {
	names, err := scheduleNames(s.ctx(), s.api)
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", fault.New(fault.NotFound, "there is no schedule: m3o policy apply makes them")
	case len(names) > 1:
		return "", misuse("name one of the schedules: %q", names)
	}
	return names[0], nil
}

func scheduleNames(ctx context.Context, api *client.Client) ([]string, error) {
	lines, err := api.OnCall(ctx)
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = l.Schedule
	}
	return names, err
}

func onCallOverridesCommand() *cobra.Command {
	return &cobra.Command{Use: "overrides", Short: "List the overrides that are not over", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			overrides, err := s.api.Overrides(s.ctx())
			if err != nil {
				return err
			}
			return rows(s, overrides, "There are no overrides.", []string{"id", "schedule", "person", "from", "to", "by"}, func(o oncall.Override) []string {
				return []string{o.ID, o.Schedule, o.Person, o.Begins.Local().Format(time.RFC3339), o.Ends.Local().Format(time.RFC3339), o.By}
			})
		})}
}

func onCallGapsCommand() *cobra.Command {
	var days int
	cmd := &cobra.Command{Use: "gaps", Short: "List the times ahead in which a page would reach nobody; fails if there are any", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "List the times ahead in which a page would reach nobody: nobody is on call, or somebody who has no verified contact, is no active user, or may\n" +
			"not act on the project's alerts. Ends with 1 when there are any. The platform also says so by alerts, seven days ahead.",
		RunE: action(func(s *session, _ []string) error {
			if days < 1 || days > 92 {
				return misuse("--days: %d is not between 1 and 92", days)
			}
			gaps, err := s.api.Gaps(s.ctx(), days)
			if err != nil {
				return err
			}
			err = rows(s, gaps, fmt.Sprintf("No gaps within %d days.", days), []string{"schedule", "from", "to", "who", "why"}, func(g oncall.Gap) []string {
				ends := "-"
				if !g.Ends.IsZero() {
					ends = g.Ends.Local().Format(time.RFC3339)
				}
				of := g.Schedule
				if g.Policy != "" {
					of = "policy " + g.Policy
				}
				return []string{of, g.Begins.Local().Format(time.RFC3339), ends, nobody(g.Person), g.Why}
			})
			if err == nil && len(gaps) > 0 {
				return errShown
			}
			return err
		})}
	cmd.Flags().IntVar(&days, "days", 7, "how many days ahead, at most 92")
	return cmd
}

func scheduleShowCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{Use: "show [NAME]", Short: "Show a schedule's layers, and its shifts ahead", Args: takes(0, 1), ValidArgsFunction: completeNames(scheduleNames),
		Long: "Show a schedule's layers, and its shifts for two weeks, or between --from and --to, on the schedule's own clock. The name may be left out when\n" +
			"there is one.",
		Example: "  m3o schedule show primary --from 2026-03-23T00:00 --to 2026-04-06T00:00",
		RunE: action(func(s *session, args []string) (err error) {
			var begins, ends time.Time
			now := time.Now()
			if from != "" {
				if begins, err = moment("from", from, now); err != nil {
					return err
				}
			}
			if to != "" {
				if ends, err = moment("to", to, now); err != nil {
					return err
				}
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			} else if name, err = theSchedule(s); err != nil {
				return err
			}
			view, err := s.api.Schedule(s.ctx(), name, begins, ends)
			if err != nil {
				return err
			}
			return s.printSchedule(view)
		})}
	cmd.Flags().StringVar(&from, "from", "", "from when shifts are shown: 2026-01-05T18:00, or +2h (default: now)")
	cmd.Flags().StringVar(&to, "to", "", "until when (default: two weeks later, at most 92 days)")
	return cmd
}

func (s *session) printSchedule(view client.ScheduleView) error {
	if s.json {
		return printJSON(s.out, view)
	}
	if _, err := fmt.Fprintf(s.out, "Schedule %s, times of %s\n\n", view.Name, view.Zone); err != nil {
		return err
	}
	var layers [][]string
	for _, l := range view.Layers {
		layers = append(layers, []string{l.Name, turnText(l), fmt.Sprint(l.People), l.Start, dash(l.Until), hoursText(l.Only)})
	}
	if err := table(s.out, []string{"layer", "turn", "people", "start", "until", "only"}, layers); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(s.out); err != nil {
		return err
	}
	var shifts [][]string
	for _, shift := range view.Shifts {
		by := dash(shift.Layer)
		if shift.Override != "" {
			by = "override " + shift.Override
		}
		shifts = append(shifts, []string{onClock(shift.Begins, view.Zone), onClock(shift.Ends, view.Zone), nobody(shift.Person), by})
	}
	return table(s.out, []string{"from", "to", "on call", "by"}, shifts)
}

func turnText(l oncall.Layer) string {
	if l.Every > 1 {
		return fmt.Sprintf("%s × %d", l.Rotation, l.Every)
	}
	return string(l.Rotation)
}

func hoursText(all []oncall.Hours) string {
	text := ""
	for i, h := range all {
		if i > 0 {
			text += "; "
		}
		for _, day := range h.Days {
			text += day + " "
		}
		text += h.From + "-" + h.To
	}
	return cmp.Or(text, "always")
}
