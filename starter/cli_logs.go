package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
)

// maxTail is the most lines of an instance that a gateway gives.
const maxTail = 10_000

func logsCommand() *cobra.Command {
	var follow bool
	q := client.LogQuery{}
	cmd := &cobra.Command{Use: "logs NAME", Short: "Show what a service prints, in all regions", GroupID: groupServices, Args: takes(1, 1),
		ValidArgsFunction: completeNames(serviceNames),
		Long:              "Show what a service's instances print, read from every region's gateway and merged by time. With --json each line is one JSON object.",
		Example:           "  m3o logs hello -f\n  m3o logs hello --since 10m --region lon1\n  m3o logs hello --tail 20",
		RunE: action(func(s *session, args []string) error {
			q.Service = args[0]
			switch {
			case q.Tail < -1 || q.Tail > maxTail:
				return misuse("--tail: %d is not between 0 and %d", q.Tail, maxTail)
			case q.Since < 0:
				return misuse("--since: %s is negative", q.Since)
			case q.Release < 0:
				return misuse("--release: %d is not the number of a release", q.Release)
			}
			return s.logs(q, follow)
		})}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "keep printing new lines until Ctrl-C")
	flags.DurationVar(&q.Since, "since", 0, "only lines newer than this, such as 10m")
	flags.IntVar(&q.Tail, "tail", -1, "last N lines of each instance")
	flags.StringVar(&q.Region, "region", "", "only of this region")
	flags.IntVar(&q.Release, "release", 0, "only of this release")
	completeFlag(cmd, "region", regionNames)
	return cmd
}

func (s *session) logs(q client.LogQuery, follow bool) error {
	var err error
	if q.Project, err = s.project(); err != nil {
		return err
	}
	raw := !onTerminal(s.out)
	labels := regionLabels{}
	show := func(line client.Line) error {
		if s.json {
			return printJSONLine(s.out, line)
		}
		text := line.Line
		if !raw {
			text = printable(text)
		}
		labels.add(line.Region)
		_, err := fmt.Fprintf(s.out, "%s %s/%s | %s\n", line.Time.Local().Format("15:04:05.000"), labels.label(line.Region), line.Instance, text)
		return err
	}
	q.Trouble = s.troubles()
	if !follow {
		return s.api.Logs(s.ctx(), q, show)
	}
	if q.Tail < 0 && q.Since == 0 {
		q.Tail = 10
	}
	err = s.api.FollowLogs(s.ctx(), q, show)
	if s.ctx().Err() != nil {
		return nil // Ctrl-C is how one stops looking
	}
	return err
}

// troubles says what goes wrong in a region, and the same thing again only after a while.
func (s *session) troubles() func(string, error) {
	type said struct {
		text string
		at   time.Time
	}
	last := make(chan map[string]said, 1)
	last <- map[string]said{}
	return func(region string, err error) {
		known := <-last
		defer func() { last <- known }()
		text := fault.Message(err)
		if before := known[region]; before.text == text && time.Since(before.at) < 30*time.Second {
			return
		}
		known[region] = said{text, time.Now()}
		fmt.Fprintf(s.err, "m3o: logs of %s: %s\n", region, text)
	}
}
