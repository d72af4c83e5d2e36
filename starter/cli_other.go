package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/event"
)

// neverSent reports whether a request failed because no connection could be made: it may be sent elsewhere.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func eventsCommand() *cobra.Command {
	var follow bool
	var tail int
	cmd := &cobra.Command{Use: "events", Short: "Show what happened", GroupID: groupOther, Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		Long:    "Show what happened to regions, services and releases. With --json each event is one JSON object on a line.",
		Example: "  m3o events --tail 20\n  m3o events -f --json",
		RunE: action(func(s *session, _ []string) error {
			if tail < 0 || tail > 100_000 {
				return misuse("--tail: %d is not between 0 and 100000", tail)
			}
			return s.events(follow, tail)
		})}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "keep printing new events until Ctrl-C")
	cmd.Flags().IntVar(&tail, "tail", 50, "last N events")
	return cmd
}

// quiet is how long the stream must say nothing for its past to be over: what is past comes at once.
const quiet = 700 * time.Millisecond

// events shows the last events, and with follow those that come.
func (s *session) events(follow bool, tail int) error {
	ctx, cancel := context.WithCancel(s.ctx())
	defer cancel()
	stream, ended := make(chan event.Event), make(chan error, 1)
	go func() {
		ended <- s.api.Events(ctx, 0, func(e event.Event) error {
			select {
			case stream <- e:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	if err := s.pastEvents(stream, ended, tail); err != nil || !follow {
		return err
	}
	for {
		select {
		case e := <-stream:
			if err := s.printEvent(e); err != nil {
				return err
			}
		case err := <-ended:
			if s.ctx().Err() != nil {
				return nil // Ctrl-C is how one stops looking
			}
			return err
		}
	}
}

// pastEvents prints the last events of those that come at once.
func (s *session) pastEvents(stream <-chan event.Event, ended <-chan error, tail int) error {
	var last []event.Event
	wait := 3 * quiet // the first one may take its time
	for {
		select {
		case e := <-stream:
			wait = quiet
			last = append(last, e)
			if len(last) > 2*tail+100 {
				last = append(last[:0], last[len(last)-tail:]...)
			}
			continue
		case err := <-ended:
			return err
		case <-time.After(wait):
		}
		break
	}
	for _, e := range last[max(0, len(last)-tail):] {
		if err := s.printEvent(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) printEvent(e event.Event) error {
	if s.json {
		return printJSONLine(s.out, e)
	}
	_, err := fmt.Fprintln(s.out, strings.TrimRight(oneLine(fmt.Sprintf("%s  %-20s %-28s %s", e.Time.Local().Format(time.DateTime), e.Kind, e.Subject, e.Message)), " "))
	return err
}

func auditCommand() *cobra.Command {
	var most int
	cmd := &cobra.Command{Use: "audit", Short: "Show who changed what, newest first", GroupID: groupAccounts, Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			if most < 1 {
				return misuse("--limit: %d is not above 0", most)
			}
			entries, err := s.api.Audit(s.ctx(), most)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(s.out, entries)
			}
			rows := make([][]string, len(entries))
			for i, e := range entries {
				rows[i] = []string{e.Time.Local().Format(time.DateTime), e.Subject, e.Action, e.Target, number(e.Status), e.From}
			}
			return table(s.out, []string{"time", "who", "action", "target", "status", "from"}, rows)
		})}
	cmd.Flags().IntVar(&most, "limit", 50, "how many entries, at most")
	return cmd
}
