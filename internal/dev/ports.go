package dev

import (
	"context"
	"net"
	"strconv"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/machine"
)

// Ports are where everything listens, on the loopback alone.
type Ports struct {
	API, Temporal, UI, Registry, Sandbox int
}

// NewPorts are the documented ports, moved by the offset.
func NewPorts(offset int) (Ports, error) {
	if offset < 0 || offset > 50000 {
		return Ports{}, fault.New(fault.Invalid, "--port-offset: %d is not between 0 and 50000", offset)
	}
	return Ports{API: 8080 + offset, Temporal: 7233 + offset, UI: 8233 + offset, Registry: 5001 + offset, Sandbox: 9000 + offset}, nil
}

// Address is the loopback address of a port; URL its base.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
func URL(port int) string     { return "http://" + Address(port) }

// free says which of our ports somebody else holds, all at once. clouds are the sandbox's: what holds them may be the
// sandbox of our own folder, from before.
func (p Ports) free(ctx context.Context, folder string, clouds []machine.Port) error {
	wanted := []machine.Port{{What: "API", Number: p.API}, {What: "Temporal", Number: p.Temporal}, {What: "Temporal UI", Number: p.UI}, {What: "registry", Number: p.Registry}}
	found, err := sandboxAt(ctx, URL(p.Sandbox))
	switch {
	case err != nil: // nothing is there, or nothing that is a sandbox
		wanted = append(wanted, clouds...)
	case found.Dir != folder:
		return notOurs(found, URL(p.Sandbox))
	}
	taken, err := machine.Taken(wanted)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "cannot %v", err)
	}
	if len(taken) > 0 {
		return fault.New(fault.Conflict, "ports are taken: %s. "+machine.MovePorts, machine.Named(taken))
	}
	return nil
}
