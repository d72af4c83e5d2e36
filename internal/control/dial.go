package control

import (
	"context"
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
)

// Namespace is the Temporal namespace that holds every workflow of the platform.
const Namespace = "m3o"

// Settings say how to reach Temporal.
type Settings struct {
	Address      string
	Codec        *Codec
	Interceptors []interceptor.ClientInterceptor // serve the workers that use the client, too
	Metrics      client.MetricsHandler
	Logger       *slog.Logger
}

// Dial connects to Temporal. Everything that talks to it goes through the client returned here, so that options, payload
// encryption and tracing are the same everywhere.
func Dial(ctx context.Context, s Settings) (client.Client, error) {
	c, err := client.DialContext(ctx, client.Options{
		HostPort: s.Address, Namespace: Namespace, Logger: log.NewStructuredLogger(s.Logger),
		Interceptors: s.Interceptors, MetricsHandler: s.Metrics,
		DataConverter:    converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), s.Codec),
		FailureConverter: Failures(s.Codec),
	})
	if err != nil {
		return nil, fmt.Errorf("reach Temporal at %s: %w", s.Address, err)
	}
	return c, nil
}

// Failures encrypts messages of failures like every payload: they quote what a stranger's program said last.
func Failures(codec *Codec) converter.FailureConverter {
	return newFailureConverter(codec)
}
