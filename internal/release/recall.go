package release

import "strings"

// Recalled is what an owner that lost its workflow finds again: where the service stands, and the releases that were asked
// for and never had their turn, oldest first.
type Recalled struct {
	State   State     `json:"state"`
	Pending []Release `json:"pending,omitempty"`
}

// Recall puts together where a service stands, from its last record (zero when there never was one) and its newest
// releases in the order of their numbers. Of a service that was killed only the version is left, and what was asked for since.
func Recall(service Service, newest []Release) Recalled {
	r := Recalled{State: State{Version: service.Version}}
	for _, n := range newest {
		if n.Status == Pending {
			r.Pending = append(r.Pending, n)
		}
	}
	if service.Version == 0 || service.Status == Killed {
		return r
	}
	r.State.Started, r.State.Kill, r.State.Placed = service.CreatedAt, service.Status == Killing, service.Regions
	// How many placements there were is not recorded. Each was between two records: none has had this number.
	r.State.Placements = int(service.Version)
	r.State.HalfKilled = service.Status == Broken && strings.HasPrefix(service.Message, KillFailed)
	for _, p := range service.Regions {
		if (p.Status == Failed || p.Status == RolledBack) && !r.State.HalfKilled {
			r.State.Unplaced = append(r.State.Unplaced, p.Region)
		}
	}
	for _, n := range newest {
		if n.Status != Pending {
			r.State.remember(n, service.Current)
		}
	}
	return r
}

// remember puts a release where it belongs: what runs, what ran before, or what was on its way.
func (s *State) remember(r Release, current int) {
	s.Latest = r.Number
	switch {
	case r.Number == current:
		s.goBackFrom(r)
		s.Current = &r
	case r.Number < current && r.ran():
		s.goBackFrom(r)
		s.Previous = append(s.Previous, r.Brief())
	case r.Number > current && (r.Status == Deploying || r.Status == Ready): // ready, and not yet taken over
		s.Interrupted = &r
	case r.Status == Failed || r.Status == RolledBack:
		s.RolledBack = append(s.RolledBack, r.Number)
	}
}

// goBackFrom notes what a rollback left behind: neither that nor what that repeated is to be gone back to.
func (s *State) goBackFrom(r Release) {
	if n := len(s.Previous); n > 0 && r.RollsBack != 0 {
		s.RolledBack = append(s.RolledBack, s.Previous[n-1].Number, s.Previous[n-1].RollsBack)
	}
}

// ran reports whether the release was once ready somewhere and made way for a newer one.
func (r Release) ran() bool {
	for _, p := range r.Regions {
		if p.Status == Ready {
			return r.Status == Superseded || r.Status == Ready
		}
	}
	return false
}
