package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/m3o/platform/internal/kube/addresses"
	"github.com/m3o/platform/internal/kube/network/wire"
)

// hardwareAddr is the hardware address that belongs to the IP address.
func hardwareAddr(addr netip.Addr) net.HardwareAddr {
	mac := wire.MACOf(addr)
	return mac[:]
}

// hostName is the name of a pod's interface on the node.
func hostName(addr netip.Addr) string { return fmt.Sprintf("m3o-pod%d", addr.As4()[3]) }

// connect makes a veth pair between the bridge and the namespace.
func (b *Bridge) connect(addr netip.Addr, ns *os.File) error {
	name := hostName(addr)
	if err := removeLink(name); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex = name, wire.MTU, b.bridge
	pair := &netlink.Veth{
		LinkAttrs: attrs, PeerName: podName, PeerMTU: wire.MTU,
		PeerHardwareAddr: hardwareAddr(addr), PeerNamespace: netlink.NsFd(int(ns.Fd())),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("add the veth pair %s: %w", name, err)
	}
	disableIPv6(b.log, name)
	if err := linkUp(name); err != nil {
		return err
	}
	if err := b.configurePod(addr, ns); err != nil {
		return err
	}
	return inNamespace(ns, func() error { return announce(addr) })
}

// configurePod sets up the pod's side of the pair.
func (b *Bridge) configurePod(addr netip.Addr, ns *os.File) error {
	if err := inNamespace(ns, func() error { disableIPv6(b.log, podName); return nil }); err != nil {
		return err
	}
	handle, err := netlink.NewHandleAt(netns.NsHandle(int(ns.Fd())), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink in the pod's namespace: %w", err)
	}
	defer handle.Close()
	if err := loopbackUp(handle); err != nil {
		return err
	}
	link, err := handle.LinkByName(podName)
	if err != nil {
		return fmt.Errorf("find %s in the pod's namespace: %w", podName, err)
	}
	if err := handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up in the pod's namespace: %w", podName, err)
	}
	return addressAndRoute(handle, podName, addr)
}

// handleOrOwn is handle, or one for the calling process' namespace.
func handleOrOwn(handle *netlink.Handle) *netlink.Handle {
	if handle != nil {
		return handle
	}
	return &netlink.Handle{}
}

func loopbackUp(handle *netlink.Handle) error {
	handle = handleOrOwn(handle)
	lo, err := handle.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	if err := handle.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set the loopback interface up: %w", err)
	}
	return nil
}

// addressAndRoute gives the interface its address and makes the gateway the
// default route. The interface must be up.
func addressAndRoute(handle *netlink.Handle, name string, addr netip.Addr) error {
	handle = handleOrOwn(handle)
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addresses.PodCIDR.Bits(), 32)}}
	if err := handle.AddrReplace(link, address); err != nil {
		return fmt.Errorf("give %s the address %s: %w", name, addr, err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: addresses.Gateway.AsSlice()}
	if err := handle.RouteReplace(route); err != nil {
		return fmt.Errorf("route through %s: %w", addresses.Gateway, err)
	}
	return nil
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// removeLink removes an interface and its peer; a missing one is fine.
func removeLink(name string) error {
	link, err := netlink.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func removeLeftovers() error {
	return errors.Join(removeLink(uplinkName), removeLink(Name))
}

// disableIPv6 takes IPv6 away from interfaces of the calling thread's namespace:
// the cluster has only IPv4, and addresses that lead nowhere make programs
// wait. A kernel without IPv6, or a /proc that is read only, changes nothing
// that matters, since the switch carries IPv4 alone.
func disableIPv6(log *slog.Logger, names ...string) {
	for _, name := range names {
		path := "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			log.Debug("IPv6 stays on", "interface", name, "error", err)
		}
	}
}

// inNamespace runs do on a thread that is in the network namespace ns. A thread
// that cannot come back ends with its goroutine.
func inNamespace(ns *os.File, do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("open the own network namespace: %w", err)
			return
		}
		defer own.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- fmt.Errorf("enter the pod's network namespace: %w", err)
			return
		}
		result <- do()
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err == nil {
			runtime.UnlockOSThread()
		}
	}()
	return <-result
}
