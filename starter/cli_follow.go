package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/release"
)

// released is what run and rollback print as JSON.
type released struct {
	Service string           `json:"service"`
	Project string           `json:"project"`
	Release int              `json:"release"`
	Image   string           `json:"image"`
	Status  release.Status   `json:"status"`
	Message string           `json:"message,omitempty"`
	Elapsed int              `json:"elapsed_seconds"`   // since it was accepted
	Changes []release.Change `json:"changes,omitempty"` // of settings, against the release that it follows
	Source  *sentSource      `json:"source,omitempty"`  // what was sent
	Notes   []string         `json:"notes,omitempty"`   // on how the source was read
	Regions []releasedRegion `json:"regions"`
}

type releasedRegion struct {
	Name    string         `json:"name"`   // alone, where one region of the release is called so
	Region  string         `json:"region"` // platform/name
	Status  release.Status `json:"status"`
	URL     string         `json:"url"`
	Message string         `json:"message,omitempty"`
}

// follow waits until a release has ended, and tells how. Meanwhile it shows the build's log, if there is a build, and how
// the regions come along.
func (s *session) follow(name string, number int, builds bool) error {
	s.again = "m3o status " + name
	b, done := s.board()
	b.stages, b.verbose = deployStages(builds), s.verbose
	ctx, cancel := context.WithCancel(s.ctx())
	defer cancel()
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		if builds {
			s.followBuild(ctx, name, number, b)
		}
	}()
	r, err := s.awaitRelease(name, number, b)
	if err == nil {
		// The log ends with the build, which is over: what is left of it is on its way.
		select {
		case <-logged:
		case <-time.After(3 * time.Second):
		}
	}
	cancel()
	<-logged
	if err == nil && r.Status == release.Failed {
		b.showLog()
	}
	done()
	if err != nil {
		return err
	}
	return s.printReleased(r, b)
}

func (s *session) awaitRelease(name string, number int, b *board) (release.Release, error) {
	began, asks := time.Now(), asking{}
	for {
		r, err := s.api.Release(s.ctx(), name, number)
		if err != nil {
			return r, err
		}
		b.show(deployRows(r, asks.progress(s, r), b.stages))
		if r.Status.Ended() {
			return r, nil
		}
		if err := s.pace(began); err != nil {
			return r, err
		}
	}
}

// askEvery is how often a service's owner is asked how a deploy comes along.
const askEvery = time.Second

// asking is what a service's owner said last.
type asking struct {
	version int64
	asked   time.Time
	said    release.Progress
}

// progress is how the release comes along, asked anew when it moved on or a while has passed.
func (a *asking) progress(s *session, r release.Release) release.Progress {
	if r.Status.Ended() {
		return release.Progress{}
	}
	if r.Version != a.version || time.Since(a.asked) >= askEvery {
		a.hear(s.progress(r.Service.Name), r.Number)
		a.version, a.asked = r.Version, time.Now()
	}
	return a.said
}

// hear takes what the owner says now. An owner that does not answer, or cannot see how far the release is, is busy: what it said of the
// release before still holds.
func (a *asking) hear(p release.Progress, number int) {
	if p.Stage == "" && (p.Release == 0 || p.Release == number) && a.said.Release == number {
		return
	}
	a.said = p
}

// progress is what a service's owner says that it is at. It is told besides, so that nobody waits long for an owner that is away.
func (s *session) progress(name string) release.Progress {
	ctx, cancel := context.WithTimeout(s.ctx(), 2*time.Second)
	defer cancel()
	p, err := s.api.ServiceProgress(ctx, name)
	if err != nil {
		return release.Progress{}
	}
	return p
}

// followBuild shows the log of a release's build, from the moment there is one. Without it the release's own message tells
// how the build ended, so a log that cannot be had is no failure.
func (s *session) followBuild(ctx context.Context, name string, number int, b *board) {
	for {
		err := s.api.BuildLog(ctx, name, number, true, b.logWriter())
		if !fault.Is(err, fault.NotFound) {
			if err != nil && ctx.Err() == nil {
				fmt.Fprintf(b, "m3o: the build's log broke off: %s\n", fault.Message(err))
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookSoon):
		}
	}
}

// printReleased prints how a release ended. One that does not run is a failure.
func (s *session) printReleased(r release.Release, b *board) error {
	answer := released{Service: r.Service.Name, Project: r.Service.Project, Release: r.Number, Image: r.Image, Status: r.Status,
		Message: r.Message, Elapsed: int(b.elapsed().Seconds()), Changes: s.changes, Source: s.sent, Notes: s.notes,
		Regions: []releasedRegion{}}
	labels := labelsOf(r.Regions)
	for _, p := range r.Regions {
		answer.Regions = append(answer.Regions, releasedRegion{Name: labels.label(p.Region), Region: p.Region, Status: p.Status, URL: p.URL, Message: p.Message})
	}
	var err error
	if s.json {
		err = printJSON(s.out, answer)
	} else if came(r) {
		rows := make([][]string, len(r.Regions))
		for i, p := range r.Regions {
			rows[i] = []string{labels.label(p.Region), string(p.Status), dash(p.URL), p.Message}
		}
		if !b.live { // on a terminal the table says so
			fmt.Fprintf(s.err, "Release %d of %s is ready after %s.\n", r.Number, r.Service.Name, age(b.elapsed()))
		}
		err = table(s.out, []string{"region", "status", "url", "message"}, rows)
	}
	return errors.Join(err, releaseFailure(r, b))
}

// came reports whether a release came to run: one that was replaced since did, too.
func came(r release.Release) bool {
	ran := len(r.Regions) > 0 && !slices.ContainsFunc(r.Regions, func(p release.Placed) bool { return p.Status != release.Ready })
	return r.Status == release.Ready || r.Status == release.Superseded && ran
}

// releaseFailure is why a release does not run. What the log above says already is not said again.
func releaseFailure(r release.Release, b *board) error {
	if came(r) {
		return nil
	}
	message := r.Message
	if first, rest, found := strings.Cut(message, "\n"); found && b.hasShown(rest) {
		message = strings.TrimSuffix(first, ":") + ": see above"
	}
	lines := []string{fmt.Sprintf("release %d of %s %s: %s", r.Number, r.Service.Name, r.Status.Verb(), message)}
	for _, p := range r.Regions {
		if p.Message != "" && !strings.Contains(r.Message, p.Message) {
			lines = append(lines, "  "+p.Message)
		}
	}
	return fault.New(fault.Failed, "%s", strings.Join(lines, "\n"))
}
