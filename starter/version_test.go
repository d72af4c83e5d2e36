package main

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/m3o/platform/internal/machine"
)

// TestVersionSaysWhatAMachineLacks before anything is started: here, a port.
func TestVersionSaysWhatAMachineLacks(t *testing.T) {
	user(t)
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	offset := held.Addr().(*net.TCPAddr).Port - machine.Ports(0)[0].Number
	c := m3o("version", "--check", "--port-offset", strconv.Itoa(offset))
	for _, words := range []string{"m3o ", "Go ", "memory ", "user namespaces ", "disk for the data directory ", "lacks what is needed to run the platform:",
		held.Addr().String()[len("127.0.0.1:"):] + " (API)", machine.MovePorts} {
		if !strings.Contains(c.out, words) {
			t.Errorf("%q is missing in:\n%s", words, c.out)
		}
	}
	if c.code != exitFailed || c.errs != "" {
		t.Errorf("ended with %d: %s", c.code, c.errs)
	}
	var facts struct {
		Fit     bool
		Machine []machine.Finding
	}
	c = m3o("version", "--check", "--json", "--port-offset", strconv.Itoa(offset))
	if err := json.Unmarshal([]byte(c.out), &facts); err != nil || facts.Fit || c.code != exitFailed {
		t.Errorf("with --json: %d, %v: %s", c.code, err, c.out)
	}
	if last := facts.Machine[len(facts.Machine)-1]; last.What != "ports" || last.State != machine.StopsRun {
		t.Errorf("the ports are %+v", last)
	}
}
