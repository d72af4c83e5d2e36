package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/m3o/platform/internal/release"
)

// placedStatus is that of the release in a region, or degraded where it was brought and is not well now.
func placedStatus(p release.Placed) string {
	if p.Status == release.Ready && p.Health != nil && !p.Health.Well {
		return string(release.Degraded)
	}
	return string(p.Status)
}

// printPlaces shows how a service is in its regions, and what those of its instances said last that are not well.
func (s *session) printPlaces(placed []release.Placed) error {
	rows, labels := make([][]string, len(placed)), labelsOf(placed)
	for i, p := range placed {
		ready, restarts, since, message := "-", "-", "-", p.Message
		if h := p.Health; h != nil {
			ready, restarts, since = tally(*h)
			message = cmp.Or(message, h.Message)
		}
		rows[i] = []string{labels.label(p.Region), placedStatus(p), ready, restarts, since, dash(p.URL), message}
	}
	if err := table(s.out, []string{"region", "status", "ready", "restarts", "since", "url", "message"}, rows); err != nil {
		return err
	}
	for _, p := range placed {
		if p.Health != nil {
			s.printTroubles(labels.label(p.Region), *p.Health)
		}
	}
	return nil
}

// tally counts a service's instances in a region: those that take requests of those wanted, how often their programs were started
// again, and since when it is as well as it is.
func tally(h release.Health) (ready, restarts, since string) {
	takes, again := 0, 0
	for _, i := range h.Instances {
		if again += i.Restarts; i.State == release.InstanceReady {
			takes++
		}
	}
	if h.Well { // of many instances only some are listed
		takes = max(takes, h.Wanted)
	}
	return fmt.Sprintf("%d/%d", takes, h.Wanted), number(again), ago(h.Since)
}

// printTroubles shows what is wrong with the instances that are not well, each of their last words once.
func (s *session) printTroubles(in string, h release.Health) {
	shown := map[string]bool{}
	for _, i := range h.Instances {
		if i.Well() || i.State == release.InstanceEnding {
			continue
		}
		fmt.Fprintf(s.out, "\n%s: instance %s has been %s for %s: %s\n", oneLine(in), oneLine(i.Name), situation(i), age(time.Since(i.Since)), oneLine(i.Message))
		if i.Said == "" || shown[i.Said] {
			continue
		}
		shown[i.Said] = true
		fmt.Fprintln(s.out, "  its last words:")
		for line := range strings.Lines(printable(i.Said)) {
			fmt.Fprintln(s.out, "    "+strings.TrimRight(line, "\r\n"))
		}
	}
}

// situation is an instance's state; one that is ready and not well was started again a moment ago.
func situation(i release.Instance) string {
	if i.State == release.InstanceReady {
		return "ready again"
	}
	return string(i.State)
}
