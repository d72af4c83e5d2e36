package region

import "fmt"

// Phase is what the owner of a region is at. It decides whether a command can be taken, and whom it is passed on to.
//
//	phase          event              next
//	recalling      Recalled           idle           what was at work, if anything, has its turn in the queue
//	recalling      BootstrapTaken     adopting       a bootstrap was at work; commands wait until it is found
//	adopting       BootstrapRunning   bootstrapping
//	adopting       OperationEnded     idle
//	idle           BootstrapTaken     starting
//	idle           TeardownTaken      removing
//	starting       BootstrapRunning   bootstrapping
//	starting       OperationEnded     idle           it could not be started
//	bootstrapping  RetryMissed        repeating      the bootstrap had ended when it was told to retry
//	bootstrapping  OperationEnded     idle
//	repeating      RetryMissed        repeating
//	repeating      OperationEnded     idle           another bootstrap has its turn next, unless the region is ready
//	removing       OperationEnded     idle
//
// Any other event is a mistake in the owner's code. The phase is not the region's Status, which tells users what there is.
type Phase string

// The phases. The zero Phase is that of an owner that has just begun.
const (
	Recalling     Phase = "" // reads what was recorded of the region; commands wait
	Adopting      Phase = "adopting"
	Idle          Phase = "idle"
	Starting      Phase = "starting" // a bootstrap has its turn and may not run yet; what is to be passed on to it waits
	Bootstrapping Phase = "bootstrapping"
	Repeating     Phase = "repeating"
	Removing      Phase = "removing"
)

// PhaseEvent is something that moves the owner of a region to another phase.
type PhaseEvent string

// The events.
const (
	Recalled         PhaseEvent = "recalled"
	BootstrapTaken   PhaseEvent = "bootstrap taken"
	TeardownTaken    PhaseEvent = "teardown taken"
	BootstrapRunning PhaseEvent = "bootstrap running"
	RetryMissed      PhaseEvent = "retry missed"
	OperationEnded   PhaseEvent = "operation ended"
)

// transitions are the rows of Phase's table.
var transitions = map[Phase]map[PhaseEvent]Phase{
	Recalling:     {Recalled: Idle, BootstrapTaken: Adopting},
	Adopting:      {BootstrapRunning: Bootstrapping, OperationEnded: Idle},
	Idle:          {BootstrapTaken: Starting, TeardownTaken: Removing},
	Starting:      {BootstrapRunning: Bootstrapping, OperationEnded: Idle},
	Bootstrapping: {RetryMissed: Repeating, OperationEnded: Idle},
	Repeating:     {RetryMissed: Repeating, OperationEnded: Idle},
	Removing:      {OperationEnded: Idle},
}

// After is the phase that follows on the event, or an error for one that cannot happen in the phase.
func (p Phase) After(e PhaseEvent) (Phase, error) {
	next, listed := transitions[p][e]
	if !listed {
		return p, fmt.Errorf("a region's owner that is %q has no event %q", p, e)
	}
	return next, nil
}

// Open reports whether commands can be taken. Before, it is not known what they are about.
func (p Phase) Open() bool { return p != Recalling && p != Adopting }

// HasBootstrap reports whether a bootstrap is at work, or about to be.
func (p Phase) HasBootstrap() bool {
	return p == Adopting || p == Starting || p == Bootstrapping || p == Repeating
}
