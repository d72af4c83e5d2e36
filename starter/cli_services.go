package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// serviceCommands are the commands of the developer.
func serviceCommands() []*cobra.Command {
	return []*cobra.Command{runCommand(), rollbackCommand(), killCommand(), servicesCommand(), statusCommand(), releasesCommand(), logsCommand(),
		callCommand(), eventsCommand()}
}

func servicesCommand() *cobra.Command {
	return &cobra.Command{Use: "services", Short: "List the services", GroupID: groupServices, Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			services, err := s.api.Services(s.ctx())
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, services)
			}
			if len(services) == 0 {
				fmt.Fprintln(s.err, "There are no services yet: bring one out with `m3o run deploy/examples/hello`.")
				return nil
			}
			rows := make([][]string, len(services))
			for i, v := range services {
				rows[i] = []string{v.Key.Name, string(v.Status), releaseNumber(v.Current), string(v.Access), placedSummary(v.Regions), ago(v.UpdatedAt), v.Message}
			}
			return table(s.out, []string{"name", "status", "release", "access", "regions", "changed", "message"}, rows)
		})}
}

func releaseNumber(n int) string {
	if n == 0 {
		return "-"
	}
	return number(n)
}

// placedSummary names the regions, and the status of those that are not ready, or not well.
func placedSummary(placed []release.Placed) string {
	names, labels := make([]string, len(placed)), labelsOf(placed)
	for i, p := range placed {
		if names[i] = labels.label(p.Region); placedStatus(p) != string(release.Ready) {
			names[i] += "(" + placedStatus(p) + ")"
		}
	}
	return dash(strings.Join(names, ","))
}

// statusReleases is how many releases a service's status shows.
const statusReleases = 5

func statusCommand() *cobra.Command {
	return &cobra.Command{Use: "status NAME", Short: "Show a service: where it runs, and its last releases", GroupID: groupServices, Args: takes(1, 1),
		ValidArgsFunction: completeNames(serviceNames), Example: "  m3o status hello",
		RunE: action(func(s *session, args []string) error {
			v, err := s.api.Service(s.ctx(), args[0])
			if err != nil {
				return err
			}
			releases, err := s.api.Releases(s.ctx(), args[0], statusReleases)
			if err != nil {
				return err
			}
			current, err := s.currentRelease(v, releases)
			if err != nil {
				return err
			}
			progress := s.progress(args[0])
			if s.json {
				return printJSON(s.out, struct {
					Service  release.Service   `json:"service"`
					Current  *release.Release  `json:"current,omitempty"`
					Progress release.Progress  `json:"progress"`
					Releases []release.Release `json:"releases"`
				}{v, current, progress, releases})
			}
			return s.printStatus(v, current, progress, releases)
		})}
}

func (s *session) printStatus(v release.Service, current *release.Release, p release.Progress, releases []release.Release) error {
	facts := [][]string{{"service", v.Key.String()}, {"status", string(v.Status)}, {"release", releaseNumber(v.Current)}, {"access", string(v.Access)},
		{"changed", ago(v.UpdatedAt)}}
	if v.Message != "" {
		facts = append(facts, []string{"message", v.Message})
	}
	if p.Stage != "" {
		facts = append(facts, []string{"at work", fmt.Sprintf("release %d, %s", p.Release, p.Stage)})
	}
	if why := obstacle(p); why != "" {
		facts = append(facts, []string{"waits for", why})
	}
	if current != nil {
		facts = append(facts, settingRows(*current)...)
	}
	if err := table(s.out, nil, facts); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	if err := s.printPlaces(v.Regions); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	return s.printReleases(releases)
}

func (s *session) printReleases(releases []release.Release) error {
	rows := make([][]string, len(releases))
	for i, r := range releases {
		rows[i] = []string{number(r.Number), string(r.Status), origin(r), r.By, ago(r.CreatedAt), r.Message}
	}
	return table(s.out, []string{"release", "status", "from", "by", "made", "message"}, rows)
}

// origin is where a release comes from, short.
func origin(r release.Release) string {
	switch {
	case r.RollsBack > 0:
		return fmt.Sprintf("release %d", r.RollsBack)
	case r.Origin.Source != "":
		return strings.TrimPrefix(r.Origin.Source, "sha256:")[:12]
	}
	return r.Origin.Image
}

func releasesCommand() *cobra.Command {
	var most int
	cmd := &cobra.Command{Use: "releases NAME", Short: "List a service's releases, newest first", GroupID: groupServices, Args: takes(1, 1),
		ValidArgsFunction: completeNames(serviceNames),
		RunE: action(func(s *session, args []string) error {
			if most < 1 {
				return misuse("--limit: %d is not above 0", most)
			}
			releases, err := s.api.Releases(s.ctx(), args[0], most)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, releases)
			}
			return s.printReleases(releases)
		})}
	cmd.Flags().IntVar(&most, "limit", 20, "how many, at most")
	return cmd
}

func rollbackCommand() *cobra.Command {
	var to int
	cmd := &cobra.Command{Use: "rollback NAME", Short: "Bring out an earlier release again", GroupID: groupServices, Args: takes(1, 1),
		ValidArgsFunction: completeNames(serviceNames),
		Long:              "Bring out an earlier release again, as a new release with the same image and settings, and wait until it answers everywhere.",
		Example:           "  m3o rollback hello\n  m3o rollback hello --to 3",
		RunE: action(func(s *session, args []string) error {
			s.patient()
			if to < 0 || s.cmd.Flags().Changed("to") && to == 0 {
				return misuse("--to: %d is not the number of a release", to)
			}
			ordered, err := s.api.Rollback(s.ctx(), args[0], to)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.err, "Release %d of %s accepted.\n", ordered.Release, args[0])
			if err := s.tellChanges(args[0], ordered.Release, nil); err != nil {
				return err
			}
			return s.follow(args[0], ordered.Release, false)
		})}
	cmd.Flags().IntVar(&to, "to", 0, "number of the release (default: the one before the current)")
	return cmd
}

func killCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "kill NAME", Short: "Remove a service from every region", GroupID: groupServices, Args: takes(1, 1),
		ValidArgsFunction: completeNames(serviceNames), Example: "  m3o kill hello --yes",
		RunE: action(func(s *session, args []string) error { return s.kill(args[0], yes) })}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// kill removes a service, and waits until its last instance is gone.
func (s *session) kill(name string, yes bool) error {
	s.patient()
	s.again = "m3o status " + name
	before, err := s.api.Service(s.ctx(), name)
	if err != nil {
		return err
	}
	if before.Status != release.Killing {
		if err := s.confirm(yes, fmt.Sprintf("Remove service %s from every region?", name)); err != nil {
			return err
		}
		if _, err := s.api.Kill(s.ctx(), name); err != nil {
			return err
		}
	}
	if err := s.awaitGone(name, before.Version); err != nil {
		return err
	}
	if s.json {
		return printJSON(s.out, map[string]string{"service": name, "project": before.Key.Project, "status": string(release.Killed)})
	}
	_, err = fmt.Fprintf(s.out, "Service %s is gone.\n", name)
	return err
}

// awaitGone waits until the service is gone, or its removal has failed.
func (s *session) awaitGone(name string, after int64) error {
	b, done := s.board()
	defer done()
	for began := time.Now(); ; {
		v, err := s.api.Service(s.ctx(), name)
		if fault.Is(err, fault.NotFound) {
			b.show([]boardRow{{name: name, status: string(release.Killed), done: true}})
			return nil
		}
		if err != nil {
			return err
		}
		if v.Version > after && v.Status != release.Killing { // that it is to go was recorded before the answer
			return fault.New(fault.Failed, "service %s is not gone: %s", name, cmp.Or(v.Message, "it is "+string(v.Status)+" again"))
		}
		b.show([]boardRow{{name: name, status: string(v.Status), detail: v.Message}})
		if err := s.pace(began); err != nil {
			return err
		}
	}
}
