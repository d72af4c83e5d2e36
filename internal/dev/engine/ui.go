//go:build embedded

package engine

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
)

// UI places the Temporal UI. Codec is the URL of the endpoint that decrypts payloads for it.
type UI struct {
	Port    int
	Engine  string
	Codec   string
	Default string // the namespace it opens
}

// Serve runs the UI until ctx ends. The UI ends the whole process when its port is taken, so that is looked at first.
func (u UI) Serve(ctx context.Context) error {
	address := net.JoinHostPort(loopback, strconv.Itoa(u.Port))
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("the Temporal UI cannot listen: %w", err)
	}
	if err := l.Close(); err != nil {
		return err
	}
	ui := server.NewServer(server_options.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: u.Engine, Host: loopback, Port: u.Port, EnableUI: true, DefaultNamespace: u.Default, DisableNewsFetch: true,
		Codec: uiconfig.Codec{Endpoint: u.Codec, IncludeCredentials: true},
		CORS:  uiconfig.CORS{CookieInsecure: true}, HideLogs: true,
	}))
	failed := make(chan error, 1)
	go func() { failed <- ui.Start() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		ui.Stop()
		return nil
	}
}
