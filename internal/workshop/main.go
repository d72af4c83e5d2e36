// Command workshop is what make needs to build the platform on a machine that has built nothing yet: it says what the machine
// lacks, and shows how far a `go build` is.
//
// It compiles nothing itself and knows nothing of the platform: the Makefile says what is built, and with which flags. Beside
// machine it imports the standard library alone, so that it is compiled in a moment.
//
//	workshop check [-for build|run] [-all]
//	workshop build -about TEXT [-in DIR] -- ARGUMENTS OF go build…
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/m3o/platform/internal/machine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes beside those of the go command.
const (
	lacking     = 1
	misused     = 2
	interrupted = 130
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) > 0 && args[0] == "check":
		return check(ctx, args[1:], stdout, stderr)
	case len(args) > 0 && args[0] == "build":
		return build(ctx, args[1:], stdout, stderr)
	}
	fmt.Fprintln(stderr, "workshop: want check or build")
	return misused
}

// check says what the machine lacks. Where it lacks nothing it says nothing, unless it is asked for all.
func check(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	purpose := flags.String("for", string(machine.ToBuild), "build or run")
	all := flags.Bool("all", false, "say what is fine, too")
	if err := flags.Parse(args); err != nil {
		return misused
	}
	m := machine.Here(ctx)
	var err error
	if m.NeedsGo, err = neededGo("go.mod"); err != nil {
		fmt.Fprintln(stderr, "workshop:", err)
		return misused
	}
	m.Data = ".m3o"
	if machine.Purpose(*purpose) == machine.ToRun {
		m.Ports = machine.Ports(0)
	}
	findings := m.Look(ctx)
	if *all {
		machine.List(stdout, findings)
	}
	if !machine.Report(stderr, findings, machine.Purpose(*purpose)) {
		return lacking
	}
	return 0
}

// neededGo is the version of Go that a go.mod asks for.
func neededGo(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if v, found := strings.CutPrefix(lines.Text(), "go "); found {
			return strings.TrimSpace(v), nil
		}
	}
	return "", errors.New(file + " does not say which Go it needs")
}

// build runs `go build` and shows how far it is.
func build(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(stderr)
	about := flags.String("about", "", "what is built, and why that takes long the first time")
	in := flags.String("in", ".", "folder to build in")
	if err := flags.Parse(args); err != nil {
		return misused
	}
	s := screen{out: stdout, every: 20 * time.Second}
	if f, ok := stdout.(*os.File); ok && isTerminal(f) {
		s.live, s.every = true, time.Second/4
	}
	b := compilation{about: *about, dir: *in, args: flags.Args(), screen: &s, errors: stderr}
	return b.run(ctx)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
