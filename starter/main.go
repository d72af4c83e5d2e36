// Command m3o is the platform: every process, every workflow's start, and the command line of its users.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/m3o/platform/internal/build"
	"github.com/m3o/platform/internal/fault"
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
	answer := &noticed{stream: answers(stdout)}
	stderr = messages(stderr)
	root.SetArgs(args)
	root.SetOut(answer)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !answer.written && (wantsJSON(cmd) || slices.Contains(args, "--"+flagJSON)) { // flags that cannot be read are not read to the end
		err = errors.Join(err, printJSON(answer, failureOf(err)))
	}
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

// noticed is a stream of which one knows whether anything was written.
type noticed struct {
	stream  io.Writer
	written bool
}

func (n *noticed) Write(p []byte) (int, error) {
	n.written = true
	return n.stream.Write(p)
}

// failed is what a command prints as JSON that failed and had no other answer.
type failed struct {
	Error failure `json:"error"`
}

// failure is why. Kind is one of internal/fault's, or "misused".
type failure struct {
	Kind     string          `json:"kind"`
	Message  string          `json:"message"`
	Problems []fault.Problem `json:"problems,omitempty"`
}

func failureOf(err error) failed {
	f := failure{Kind: string(fault.Of(err)), Message: err.Error()}
	var wrong *misuseError
	if errors.As(err, &wrong) {
		f.Kind = "misused"
	}
	var of *fault.Error
	if errors.As(err, &of) {
		f.Problems = of.Problems
	}
	return failed{f}
}

// errShown ends a command whose failure its own output has told.
var errShown = errors.New("failed")

// misuseError says that the command was called wrongly.
type misuseError struct{ message string }

func (e *misuseError) Error() string { return e.message }

func misuse(format string, args ...any) error { return &misuseError{fmt.Sprintf(format, args...)} }
