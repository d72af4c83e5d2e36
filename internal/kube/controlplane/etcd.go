package controlplane

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	etcdStartLimit = 60 * time.Second
	// etcd preallocates two segments of 64 MB; a sandbox cluster writes little.
	walSegmentBytes = 4 << 20
)

// startEtcd runs etcd on a unix socket, without a peer listener. It keeps fsync
// on: a cluster's state must survive the kill of this process.
func (c *ControlPlane) startEtcd(ctx context.Context) error {
	config, err := c.etcdConfig()
	if err != nil {
		return err
	}
	server, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	c.etcd = server
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		return fmt.Errorf("start etcd: %w", err)
	case <-time.After(etcdStartLimit):
		return fmt.Errorf("etcd was not ready after %s", etcdStartLimit)
	case <-ctx.Done():
		return ctx.Err()
	}
	go c.watchEtcd(ctx)
	return nil
}

func (c *ControlPlane) watchEtcd(ctx context.Context) {
	select {
	case err := <-c.etcd.Err():
		c.fail(ctx, "etcd", err)
	case <-ctx.Done():
	}
}

func (c *ControlPlane) etcdConfig() (*embed.Config, error) {
	wal.SegmentSizeBytes = walSegmentBytes
	client, err := url.Parse(c.etcdEndpoint())
	if err != nil {
		return nil, fmt.Errorf("etcd's address: %w", err)
	}
	// The peer address is a name in the member list; nothing listens on it.
	const peer = "http://127.0.0.1:2380"
	peerURL, err := url.Parse(peer)
	if err != nil {
		return nil, fmt.Errorf("etcd's peer address: %w", err)
	}
	logs := zap.NewProductionConfig()
	logs.Level = zap.NewAtomicLevelAt(zapcore.ErrorLevel)
	logger, err := logs.Build()
	if err != nil {
		return nil, fmt.Errorf("etcd's logger: %w", err)
	}
	config := embed.NewConfig()
	config.Name = "default"
	config.Dir = filepath.Join(c.config.Dir, "etcd")
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = nil, []url.URL{*peerURL}
	config.InitialCluster = config.Name + "=" + peer
	config.AutoCompactionMode, config.AutoCompactionRetention = "periodic", "30m"
	return config, nil
}

func (c *ControlPlane) etcdEndpoint() string {
	return "unix://" + filepath.Join(c.config.SocketDir, "etcd.sock")
}
