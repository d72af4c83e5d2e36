//go:build !linux

package build

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
)

// MaybeJail does nothing: there are no jails on this system.
func MaybeJail() {}

func (b *Builder) confined(context.Context, job, *moduleProxy, *output, context.CancelCauseFunc) error {
	return fmt.Errorf("%w: not on %s", errNoJail, runtime.GOOS)
}

// asGroup leaves the child as it is: its own children end when its pipes close.
func asGroup(*exec.Cmd) {}

func giveAway(string) error { return nil }

// residentMemory is not known here.
func residentMemory(int) int64 { return 0 }
