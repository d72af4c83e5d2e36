package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// How often operations in progress are polled.
const (
	lookSoon  = 250 * time.Millisecond
	lookLater = time.Second
	soon      = time.Minute // from then on it is looked at less often
)

// pace waits until the next look.
func (s *session) pace(began time.Time) error {
	pause := lookSoon
	if time.Since(began) > soon {
		pause = lookLater
	}
	select {
	case <-s.ctx().Done():
		return s.ctx().Err()
	case <-time.After(pause):
		return nil
	}
}

// awaited is a region that a command waits for. After is the version of its record before the command: what the record
// said until then is not the command's outcome, nor is a ready region of another specification than want.
type awaited struct {
	key     region.Key
	gone    bool // it is to be gone, not ready
	returns bool // it was on its way out, and is wanted again
	after   int64
	want    *region.Spec
	line    client.RegionLine // as it was seen last
}

// settled reports whether the command's outcome is known. A status that rests may be from before the command.
func (s *session) settled(a *awaited, there bool, lines []client.RegionLine) (bool, error) {
	switch {
	case !there:
		return a.gone, nil
	case a.line.Status.Moving(), strings.HasSuffix(a.line.Message, region.Undoing):
		return false, nil
	case a.after == 0:
		return true, nil
	}
	r, err := s.record(lines, a.key)
	if err != nil || r.Version <= a.after || r.Status != a.line.Status { // the line is from before the record: look again
		return false, err
	}
	switch {
	case a.gone: // what ran before the teardown may have ended a moment ago
		p, err := s.api.RegionProgress(s.ctx(), pathName(lines, a.key))
		if fault.Is(err, fault.NotFound) {
			return true, nil
		}
		return p.Stage == "", err
	case a.want == nil || a.line.Status == region.Failed:
		return true, nil
	}
	missing, _ := region.Differences(r.Spec, *a.want)
	return len(missing) == 0, nil
}

// awaitRegions waits until all of them have settled, and shows how they come along. A region that failed is an error.
func (s *session) awaitRegions(list []*awaited) error {
	b, done := s.board()
	defer done()
	for began := time.Now(); ; {
		open, err := s.lookAtRegions(list, b)
		if err != nil {
			return err
		}
		if !open {
			return failures(list)
		}
		if err := s.pace(began); err != nil {
			return err
		}
	}
}

// lookAtRegions reports whether any of them is still on its way.
func (s *session) lookAtRegions(list []*awaited, b *board) (open bool, err error) {
	lines, err := s.api.Regions(s.ctx(), "")
	if err != nil {
		return false, err
	}
	rows := make([]boardRow, len(list))
	for i, a := range list {
		at := slices.IndexFunc(lines, func(l client.RegionLine) bool { return l.Key() == a.key })
		if at >= 0 {
			a.line = lines[at]
		} else if a.gone {
			a.line.Status, a.line.Message, a.line.Endpoints = region.Deleted, "", region.Endpoints{}
		}
		done, err := s.settled(a, at >= 0, lines)
		if err != nil {
			return false, err
		}
		open = open || !done
		rows[i] = boardRow{name: a.key.Name, status: dash(string(a.line.Status)), detail: saying(a.line), done: done}
	}
	b.show(rows)
	return open, nil
}

// record is what is known of a region; nothing when it is gone.
func (s *session) record(lines []client.RegionLine, key region.Key) (region.Region, error) {
	r, err := s.api.Region(s.ctx(), pathName(lines, key))
	if fault.Is(err, fault.NotFound) {
		return region.Region{}, nil
	}
	return r.Region, err
}

// pathName is what the API calls the region: its name, with the platform's before it where two bear it.
func pathName(lines []client.RegionLine, key region.Key) string {
	for _, l := range lines {
		if l.Name == key.Name && l.Platform != key.Platform {
			return key.String()
		}
	}
	return key.Name
}

// failures are the regions that did not come to what was wanted.
func failures(list []*awaited) error {
	var failed []string
	for _, a := range list {
		switch {
		case a.line.Status == region.Failed:
			failed = append(failed, fmt.Sprintf("region %s failed: %s", a.key.Name, a.line.Message))
		case a.gone && a.line.Status != region.Deleted:
			failed = append(failed, fmt.Sprintf("region %s is still there: it is %s. %s", a.key.Name, a.line.Status, a.line.Message))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fault.New(fault.Failed, "%s", strings.Join(failed, "\n"))
}
