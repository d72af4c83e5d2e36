package control

import (
	"cmp"
	"context"
	"log/slog"
	"net"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"

	"github.com/m3o/platform/internal/fault"
)

// Namespace is the Temporal namespace that holds every workflow of the platform.
const Namespace = "m3o"

// Settings say how to reach Temporal.
type Settings struct {
	Address      string
	Namespace    string // empty: Namespace
	Security     Security
	Plaintext    bool // without security, also where Temporal is not on the loopback: a mesh secures the connection
	Codec        *Codec
	Interceptors []interceptor.ClientInterceptor // serve the workers that use the client, too
	Metrics      client.MetricsHandler
	Logger       *slog.Logger
}

// Dial connects to Temporal. Everything that talks to it goes through the client returned here, so that options, security,
// payload encryption and tracing are the same everywhere.
func Dial(ctx context.Context, s Settings) (client.Client, error) {
	converts := s.Codec.Converters()
	return dial(ctx, s, client.Options{Interceptors: s.Interceptors, MetricsHandler: s.Metrics, DataConverter: converts.Data, FailureConverter: converts.Failures})
}

// confidential refuses to talk in plaintext over a network, unless that is allowed.
func (s Settings) confidential() error {
	if s.Plaintext || s.Security != (Security{}) || onLoopback(s.Address) {
		return nil
	}
	return fault.New(fault.Invalid, "Temporal at %s is not on this machine, and would be talked to in plaintext: set %s and %s, or %s; %s where the system trusts its certificate; or %s=yes where a mesh encrypts the connection",
		s.Address, certVariable, keyVariable, apiKeyVariable, serverNameVariable, plaintextVariable)
}

// onLoopback reports whether a host:port is on the loopback.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// dial is the one place that makes a connection to Temporal.
func dial(ctx context.Context, s Settings, with client.Options) (client.Client, error) {
	if err := s.confidential(); err != nil {
		return nil, err
	}
	options, err := s.Security.options()
	if err != nil {
		return nil, err
	}
	with.HostPort, with.Namespace, with.Logger = s.Address, cmp.Or(s.Namespace, Namespace), log.NewStructuredLogger(s.Logger)
	with.WorkerHeartbeatInterval = heartbeatEvery
	with.ConnectionOptions, with.Credentials = options.ConnectionOptions, options.Credentials
	c, err := client.DialContext(ctx, with)
	if err != nil {
		return nil, s.Security.unreachable(ctx, s.Address, err)
	}
	return c, nil
}
