package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/network/wire"
)

// Names of the node's interfaces.
const (
	Name       = "m3o0"
	uplinkName = "m3o-up"
	wireName   = "m3o-wire"
	podName    = "eth0"
)

// MaxIndex is the highest index of a node: it is a byte of the address, and 0
// belongs to the gateway.
const MaxIndex = 254

// Config says what a Bridge needs.
type Config struct {
	// Index is the node's number in its cluster, 1 to MaxIndex. No two nodes of
	// a cluster may have the same.
	Index int
	// Uplink leads to the switch of the cluster process. The Bridge closes it.
	Uplink net.Conn
	// LastReserved is the file that remembers the last byte of the address that
	// was given last, so that the next Bridge goes on behind it. Empty: the next
	// one gives the same addresses again.
	LastReserved string
	// Logger may be nil.
	Logger *slog.Logger
}

// Validate says everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.Index < 1 || c.Index > MaxIndex {
		errs = append(errs, fmt.Errorf("node index %d: want 1 to %d", c.Index, MaxIndex))
	}
	if c.Uplink == nil {
		errs = append(errs, errors.New("the uplink is missing"))
	}
	return errors.Join(errs...)
}

// Bridge joins the pods of one node with the cluster.
type Bridge struct {
	index  int
	log    *slog.Logger
	bridge int // the bridge's interface index
	pump   *pump

	mu     sync.Mutex
	pool   *pool
	pods   map[string]attachment
	closed bool
}

type attachment struct {
	addr netip.Addr
	// namespace identifies the network namespace, so that a second Attach of
	// the same pod can tell whether it is about the same sandbox.
	namespace uint64
}

// New makes the bridge and its addresses in the calling process' network
// namespace and starts to carry frames. Interfaces left there by an earlier
// bridge are replaced. The uplink is closed when it fails.
func New(cfg Config) (*Bridge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	b := &Bridge{index: cfg.Index, log: cfg.Logger, pool: newPool(cfg.Index, cfg.LastReserved), pods: map[string]attachment{}}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if err := b.start(cfg.Uplink); err != nil {
		_ = cfg.Uplink.Close()
		return nil, fmt.Errorf("bridge: %w", err)
	}
	return b, nil
}

func (b *Bridge) start(uplink net.Conn) error {
	if err := removeLeftovers(); err != nil {
		return err
	}
	if err := b.build(); err != nil {
		return err
	}
	raw, err := openRaw(wireName)
	if err != nil {
		return err
	}
	b.pump = startPump(raw, uplink, b.log)
	return nil
}

// Addr is the node's own address in the cluster.
func (b *Bridge) Addr() netip.Addr { return addresses.Node(b.index) }

// Wait returns when the bridge no longer carries frames: with nil after Close,
// otherwise with the reason the uplink ended.
func (b *Bridge) Wait() error { return b.pump.wait() }

// Close takes the bridge and all pods' interfaces away. It may be called again.
func (b *Bridge) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.pump.close()
	_ = b.pump.wait()
	var errs []error
	for pod, at := range b.pods {
		errs = append(errs, removeLink(hostName(at.addr)))
		delete(b.pods, pod)
	}
	errs = append(errs, removeLeftovers())
	return errors.Join(errs...)
}

// Attach gives the network namespace at netnsPath an interface eth0 with an
// address of the node, a default route and a working loopback. Attaching the
// same pod's same namespace again returns the same address. On failure nothing
// is left behind.
func (b *Bridge) Attach(ctx context.Context, podID, netnsPath string) (netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return netip.Addr{}, err
	}
	ns, err := os.Open(netnsPath)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("attach pod %s: %w", podID, err)
	}
	defer ns.Close()
	addr, err := b.attach(podID, ns)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("attach pod %s: %w", podID, err)
	}
	return addr, nil
}

func (b *Bridge) attach(podID string, ns *os.File) (netip.Addr, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &stat); err != nil {
		return netip.Addr{}, fmt.Errorf("stat the network namespace: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return netip.Addr{}, errors.New("the bridge is closed")
	}
	if at, ok := b.pods[podID]; ok {
		if at.namespace == stat.Ino {
			return at.addr, nil
		}
		return netip.Addr{}, errors.New("it is attached to another network namespace; detach it first")
	}
	addr, err := b.pool.take()
	if err != nil {
		return netip.Addr{}, err
	}
	if err := b.connect(addr, ns); err != nil {
		return netip.Addr{}, errors.Join(err, removeLink(hostName(addr)), b.pool.release(addr))
	}
	b.pods[podID] = attachment{addr: addr, namespace: stat.Ino}
	return addr, nil
}

// Detach takes the pod's interface and address back. A pod that is not attached
// is fine.
func (b *Bridge) Detach(ctx context.Context, podID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.pods[podID]
	if !ok {
		return nil
	}
	if err := removeLink(hostName(at.addr)); err != nil {
		return fmt.Errorf("detach pod %s: %w", podID, err)
	}
	delete(b.pods, podID)
	return b.pool.release(at.addr)
}

// build makes the bridge, the veth pair to the wire, addresses and routes.
func (b *Bridge) build() error {
	if err := loopbackUp(nil); err != nil {
		return err
	}
	addr := addresses.Node(b.index)
	// With spanning tree off, which is the default, ports forward at once.
	// Multicast snooping would hold back what it has not learnt yet.
	snooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = Name, wire.MTU, hardwareAddr(addr)
	link := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add the bridge %s: %w", Name, err)
	}
	b.bridge = link.Attrs().Index
	if err := b.buildUplink(); err != nil {
		return err
	}
	disableIPv6(b.log, Name, uplinkName, wireName)
	for _, name := range []string{Name, uplinkName, wireName} {
		if err := linkUp(name); err != nil {
			return err
		}
	}
	return addressAndRoute(nil, Name, addr)
}

func (b *Bridge) buildUplink() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex = uplinkName, wire.MTU, b.bridge
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: wireName, PeerMTU: wire.MTU}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("add the uplink's veth pair: %w", err)
	}
	// TCP segments cross the wire whole, UDP's cannot: let the kernel cut them
	// before they get there.
	if err := disableFeature(uplinkName, "tx-udp-segmentation"); err != nil {
		return fmt.Errorf("switch off UDP segmentation on %s: %w", uplinkName, err)
	}
	return nil
}
