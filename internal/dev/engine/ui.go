//go:build embedded

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/temporalio/ui-server/v2/server/api"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/csrf"
	"github.com/temporalio/ui-server/v2/server/headers"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"

	"github.com/m3o/platform/internal/hosts"
)

// UI places the Temporal UI. Codec is the URL of the endpoint that decrypts payloads for it.
type UI struct {
	Port    int
	Engine  string
	Codec   string
	Default string // the namespace it opens
}

// Serve runs the UI until ctx ends. Who opens it can do everything, so it answers to this machine's own names alone, and no page of
// another origin changes anything through it.
func (u UI) Serve(ctx context.Context) error {
	handler, err := u.handler()
	if err != nil {
		return fmt.Errorf("make the Temporal UI: %w", err)
	}
	if handler, err = (hosts.Guard{}).Handler(handler); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(u.Port)))
	if err != nil {
		return fmt.Errorf("the Temporal UI cannot listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the Temporal UI: %w", err)
	}
	return nil
}

// handler is what the library's NewServer makes of the same parts. That one listens by itself, lets nobody in before it, and ends
// the process when it cannot.
func (u UI) handler() (http.Handler, error) {
	config, err := uiconfig.NewConfigProviderWithRefresh(&uiconfig.Config{TemporalGRPCAddress: u.Engine, Host: loopback, Port: u.Port, EnableUI: true,
		DefaultNamespace: u.Default, DisableNewsFetch: true, Codec: uiconfig.Codec{Endpoint: u.Codec, IncludeCredentials: true},
		CORS: uiconfig.CORS{CookieInsecure: true}, HideLogs: true})
	if err != nil {
		return nil, err
	}
	all, err := ui.Assets()
	if err != nil {
		return nil, err
	}
	assets, err := fs.Sub(all, "local")
	if err != nil {
		return nil, err
	}
	e := echo.New()
	e.Use(middleware.Recover(), middleware.Gzip(), middleware.Secure(), csrf.EnsureTokenCookie(false), middleware.CSRFWithConfig(csrf.MiddlewareConfig(config, false)))
	e.Pre(route.PublicPath(""))
	route.SetHealthRoute(e)
	if err := route.SetAPIRoutes(e, config, []api.Middleware{headers.WithForwardHeaders([]string{"Caller-Type"})}); err != nil {
		return nil, err
	}
	if err := route.SetUIRoutes(e, "", assets); err != nil {
		return nil, err
	}
	route.SetRenderRoute(e, "")
	return e, nil
}
