package release

import "time"

// Health is how a service is in one region, as its gateway sees it. It is no part of what the service's owner records: whoever watches
// the gateways records it beside.
type Health struct {
	Well      bool       `json:"well"`
	Message   string     `json:"message,omitempty"` // why it is not well, with the program's last words where there are any
	Instances []Instance `json:"instances,omitempty"`
	Since     time.Time  `json:"since"` // when Well changed last
}

// Instance is one instance of a service in a region.
type Instance struct {
	Name     string        `json:"name"`
	Release  int           `json:"release"`
	State    InstanceState `json:"state"`
	Restarts int           `json:"restarts,omitempty"`
	Message  string        `json:"message,omitempty"` // why it is not ready
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
