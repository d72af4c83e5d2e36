//go:build embedded

package dev

import (
	"fmt"
	"testing"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/machine"
)

func TestAllThatAMachineLacksIsSaidAtOnce(t *testing.T) {
	var said []string
	c := Config{Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
	findings := []machine.Finding{{What: "memory", State: machine.Tight, Found: "3.8 GB", Way: "Apply one region"}, {What: "Go", State: machine.Fine, Found: "go1.26.0"},
		{What: "user namespaces", State: machine.StopsRun, Found: "this machine refuses them", Way: "Allow them"}, {What: "disk", State: machine.StopsRun, Found: "full"}}
	if err := c.judge(findings); !fault.Is(err, fault.Failed) || fault.Message(err) != "this machine lacks what is needed to run the platform: user namespaces: this machine refuses them. Allow them; disk: full" {
		t.Errorf("it is refused with %v", err)
	}
	if len(said) != 1 || said[0] != "Note: memory: 3.8 GB. Apply one region." {
		t.Errorf("said is %q", said)
	}
	if err := c.judge(findings[:2]); err != nil {
		t.Errorf("what is tight stops it: %v", err)
	}
}
