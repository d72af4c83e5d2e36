package release

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Health is how a service is in one region, as its gateway sees it. It is no part of what the service's owner records: whoever watches
// the gateways records it beside.
type Health struct {
	Release   int        `json:"release"` // the one that is meant to run
	Well      bool       `json:"well"`
	Message   string     `json:"message,omitempty"` // why it is not well, in one line
	Wanted    int        `json:"wanted"`            // instances
	Instances []Instance `json:"instances,omitempty"`
	Since     time.Time  `json:"since"` // when Well changed last
}

// Instance is one instance of a service in a region.
type Instance struct {
	Name     string        `json:"name"`
	Release  int           `json:"release"`
	State    InstanceState `json:"state"`
	Since    time.Time     `json:"since,omitzero"` // when the state began, by the cluster's clock
	Restarts int           `json:"restarts,omitempty"`
	Unsteady bool          `json:"unsteady,omitempty"`   // ready, and its program ended so lately that it may end again
	Message  string        `json:"message,omitempty"`    // why it is not ready, or why its program ended, in one line
	Said     string        `json:"last_words,omitempty"` // the last lines of its program's log, where it is not well
}

// InstanceState is where an instance is.
type InstanceState string

// The states of an instance.
const (
	InstanceReady      InstanceState = "ready"
	InstanceStarting   InstanceState = "starting"   // never ready yet
	InstanceUnready    InstanceState = "unready"    // it was ready, runs, and does not answer
	InstanceRestarting InstanceState = "restarting" // its program ended and is started again
	InstanceEnding     InstanceState = "ending"     // it was asked to go
)

// Well reports whether the instance takes requests, and has not ended lately.
func (i Instance) Well() bool { return i.State == InstanceReady && !i.Unsteady }

// Report is a page of what a gateway tells of the instances in its region.
type Report struct {
	At       time.Time  `json:"at"`       // by the cluster's clock, as are the times of instances
	Services []Reported `json:"services"` // in the order of project and name
	Next     string     `json:"next,omitempty"`
	// Suspended are the projects that are suspended there: nothing of theirs is reported.
	Suspended []string `json:"suspended,omitempty"`
}

// Reported are the instances of one service, those first that are not well. Left is how many more there are.
type Reported struct {
	Service   Key        `json:"service"`
	Instances []Instance `json:"instances"`
	Left      int        `json:"left,omitempty"`
}

// settling is how long something may be wrong with an instance before it counts: a pod that moves to another node is not ready for
// a moment. A program that ended counts at once.
const settling = 5 * time.Second

// maxInstances is how many instances a Health lists.
const maxInstances = 20

// Judge says how a release that is meant to have so many instances is, by those that a gateway saw at a moment. fresh says that what
// is wrong has just begun and may pass by itself: whoever looks again soon will know.
func Judge(number, wanted int, seen []Instance, at time.Time) (h Health, fresh bool) {
	h = Health{Release: number, Wanted: wanted}
	well, ready, lasting := 0, 0, false
	for _, i := range seen {
		if i.Release != number || i.State == InstanceEnding {
			continue
		}
		h.Instances = append(h.Instances, i)
		switch {
		case i.Well():
			well++
			ready++
		case i.State == InstanceReady:
			ready++
			lasting = true
		default:
			lasting = lasting || i.State == InstanceRestarting || at.Sub(i.Since) >= settling
		}
	}
	WorstFirst(h.Instances)
	ended := slices.ContainsFunc(h.Instances, func(i Instance) bool { return i.State == InstanceRestarting })
	if h.Well = well >= wanted && !ended; h.Well {
		h.Instances = h.Instances[:min(len(h.Instances), maxInstances)]
		return h, false
	}
	h.Message = fmt.Sprintf("%d of %d instances ready", ready, wanted)
	if ready > well {
		h.Message += fmt.Sprintf(", %d of them restarted a moment ago", ready-well)
	}
	if len(h.Instances) > 0 && h.Instances[0].Message != "" {
		h.Message += ": " + h.Instances[0].Message
	}
	h.Instances = h.Instances[:min(len(h.Instances), maxInstances)]
	return h, !lasting
}

// WorstFirst sorts instances by how much they tell of what is wrong.
func WorstFirst(all []Instance) {
	slices.SortFunc(all, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.severity(), b.severity()), cmp.Compare(a.Name, b.Name))
	})
}

func (i Instance) severity() int {
	switch {
	case i.State == InstanceRestarting:
		return 0
	case i.State == InstanceUnready:
		return 1
	case i.State == InstanceStarting:
		return 2
	case !i.Well():
		return 3
	}
	return 4
}
