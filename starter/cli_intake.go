package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/alert"
	"github.com/m3o/platform/internal/client"
	"github.com/m3o/platform/internal/fault"
)

func alertSendCommand() *cobra.Command {
	var e client.Event
	var severity string
	var labels []string
	var acknowledge, resolve bool
	cmd := &cobra.Command{Use: "send KEY [SUMMARY]", Short: "Send an alert, or say that it is over", Args: takes(1, 2), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Send an alert as a source would. KEY is its dedup key: what is sent with the same one is one alert, until it is resolved.\n" +
			"Sources that run without a person send to the URL of an integration key instead: see m3o alert key create.",
		Example: "  m3o alert send disk/db-1 \"disk full on db-1\" --severity critical --label host=db-1\n  m3o alert send disk/db-1 --resolve",
		RunE: action(func(s *session, args []string) error {
			e.DedupKey, e.Action, e.Severity = args[0], alert.Trigger, alert.Severity(severity)
			switch {
			case resolve:
				e.Action = alert.Resolve
			case acknowledge:
				e.Action = alert.Acknowledge
			case len(args) < 2:
				return misuse("say what is wrong: m3o alert send %s SUMMARY", args[0])
			}
			if len(args) == 2 {
				e.Summary = args[1]
			}
			if severity != "" && !slices.Contains(alert.Severities, e.Severity) {
				return misuse("--severity: %.40q is none of critical, error, warning and info", severity)
			}
			var err error
			if e.Labels, err = labelFlags(labels); err != nil {
				return err
			}
			sent, err := s.api.SendAlert(s.ctx(), e)
			if err != nil {
				return err
			}
			return s.done(sent, "Sent: %s %s. m3o alert list --current shows what comes of it.", e.Action, e.DedupKey)
		})}
	flags := cmd.Flags()
	flags.StringVar(&severity, "severity", "", "critical, error (default), warning or info")
	flags.StringArrayVar(&labels, "label", nil, "NAME=VALUE, which routes and silences match; may be given again")
	flags.StringVar(&e.Details, "details", "", "more text")
	flags.StringVar(&e.URL, "url", "", "where the source shows it")
	flags.BoolVar(&resolve, "resolve", false, "it is over")
	flags.BoolVar(&acknowledge, "acknowledge", false, "somebody at the source has it")
	cmd.MarkFlagsMutuallyExclusive("resolve", "acknowledge")
	return cmd
}

// labelFlags reads --label NAME=VALUE.
func labelFlags(given []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, text := range given {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, misuse("--label: %.80q is not NAME=VALUE", text)
		}
		labels[name] = value
	}
	return labels, nil
}

func alertKeyCommand() *cobra.Command {
	cmd := noun("key", "Make, list, rotate and revoke the keys that sources of alerts send with", keyCreateCommand(), keyListCommand(), keyRotateCommand(), keyRevokeCommand())
	cmd.GroupID = "" // groups are the root's
	return cmd
}

func keyCreateCommand() *cobra.Command {
	var spec alert.IntegrationKey
	cmd := &cobra.Command{Use: "create NAME", Short: "Make an integration key", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make an integration key: a pair of secrets, each of which lets a source send alerts to the project. The URL with the first one is printed,\n" +
			"alone on standard output; both are shown once. Prometheus Alertmanager and Grafana take the URL as that of a webhook; anything else posts\n" +
			"JSON to it: {\"dedup_key\": \"disk/db-1\", \"summary\": \"disk full\", \"severity\": \"critical\"}.",
		Example: "  m3o alert key create alertmanager --project platform\n  m3o alert key create grafana --service shop --rate 500",
		RunE: action(func(s *session, args []string) error {
			spec.Name = args[0]
			if err := spec.WithDefaults().Validate(); err != nil {
				return misuse("%s", fault.Message(err))
			}
			made, err := s.api.CreateIntegrationKey(s.ctx(), spec)
			if err != nil {
				return err
			}
			return showKey(s, made)
		})}
	flags := cmd.Flags()
	flags.StringVar(&spec.Service, "service", "", "the service that its alerts are of (default: what their labels say)")
	flags.IntVar(&spec.Rate, "rate", 0, "alerts a second that it takes (default 100)")
	flags.IntVar(&spec.Burst, "burst", 0, "alerts that it takes at once (default 1000, or the rate if that is more)")
	return cmd
}

// showKey prints the URL alone on standard output, and what else to know beside it.
func showKey(s *session, k client.NewIntegrationKey) error {
	if err := s.done(k, "%s", k.URL); err != nil || s.json {
		return err
	}
	text := "This is shown once. The second secret is %s: it is as good as the first. Give it to the source before m3o alert key rotate %s ends the first.\n"
	if k.Primary == "" {
		text = "This is shown once. The URL has the new second secret, %s; the one before it is the first now, and the first one is good no more. Give the source the new one before the next m3o alert key rotate %s.\n"
	}
	_, err := fmt.Fprintf(s.err, text, k.Secondary, k.Key.Name)
	return err
}

func keyListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List integration keys, without their secrets", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			keys, err := s.api.IntegrationKeys(s.ctx())
			if err != nil {
				return err
			}
			return rows(s, keys, "There are no integration keys.", []string{"name", "service", "rate", "burst", "made", "by", "rotated"}, func(k alert.IntegrationKey) []string {
				return []string{k.Name, cmp.Or(k.Service, "-"), fmt.Sprintf("%d/s", k.Rate), fmt.Sprint(k.Burst), ago(k.CreatedAt), k.CreatedBy, ago(k.RotatedAt)}
			})
		})}
}

func keyRotateCommand() *cobra.Command {
	return &cobra.Command{Use: "rotate NAME", Short: "End the first secret of a pair, and make another second one", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "End the first secret of a pair: the second becomes the first, and another second one is made and shown once. Sources that have the second\n" +
			"one already go on without a break.",
		RunE: action(func(s *session, args []string) error {
			made, err := s.api.RotateIntegrationKey(s.ctx(), args[0])
			if err != nil {
				return err
			}
			return showKey(s, made)
		})}
}

func keyRevokeCommand() *cobra.Command {
	return &cobra.Command{Use: "revoke NAME", Short: "End both secrets of an integration key at once", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, args []string) error {
			if err := s.api.RevokeIntegrationKey(s.ctx(), args[0]); err != nil {
				return err
			}
			return s.done(map[string]string{"revoked": args[0]}, "Integration key %s is revoked.", args[0])
		})}
}

func heartbeatCommand() *cobra.Command {
	return alertNoun("heartbeat", "Watch programs that ping, and alert when they do not", heartbeatCreateCommand(), heartbeatListCommand(), heartbeatHoldCommand(true),
		heartbeatHoldCommand(false), heartbeatRemoveCommand())
}

func heartbeatCreateCommand() *cobra.Command {
	var spec alert.Heartbeat
	var every, grace time.Duration
	var severity string
	cmd := &cobra.Command{Use: "create NAME --every SPAN", Short: "Make a heartbeat", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make a heartbeat: a URL that a program asks for again and again, by GET or POST. When it was not asked for in time, there is an alert, which\n" +
			"is resolved by the next ping. The URL is printed once, alone on standard output. The first ping starts the clock.",
		Example: "  m3o heartbeat create backup --every 24h --grace 1h\n  m3o heartbeat create queue --every 5m --service shop --severity critical",
		RunE: action(func(s *session, args []string) error {
			spec.Name, spec.Every, spec.Grace, spec.Severity = args[0], alert.Duration(every), alert.Duration(grace), alert.Severity(severity)
			if every == 0 {
				return misuse("--every: say how often it is pinged at least, such as 5m")
			}
			if err := spec.WithDefaults().Validate(); err != nil {
				return misuse("%s", fault.Message(err))
			}
			made, err := s.api.CreateHeartbeat(s.ctx(), spec)
			if err != nil {
				return err
			}
			if err := s.done(made, "%s", made.URL); err != nil || s.json {
				return err
			}
			_, err = fmt.Fprintf(s.err, "This is shown once. Heartbeat %s waits for its first ping.\n", made.Heartbeat.Name)
			return err
		})}
	flags := cmd.Flags()
	flags.DurationVar(&every, "every", 0, "how often it is pinged at least, such as 5m")
	flags.DurationVar(&grace, "grace", alert.DefaultGrace, "how much later a ping may come")
	flags.StringVar(&spec.Service, "service", "", "the service that its alert is of")
	flags.StringVar(&severity, "severity", "", "of its alert: critical, error (default), warning or info")
	return cmd
}

func heartbeatListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List heartbeats", Args: takes(0, 0), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, _ []string) error {
			all, err := s.api.Heartbeats(s.ctx())
			if err != nil {
				return err
			}
			return rows(s, all, "There are no heartbeats.", []string{"name", "status", "every", "grace", "last ping", "service", "severity"}, func(h alert.Heartbeat) []string {
				return []string{h.Name, string(h.Status), h.Every.String(), h.Grace.String(), ago(h.LastPing), cmp.Or(h.Service, "-"), string(h.Severity)}
			})
		})}
}

// heartbeatHoldCommand pauses a heartbeat, or resumes it.
func heartbeatHoldCommand(pause bool) *cobra.Command {
	use, short := "resume NAME", "Watch a heartbeat that was paused: it has all its time from now"
	if pause {
		use, short = "pause NAME", "Stop a heartbeat from being missed, and end its alert"
	}
	return &cobra.Command{Use: use, Short: short, Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, args []string) error {
			hold := s.api.ResumeHeartbeat
			if pause {
				hold = s.api.PauseHeartbeat
			}
			h, err := hold(s.ctx(), args[0])
			if err != nil {
				return err
			}
			return s.done(h, "Heartbeat %s is %s.", h.Name, h.Status)
		})}
}

func heartbeatRemoveCommand() *cobra.Command {
	return &cobra.Command{Use: "remove NAME", Short: "End a heartbeat, and its alert", Args: takes(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(s *session, args []string) error {
			if err := s.api.RemoveHeartbeat(s.ctx(), args[0]); err != nil {
				return err
			}
			return s.done(map[string]string{"removed": args[0]}, "Heartbeat %s is removed.", args[0])
		})}
}
