// Command m3o is the platform: every process, every workflow's start, and the command line of its users.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/m3o/platform/internal/build"
)

// version is set when a release is linked.
var version = "dev"

func main() {
	build.MaybeJail()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// The exit codes: done, failed, misused.
const (
	exitDone = iota
	exitFailed
	exitMisused
)

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	root := rootCommand()
	stdout, stderr = answers(stdout), messages(stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var wrong *misuseError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "m3o: %v\n", err)
		return exitMisused
	case errors.Is(err, errShown):
		return exitFailed
	}
	fmt.Fprintf(stderr, "m3o: %v\n", err)
	return exitFailed
}

// errShown ends a command whose failure its own output has told.
var errShown = errors.New("failed")

// misuseError says that the command was called wrongly.
type misuseError struct{ message string }

func (e *misuseError) Error() string { return e.message }

func misuse(format string, args ...any) error { return &misuseError{fmt.Sprintf(format, args...)} }
