package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/api/rest"
	"github.com/m3o/platform/internal/blob"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/hosts"
	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/intake"
	"github.com/m3o/platform/internal/telemetry"
	"github.com/m3o/platform/internal/ticket"
)

func apiCommand() *cobra.Command {
	return &cobra.Command{Use: "api", Short: "Serve the HTTP API", GroupID: groupServe, Args: takes(0, 0),
		Long: "Serve the HTTP API. It holds no cloud keys. `m3o migrate` makes the keys that it does hold, and the first token.\n\n" +
			"Settings come from the environment:\n" + config.Describe(config.API, config.Everything),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := config.Load(config.API)
			signals, err := openSignals(cmd.Context(), s, "api")
			if err != nil {
				return err
			}
			defer closeSignals(cmd.Context(), signals)
			return runAPI(cmd.Context(), s, signals)
		}}
}

// runAPI serves the HTTP API until ctx ends.
func runAPI(ctx context.Context, s config.Settings, signals *telemetry.Signals) (err error) {
	if s.Listen == "" {
		s.Listen = "127.0.0.1:8080"
	}
	b, err := connect(ctx, s, signals)
	if err != nil {
		return err
	}
	defer b.close()
	db, err := openStore(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	signer, err := loadSigner(s)
	if err != nil {
		return err
	}
	blobs, err := blob.OpenFolder(s.Blobs, blob.Limits{})
	if err != nil {
		return fmt.Errorf("M3O_BLOBS: %w", err)
	}
	attendance := control.NewAttendance(b.temporal, s.TemporalNamespace)
	flows := control.NewFlows(b.temporal, b.codec.Converters()).Attended(attendance)
	proxies, err := prefixes("M3O_TRUSTED_PROXIES", s.TrustedProxies)
	if err != nil {
		return err
	}
	if public, err := url.Parse(s.PublicURL); err != nil || s.PublicURL != "" && (public.Host == "" || public.Scheme != "http" && public.Scheme != "https") {
		return misuse("M3O_PUBLIC_URL: %q is no URL such as https://api.example.com", s.PublicURL)
	}
	linkKeys, slackSecret, err := loadCallers(s)
	if err != nil {
		return err
	}
	api := &rest.API{Callbacks: db, LinkAlerts: db, LinkCommands: flows, LinkKeys: linkKeys, SlackSecret: slackSecret,
		Regions: db, Services: db, Events: db, Accounts: db, AuditLog: db, Identity: db, Sessions: db, SessionKey: signer.Derive("browser sessions"),
		PublicURL: s.PublicURL, TrustedProxies: proxies, Claims: db, Plans: flows, RegionCommands: flows, ServiceCommands: flows, ProjectCommands: flows, Attendance: attendance,
		AlertRules: db, Silences: db, OnCall: db, Contacts: db, NotifyRules: db, ContactCommands: flows,
		Alerts: db, AlertCommands: flows, Drills: db,
		Alerting: db,
		Received: b.received(), Intake: intake.NewCommitter(db), Integrations: db, Heartbeats: db, Pings: db,
		Tickets: signer, Blobs: blobs, Codec: b.codec.Viewer(), Metrics: signals.Metrics(), Version: version, TemporalUI: s.TemporalUI,
		CheckImage: func(project, reference string) error { return image.CheckOwner(s.Registry, project, reference) },
		Ready:      func(r *http.Request) error { return reachable(r.Context(), b.temporal) }}
	handler, err := guarded(s, api.Handler())
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveHTTP(ctx, s.Listen, handler) })
	group.Go(func() error { attendance.Listen(ctx); return nil })
	group.Go(func() error { return collectGarbage(ctx, db, blobs, signals.Logger) })
	return group.Wait()
}

// received counts what the API takes in.
func (b *base) received() *intake.Metrics {
	metrics := intake.NewMetrics()
	for _, c := range metrics.Collectors() {
		b.signals.Registry.Unregister(c) // of an API that was started before in this process
		b.signals.Registry.MustRegister(c)
	}
	return metrics
}

// loadCallers reads what tells links in mails, and Slack's requests, from forged ones.
func loadCallers(s config.Settings) (links ticket.Keys, slackSecret string, err error) {
	if s.LinkKeys != "" {
		document, err := ticket.LoadDocument(s.LinkKeys)
		if err == nil {
			links, err = ticket.ParseDocument(document)
		}
		if err != nil {
			return nil, "", fmt.Errorf("M3O_LINK_PUBLIC_KEYS (`m3o migrate` writes it): %w", err)
		}
	}
	if s.SlackSecretFile != "" {
		slackSecret, err = readSecret("M3O_SLACK_SIGNING_SECRET_FILE", s.SlackSecretFile)
	}
	return links, slackSecret, err
}

// guarded answers for the API's own names alone, and lets the Temporal UI's pages ask for what they show.
func guarded(s config.Settings, api http.Handler) (http.Handler, error) {
	names, err := hosts.Parse(s.Hosts)
	if err != nil {
		return nil, misuse("M3O_HOSTS: %v", err)
	}
	if public, err := url.Parse(s.PublicURL); err == nil && public.Hostname() != "" {
		names = append(names, public.Hostname())
	}
	guard := hosts.Guard{Names: names, Addresses: true}
	if s.TemporalUI != "" {
		guard.Origins = []string{s.TemporalUI}
	}
	handler, err := guard.Handler(api)
	if err != nil {
		return nil, misuse("M3O_TEMPORAL_UI: %v", err)
	}
	return handler, nil
}

// prefixes reads networks, with commas between them.
func prefixes(variable, text string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			return nil, misuse("%s: %q is no network such as 10.0.0.0/8", variable, word)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// reachable says whether Temporal answers.
func reachable(ctx context.Context, c client.Client) error {
	if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the platform cannot work now: try again in a moment")
	}
	return nil
}
