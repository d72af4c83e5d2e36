package release

// Recalled is what an owner that lost its workflow finds again: where the service stands, with the newest release that was asked
// for and never had its turn, and older ones of that kind.
type Recalled struct {
	State     State     `json:"state"`
	Displaced []Release `json:"displaced,omitempty"`
}

// Recall puts together where a service stands, from its last record (zero when there never was one) and its newest
// releases in the order of their numbers. Of a service that was killed only the version is left, and what was asked for since.
func Recall(service Service, newest []Release) Recalled {
	r := Recalled{State: State{Version: service.Version}}
	r.State.Phase = transitions[Recalling][recalled(service, len(newest))]
	if service.Version > 0 && service.Status != Killed {
		r.State.restore(service, newest)
	}
	for _, n := range newest {
		if n.Status == Pending {
			r.enqueue(n)
		}
	}
	return r
}

// enqueue makes a pending release the one that waits, unless a newer one had its turn.
func (r *Recalled) enqueue(n Release) {
	if n.Number <= r.State.Latest {
		r.Displaced = append(r.Displaced, n)
		return
	}
	if older := r.State.Waiting; older != nil {
		r.Displaced = append(r.Displaced, *older)
	}
	r.State.Waiting, r.State.Latest = &n, n.Number
	r.State.Phase = transitions[r.State.Phase][ReleaseQueued]
}

// restore reads back what runs, what ran, and what was on its way.
func (s *State) restore(service Service, newest []Release) {
	s.Started, s.Placed = service.CreatedAt, service.Regions
	// How many placements there were is not recorded. Each was between two records: none has had this number.
	s.Placements = int(service.Version)
	for _, p := range service.Regions {
		if (p.Status == Failed || p.Status == RolledBack) && s.Phase != PartlyRemoved {
			s.Unplaced = append(s.Unplaced, p.Region)
		}
	}
	for _, n := range newest {
		if n.Status != Pending {
			s.remember(n, service.Current)
		}
	}
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
