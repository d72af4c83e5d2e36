//go:build embedded

package dev

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/sandbox"
)

// maxOpen is how many ports of this machine a user may open to pods.
const maxOpen = 32

// machineName is what pods of built-in clusters call this machine's loopback.
const machineName = "host.m3o.internal"

// open are the ports of this machine that nodes and pods reach, as the sandbox takes them: the registry, which asks for a
// password, and those that the user opens.
func (p Ports) open(more []int) string {
	ports := append([]int{p.Registry}, more...)
	slices.Sort(ports)
	list := make([]string, 0, len(ports))
	for _, port := range slices.Compact(ports) {
		list = append(list, strconv.Itoa(port))
	}
	return strings.Join(list, ",")
}

// CheckOpen says which ports cannot be opened to pods: what is no port, and where whoever comes is obeyed.
func (p Ports) CheckOpen(ports []int) error {
	trusting := map[int]string{p.Temporal: "Temporal", p.UI: "Temporal UI"}
	for what, number := range sandbox.Ports(p.Sandbox) {
		trusting[number] = "sandbox, " + what
	}
	for _, port := range ports {
		if port < 1 || port > 65535 {
			return fault.New(fault.Invalid, "--open-port: %d is not between 1 and 65535", port)
		}
		if what, ok := trusting[port]; ok {
			return fault.New(fault.Invalid, "--open-port: %d (%s) obeys everybody who reaches it, and stays closed to pods", port, what)
		}
	}
	if len(ports) > maxOpen {
		return fault.New(fault.Invalid, "--open-port: %d ports are more than %d", len(ports), maxOpen)
	}
	return nil
}

// closedTraces is the port of this machine to which gateways are told to send traces, if it is closed to them; else 0.
func (c Config) closedTraces() int {
	u, err := url.Parse(c.Traces.Regions)
	if err != nil || u.Hostname() != machineName || c.Kubeconfig != "" {
		return 0
	}
	port, err := strconv.Atoi(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
	if err != nil || port == c.Ports.Registry || slices.Contains(c.OpenPorts, port) {
		return 0
	}
	return port
}
