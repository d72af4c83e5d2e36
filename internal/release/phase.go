package release

import "fmt"

// Phase is where a service is in its life, as its owner sees it.
//
//	phase           event             next
//	recalling       NothingRecalled   absent
//	recalling       ServiceRecalled   present
//	recalling       KillRecalled      removing        a kill was accepted and not carried out
//	recalling       RemnantRecalled   partly removed
//	absent          ReleaseQueued     present
//	absent          KillAccepted      removing        a first release is being given its number
//	present         ReleaseQueued     present
//	present         ReleaseReady      present
//	present         KillAccepted      removing
//	removing        ReleaseQueued     removing        it was being given its number when the kill was accepted
//	removing        ReleaseReady      removing        it became ready before it heard of the kill
//	removing        KillAccepted      removing
//	removing        Removed           absent
//	removing        RemovalFailed     partly removed
//	partly removed  ReleaseQueued     partly removed  it is a service again when that is ready
//	partly removed  ReleaseReady      present
//	partly removed  KillAccepted      removing
//
// Any other event is a mistake in the owner's code. The phase is not the ServiceStatus, which tells users how the service is.
type Phase string

// The phases. The zero Phase is that of an owner that has just begun.
const (
	Recalling     Phase = ""               // reads what was recorded of the service; commands wait
	Absent        Phase = "absent"         // there never was a release, or the service is removed everywhere
	Present       Phase = "present"        // there is a release, whatever became of it
	Removing      Phase = "removing"       // a kill was accepted; its turn comes after what is at work
	PartlyRemoved Phase = "partly removed" // a removal failed somewhere: the current release is brought to no region any more
)

// PhaseEvent is something that moves a service to another phase.
type PhaseEvent string

// The events.
const (
	NothingRecalled PhaseEvent = "nothing recalled"
	ServiceRecalled PhaseEvent = "service recalled"
	KillRecalled    PhaseEvent = "kill recalled"
	RemnantRecalled PhaseEvent = "remnant recalled"
	ReleaseQueued   PhaseEvent = "release queued"
	ReleaseReady    PhaseEvent = "release ready"
	KillAccepted    PhaseEvent = "kill accepted"
	Removed         PhaseEvent = "removed"
	RemovalFailed   PhaseEvent = "removal failed"
)

// transitions are the rows of Phase's table.
var transitions = map[Phase]map[PhaseEvent]Phase{
	Recalling:     {NothingRecalled: Absent, ServiceRecalled: Present, KillRecalled: Removing, RemnantRecalled: PartlyRemoved},
	Absent:        {ReleaseQueued: Present, KillAccepted: Removing},
	Present:       {ReleaseQueued: Present, ReleaseReady: Present, KillAccepted: Removing},
	Removing:      {ReleaseQueued: Removing, ReleaseReady: Removing, KillAccepted: Removing, Removed: Absent, RemovalFailed: PartlyRemoved},
	PartlyRemoved: {ReleaseQueued: PartlyRemoved, ReleaseReady: Present, KillAccepted: Removing},
}

// After is the phase that follows on the event, or an error for one that cannot happen in the phase.
func (p Phase) After(e PhaseEvent) (Phase, error) {
	next, listed := transitions[p][e]
	if !listed {
		return p, fmt.Errorf("a service's owner that is %q has no event %q", p, e)
	}
	return next, nil
}

// recalled is the event that the last record of a service stands for. Of one without releases there is nothing but the record.
func recalled(s Service, releases int) PhaseEvent {
	switch {
	case s.Version == 0 || s.Status == Killed:
		return NothingRecalled
	case s.Status == Killing:
		return KillRecalled
	case s.PartlyRemoved:
		return RemnantRecalled
	case releases == 0:
		return NothingRecalled
	}
	return ServiceRecalled
}
