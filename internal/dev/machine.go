//go:build embedded

package dev

import (
	"context"
	"strings"

	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/machine"
)

// checkMachine says all that keeps the built-in clusters from running here at once, and what is tight.
func (c Config) checkMachine(ctx context.Context) error {
	m := machine.Here(ctx)
	m.Built, m.Cache, m.Data = true, "", c.DataDir
	return c.judge(m.Look(ctx))
}

func (c Config) judge(findings []machine.Finding) error {
	var lacks []string
	for _, f := range findings {
		switch {
		case f.Stops(machine.ToRun):
			lacks = append(lacks, f.String())
		case f.State == machine.Tight:
			c.Say("Note: %s.", f)
		}
	}
	if len(lacks) > 0 {
		return fault.New(fault.Failed, "this machine lacks what is needed to run the platform: %s", strings.Join(lacks, "; "))
	}
	return nil
}
