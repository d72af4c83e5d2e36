package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"

	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/telemetry"
)

// base is what every long-running process of the platform holds: its settings, its signals, and a way to Temporal.
type base struct {
	settings config.Settings
	signals  *telemetry.Signals
	codec    *control.Codec
	temporal client.Client
}

// openSignals sets up logs, metrics and traces for a process of that name. closeSignals must follow.
func openSignals(ctx context.Context, s config.Settings, name string) (*telemetry.Signals, error) {
	return openSignalsIn(ctx, s, name, "")
}

// openSignalsIn is openSignals for what serves one region.
func openSignalsIn(ctx context.Context, s config.Settings, name, region string) (*telemetry.Signals, error) {
	level, err := logLevel("M3O_LOG_LEVEL", s.LogLevel)
	if err != nil {
		return nil, err
	}
	if err := telemetry.CheckEndpoint(s.Endpoint); err != nil {
		return nil, misuse("M3O_OTLP_ENDPOINT: %v", err)
	}
	return telemetry.Setup(ctx, telemetry.Settings{Service: "m3o-" + name, Version: version, Endpoint: s.Endpoint, Region: region, Log: os.Stderr, Level: level})
}

// logLevel reads a level that was given under that name; left out, it is info.
func logLevel(name, word string) (slog.Level, error) {
	level := slog.LevelInfo
	if word == "" {
		return level, nil
	}
	if err := level.UnmarshalText([]byte(word)); err != nil {
		return level, misuse("%s: %q is none of debug, info, warn, error", name, word)
	}
	return level, nil
}

// closeSignals sends a process's last traces. A collector that is away holds its end up for a moment only.
func closeSignals(ctx context.Context, signals *telemetry.Signals) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := signals.Close(ctx); err != nil {
		signals.Logger.WarnContext(ctx, "the last traces were not sent", "error", err)
	}
}

// connect dials Temporal with the payload keys of the settings.
func connect(ctx context.Context, s config.Settings, signals *telemetry.Signals) (*base, error) {
	if s.PayloadKeys == "" || s.Temporal == "" {
		return nil, misuse("M3O_TEMPORAL and M3O_PAYLOAD_KEYS must be set: the address of Temporal, and the file with the keys that encrypt payloads")
	}
	keys, err := control.LoadKeys(s.PayloadKeys)
	if err != nil {
		return nil, fmt.Errorf("M3O_PAYLOAD_KEYS (`m3o migrate` makes it): %w", err)
	}
	codec, err := control.NewCodec(keys)
	if err != nil {
		return nil, err
	}
	tracing, err := signals.Interceptor()
	if err != nil {
		return nil, err
	}
	at := temporalAt(s)
	at.Codec, at.Logger, at.Metrics, at.Interceptors = codec, signals.Logger, signals.Temporal(), []interceptor.ClientInterceptor{tracing}
	c, err := control.Dial(ctx, at)
	if err != nil {
		return nil, err
	}
	return &base{settings: s, signals: signals, codec: codec, temporal: c}, nil
}

// temporalAt is where Temporal is, and how it is reached.
func temporalAt(s config.Settings) control.Settings {
	return control.Settings{Address: s.Temporal, Namespace: s.TemporalNamespace, Logger: slog.New(slog.DiscardHandler), Plaintext: s.TemporalPlaintext == yes,
		Security: control.Security{CertFile: s.TemporalCertFile, KeyFile: s.TemporalKeyFile, CAFile: s.TemporalCAFile, ServerName: s.TemporalServerName,
			APIKeyFile: s.TemporalAPIKeyFile}}
}

func (b *base) close() { b.temporal.Close() }

// openStore opens the database, brought up to this version's schema.
func openStore(ctx context.Context, s config.Settings) (*store.Store, error) {
	if s.Store == "" {
		return nil, misuse("M3O_STORE must be set: the database, sqlite:///path or postgres://…")
	}
	db, err := store.Open(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, fmt.Errorf("bring the database up to date: %w", err)
	}
	return db, nil
}
