package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
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
	Changes []release.Change `json:"changes,omitempty"` // of settings, against the release that it follows
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
	done()
	if err != nil {
		return err
	}
	return s.printReleased(r)
}

func (s *session) awaitRelease(name string, number int, b *board) (release.Release, error) {
	began, waits := time.Now(), waiting{version: -1}
	for {
		r, err := s.api.Release(s.ctx(), name, number)
		if err != nil {
			return r, err
		}
		rows := releaseRows(r)
		if why := waits.why(s, r); why != "" {
			rows = append(rows, boardRow{name: "waits for", detail: why})
		}
		b.show(rows)
		if r.Status.Ended() {
			return r, nil
		}
		if err := s.pace(began); err != nil {
			return r, err
		}
	}
}

// askWhyAfter is how long a release may stay as it is before it is asked what it waits for, and how often it is asked.
const askWhyAfter = 3 * time.Second

// waiting is what a release was seen to wait for.
type waiting struct {
	version int64
	asked   time.Time // or seen to move on
	words   string
}

// why says what keeps a release that has stayed as it is for a while, "" when nothing is known of that.
func (w *waiting) why(s *session, r release.Release) string {
	switch {
	case r.Version != w.version || r.Status.Ended():
		*w = waiting{version: r.Version, asked: time.Now()}
	case time.Since(w.asked) > askWhyAfter:
		p := s.progress(r.Service.Name)
		w.words = obstacle(p)
		if p.Release != r.Number && p.Release != 0 {
			w.words = fmt.Sprintf("its turn, after release %d", p.Release)
		}
		w.asked = time.Now()
	}
	return w.words
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

// obstacle is what a service's work waits for, as far as it is more than work itself.
func obstacle(p release.Progress) string {
	if strings.HasPrefix(p.Waiting, region.WaitsFor) {
		return ""
	}
	return p.Waiting
}

// releaseRows are the regions of a release, and before there are any the release itself.
func releaseRows(r release.Release) []boardRow {
	if len(r.Regions) == 0 || !slices.ContainsFunc(r.Regions, func(p release.Placed) bool { return p.Status != release.Pending }) {
		return []boardRow{{name: fmt.Sprintf("release %d", r.Number), status: string(r.Status), done: r.Status.Ended()}}
	}
	rows, labels := make([]boardRow, len(r.Regions)), labelsOf(r.Regions)
	for i, p := range r.Regions {
		rows[i] = boardRow{name: labels.label(p.Region), status: string(p.Status), detail: p.Message, done: p.Status.Ended()}
		if p.Status == release.Ready {
			rows[i].detail = p.URL
		}
	}
	return rows
}

// followBuild shows the log of a release's build, from the moment there is one. Without it the release's own message tells
// how the build ended, so a log that cannot be had is no failure.
func (s *session) followBuild(ctx context.Context, name string, number int, b *board) {
	for {
		err := s.api.BuildLog(ctx, name, number, true, b)
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
func (s *session) printReleased(r release.Release) error {
	answer := released{Service: r.Service.Name, Project: r.Service.Project, Release: r.Number, Image: r.Image, Status: r.Status,
		Message: r.Message, Changes: s.changes, Regions: []releasedRegion{}}
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
		fmt.Fprintf(s.err, "Release %d of %s is ready.\n", r.Number, r.Service.Name)
		err = table(s.out, []string{"region", "status", "url", "message"}, rows)
	}
	return errors.Join(err, releaseFailure(r))
}

// came reports whether a release came to run: one that was replaced since did, too.
func came(r release.Release) bool {
	ran := len(r.Regions) > 0 && !slices.ContainsFunc(r.Regions, func(p release.Placed) bool { return p.Status != release.Ready })
	return r.Status == release.Ready || r.Status == release.Superseded && ran
}

func releaseFailure(r release.Release) error {
	if came(r) {
		return nil
	}
	word := map[release.Status]string{release.Failed: "failed", release.RolledBack: "was rolled back", release.Superseded: "was superseded"}[r.Status]
	lines := []string{fmt.Sprintf("release %d of %s %s: %s", r.Number, r.Service.Name, word, r.Message)}
	for _, p := range r.Regions {
		if p.Message != "" && !strings.Contains(r.Message, p.Message) {
			lines = append(lines, "  "+p.Message)
		}
	}
	return fault.New(fault.Failed, "%s", strings.Join(lines, "\n"))
}
