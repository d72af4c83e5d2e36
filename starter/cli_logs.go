package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// How many lines of an instance a gateway gives at most, how many are asked for when nothing is said, and how many before those that
// are followed.
const (
	maxTail     = 10_000
	defaultTail = 1000
	followTail  = 10
)

func logsCommand() *cobra.Command {
	var follow, build bool
	q := client.LogQuery{}
	cmd := &cobra.Command{Use: "logs NAME", Short: "Show what a service prints, in all regions", GroupID: groupServices, Args: takes(1, 1),
		ValidArgsFunction: completeNames(serviceNames),
		Long: "Show what a service's instances print, read from every region's gateway and merged by time. With --json each line is one JSON object.\n" +
			"Only instances that there are have lines: what one that is gone said last is in `m3o status NAME`. With --build, show how a release was built.",
		Example: "  m3o logs hello -f\n  m3o logs hello --since 10m --region lon1\n  m3o logs hello --tail 20\n  m3o logs hello --build --release 3",
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
			if build {
				return s.buildLog(q.Service, q.Release, follow)
			}
			return s.logs(q, follow)
		})}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "keep printing new lines until Ctrl-C")
	flags.DurationVar(&q.Since, "since", 0, "only lines newer than this, such as 10m")
	flags.IntVar(&q.Tail, "tail", -1, fmt.Sprintf("last N lines of each instance, at most %d (default: %d; with --follow %d; with --since all)", maxTail, defaultTail, followTail))
	flags.StringVar(&q.Region, "region", "", "only of this region")
	flags.IntVar(&q.Release, "release", 0, "only of this release")
	flags.BoolVar(&build, "build", false, "show the log of the build instead: of --release, or the newest")
	completeFlag(cmd, "region", regionNames)
	return cmd
}

func (s *session) logs(q client.LogQuery, follow bool) error {
	var err error
	if q.Project, err = s.project(); err != nil {
		return err
	}
	labels, lines := regionLabels{}, map[[2]string]int{}
	show := func(line client.Line) error {
		lines[[2]string{line.Region, line.Instance}]++
		if s.json {
			return printJSONLine(s.out, line)
		}
		labels.add(line.Region)
		_, err := fmt.Fprintf(s.out, "%s %s/%s | %s\n", line.Time.Local().Format("15:04:05.000"), labels.label(line.Region), line.Instance, line.Line)
		return err
	}
	q.Trouble = s.troubles()
	if !follow {
		return s.recentLogs(q, show, lines)
	}
	if q.Tail < 0 && q.Since == 0 {
		q.Tail = followTail
	}
	err = s.api.FollowLogs(s.ctx(), q, show)
	if s.ctx().Err() != nil {
		return nil // Ctrl-C is how one stops looking
	}
	return err
}

// recentLogs shows the lines there are, and says when those are not all.
func (s *session) recentLogs(q client.LogQuery, show func(client.Line) error, lines map[[2]string]int) error {
	bounded := q.Tail < 0 && q.Since == 0
	if bounded {
		q.Tail = defaultTail
	}
	err := s.api.Logs(s.ctx(), q, show)
	if fault.Is(err, fault.NotFound) {
		return s.whyNoLines(q.Service, err)
	}
	for _, n := range lines {
		if bounded && n >= defaultTail {
			fmt.Fprintf(s.err, "m3o: these are the last %d lines of each instance; --tail N shows up to %d, --since 1h all of the last hour\n", defaultTail, maxTail)
			break
		}
	}
	return err
}

// whyNoLines adds to the failure of a service that has no instance what the service says of itself.
func (s *session) whyNoLines(name string, err error) error {
	v, unknown := s.api.Service(s.ctx(), name)
	if unknown != nil || v.Message == "" || v.Status == release.Running {
		return err
	}
	return fault.New(fault.NotFound, "service %s has no instance now, so there is nothing to read: %s", name, v.Message)
}

// buildLog shows the log of a release's build; number 0 is the newest release.
func (s *session) buildLog(name string, number int, follow bool) error {
	if number == 0 {
		v, err := s.api.Service(s.ctx(), name)
		if err != nil {
			return err
		}
		number = v.Latest
	}
	out, lines := s.out, &jsonLines{out: s.out, release: number}
	if s.json {
		out = lines
	}
	err := s.api.BuildLog(s.ctx(), name, number, follow, out)
	if len(lines.rest) > 0 {
		_, err = lines.Write([]byte("\n"))
	}
	if fault.Is(err, fault.NotFound) {
		if _, unknown := s.api.Release(s.ctx(), name, number); unknown != nil {
			return unknown
		}
		return fault.New(fault.NotFound, "release %d of %s was not built, so it has no log", number, name)
	}
	return err
}

// jsonLines writes each line of a build's log as a JSON object.
type jsonLines struct {
	lineBuffer
	out     io.Writer
	release int
}

func (j *jsonLines) Write(p []byte) (int, error) {
	for line := range strings.Lines(j.take(p)) {
		value := struct {
			Release int    `json:"release"`
			Line    string `json:"line"`
		}{j.release, strings.TrimRight(line, "\r\n")}
		if err := printJSONLine(j.out, value); err != nil {
			return 0, err
		}
	}
	return len(p), nil
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
