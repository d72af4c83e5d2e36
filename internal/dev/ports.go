package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/m3o/platform/internal/fault"
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

// Port is a port and what listens there.
type Port struct {
	What   string
	Number int
}

// free says which of our ports somebody else holds, all at once. clouds are the sandbox's: what holds them may be the
// sandbox of our own folder, from before.
func (p Ports) free(ctx context.Context, folder string, clouds []Port) error {
	wanted := []Port{{"API", p.API}, {"Temporal", p.Temporal}, {"Temporal UI", p.UI}, {"registry", p.Registry}}
	found, err := sandboxAt(ctx, URL(p.Sandbox))
	switch {
	case err != nil: // nothing is there, or nothing that is a sandbox
		wanted = append(wanted, clouds...)
	case found.Dir != folder:
		return notOurs(found, URL(p.Sandbox))
	}
	var taken []string
	for _, port := range wanted {
		listener, err := net.Listen("tcp", Address(port.Number))
		if errors.Is(err, syscall.EADDRINUSE) {
			taken = append(taken, fmt.Sprintf("%d (%s)", port.Number, port.What))
			continue
		}
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "cannot listen on %s", Address(port.Number))
		}
		listener.Close()
	}
	if len(taken) > 0 {
		return fault.New(fault.Conflict, "ports are taken: %s. Stop what holds them, or move ours: m3o dev --port-offset 100", strings.Join(taken, ", "))
	}
	return nil
}
