package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/m3o/platform/internal/kube/network"
	"github.com/m3o/platform/internal/kube/node"
)

const egressSocket = "egress.sock"

// startNetwork makes the cluster's network: nodes join it and the API server
// speaks into it through sockets of the cluster's directory.
func (c *cluster) startNetwork(ctx context.Context, parts *errgroup.Group) error {
	prefix, err := netip.ParsePrefix(c.spec.LoadBalancerCIDR)
	if err != nil {
		return fmt.Errorf("loadBalancerCIDR: %w", err)
	}
	wire, err := network.New(network.Config{
		APIServer: strings.TrimPrefix(c.plane.Endpoint(), "https://"), LoadBalancerCIDR: prefix,
		OpenPorts: c.spec.OpenPorts, Logger: c.logger,
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, wire.Close)
	uplinks, err := listenForNodes(c.dir.nodeSocket(node.UplinkSocket))
	if err != nil {
		return err
	}
	egress, err := net.Listen("unix", c.dir.socket(egressSocket))
	if err != nil {
		return fmt.Errorf("listen for the API server: %w", err)
	}
	parts.Go(func() error { return wire.ServeUplinks(ctx, uplinks) })
	parts.Go(func() error { return wire.ServeEgress(ctx, egress) })
	parts.Go(func() error { return wire.Run(ctx, c.client) })
	return nil
}

// listenForNodes makes a socket that nodes may connect to.
func listenForNodes(path string) (net.Listener, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for nodes: %w", err)
	}
	if err := node.Give(path); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}
