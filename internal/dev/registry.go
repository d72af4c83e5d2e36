//go:build embedded

package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/image"
	"github.com/m3o/platform/internal/secret"
)

// serveRegistry serves the registry on disk, and brings the regions' images there. It is on the loopback, and where the
// nodes of clusters outside reach it.
func (r *run) serveRegistry(ctx context.Context, group *errgroup.Group) error {
	password, err := secret.LoadOrCreate(r.settings.RegistrySecretFile, "")
	if err != nil {
		return err
	}
	bounds, addresses := image.RegistryConfig{Password: password}, []string{Address(r.Ports.Registry)}
	if r.Reach.Name != "" {
		bounds.Networks, addresses = []netip.Prefix{r.Reach.Network}, append(addresses, r.Reach.Listen.String())
	}
	registry, err := image.NewRegistry(filepath.Join(r.DataDir, "registry"), bounds)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("the registry cannot listen: %w", err)
		}
		// An image of any size comes and goes within this; a sender that stands still must not hold on for ever.
		server := &http.Server{Handler: registry, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Minute, IdleTimeout: 2 * time.Minute}
		group.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("registry: %w", err)
			}
			return nil
		})
		group.Go(func() error { <-ctx.Done(); return server.Close() })
	}
	group.Go(func() error { return r.collectGarbage(ctx, registry) })
	group.Go(func() error {
		if crowded(registry) { // packing needs room
			r.collect(ctx, registry)
		}
		return r.pack(ctx, image.Client{Own: r.settings.Registry, HTTP: true, Password: password})
	})
	return nil
}

// pack makes images of the programs that regions run, where official images cannot be had.
func (r *run) pack(ctx context.Context, client image.Client) error {
	at := func(name string) string { return filepath.Join(r.Programs, "images", name) }
	packer := image.Packer{Client: client, Registry: r.settings.Registry + "/m3o", Arch: runtime.GOARCH, Dir: filepath.Join(r.DataDir, "images")}
	references, err := packer.Platform(ctx, []image.Program{
		{Name: "etcd", Binary: at("etcd"), Config: image.Config{Path: "/usr/local/bin/etcd", Entrypoint: []string{"/usr/local/bin/etcd"}}},
		{Name: "nats", Binary: at("nats-server"), Config: image.Config{Path: "/nats-server", Entrypoint: []string{"/nats-server"}}},
		{Name: "m3o", Binary: at("m3o"), Config: image.Config{Path: "/m3o", Entrypoint: []string{"/m3o"}}},
	})
	if err != nil {
		return fmt.Errorf("make the regions' images (run make build): %w", err)
	}
	r.packed = references
	close(r.images)
	r.Say("Registry    http://%s  (images of etcd, NATS and the gateway are there)", r.settings.Registry)
	return nil
}
