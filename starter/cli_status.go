package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/status"
)

func platformCommand() *cobra.Command {
	cmd := noun("platform", "Look at the platform", platformStatusCommand())
	cmd.GroupID = groupRegions
	return cmd
}

func platformStatusCommand() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "Show how the platform is: its components, and what went wrong lately", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Show how the platform is, as everybody may read it at /v1/status of the API, without a token: its components, and what went wrong with them in\n" +
			"the last seven days.",
		RunE: action(func(s *session, _ []string) error {
			d, err := s.api.Status(s.ctx())
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, d)
			}
			return printPlatformStatus(s.out, d)
		})}
}

func printPlatformStatus(w io.Writer, d status.Document) error {
	rows := make([][]string, len(d.Components))
	for i, c := range d.Components {
		rows[i] = []string{c.Name, string(c.State), ago(c.Since)}
	}
	fmt.Fprintf(w, "The platform is %s.\n\n", inWords(d.State))
	if err := table(w, []string{"component", "state", "since"}, rows); err != nil || len(d.Incidents) == 0 {
		return err
	}
	rows = make([][]string, len(d.Incidents))
	for i, incident := range d.Incidents {
		took := "lasts"
		if !incident.EndedAt.IsZero() {
			took = age(incident.EndedAt.Sub(incident.StartedAt))
		}
		rows[i] = []string{strconv.FormatInt(incident.Number, 10), incident.StartedAt.Local().Format(time.DateTime), took, incident.Component, string(incident.State), incident.Title}
	}
	fmt.Fprintln(w)
	return table(w, []string{"incident", "began", "took", "component", "state", "what"}, rows)
}

func inWords(s status.State) string {
	switch s {
	case status.Outage:
		return "not working in part"
	case status.Unknown:
		return "not seen in part"
	}
	return string(s)
}

func alertStatsCommand() *cobra.Command {
	var since, zone string
	cmd := &cobra.Command{Use: "stats", Short: "Show how much work alerts were: MTTA, MTTR and noise, by service", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Show how many alerts began, how many pages they were, how long until somebody acknowledged (MTTA) and until they ended (MTTR), how many were\n" +
			"noise (somebody was paged, nobody acknowledged, and they resolved themselves), and how many came after hours (outside of 09:00 to 18:00 from\n" +
			"Monday to Friday, on the clock of --zone). Drills do not count.",
		Example: "  m3o alert stats --since 30d\n  m3o alert stats --project shop --since 12h --zone Europe/London --json",
		RunE: action(func(s *session, _ []string) error {
			back, err := span(since)
			if err != nil {
				return misuse("--since: %v", err)
			}
			stats, err := s.api.AlertStats(s.ctx(), time.Now().Add(-back), zone)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, stats)
			}
			return s.printStats(stats)
		})}
	cmd.Flags().StringVar(&since, "since", "30d", "how far back, such as 12h or 30d")
	cmd.Flags().StringVar(&zone, "zone", "", "where the working hours are, such as Europe/London (default UTC)")
	return cmd
}

// span reads a span of time that may be days.
func span(text string) (time.Duration, error) {
	if number, days := strings.CutSuffix(text, "d"); days {
		if n, err := strconv.Atoi(number); err == nil && n > 0 && n <= 366 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%.40q is no span of time such as 12h or 30d, of at most 366 days", text)
}

func (s *session) printStats(stats client.AlertStats) error {
	if stats.Total.Alerts == 0 {
		fmt.Fprintf(s.err, "No alert of project %s began since %s.\n", stats.Project, stats.Since.Local().Format(time.DateTime))
		return nil
	}
	rows := [][]string{statsRow("(all)", stats.Total)}
	for _, service := range stats.Services {
		rows = append(rows, statsRow(dash(service.Service), service))
	}
	if stats.Partial {
		fmt.Fprintln(s.err, "There were more alerts than are reckoned with here: ask for a shorter time.")
	}
	return table(s.out, []string{"service", "alerts", "paged", "pages", "per alert", "mtta", "mttr", "noise", "after hours"}, rows)
}

func statsRow(name string, s alert.Stats) []string {
	seconds := func(mean float64, of int) string {
		if of == 0 {
			return "-"
		}
		return alert.Duration(time.Duration(mean * float64(time.Second)).Round(time.Second)).String()
	}
	share := func(n int, share float64) string { return fmt.Sprintf("%d (%.0f %%)", n, 100*share) }
	return []string{name, number(s.Alerts), number(s.Paged), number(s.Pages), fmt.Sprintf("%.1f", s.PagesPerAlert), seconds(s.MTTA, s.Acknowledged), seconds(s.MTTR, s.Ended),
		share(s.Noise, s.NoiseShare), share(s.AfterHours, s.AfterShare)}
}
