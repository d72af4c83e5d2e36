package bridge

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// announce tells the cluster where addr is (a gratuitous ARP request), so that
// switches know the way before the first packet. It must run in the pod's
// network namespace.
func announce(addr netip.Addr) error {
	link, err := net.InterfaceByName(podName)
	if err != nil {
		return fmt.Errorf("find %s: %w", podName, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ARP), Ifindex: link.Index, Halen: 6}
	copy(to.Addr[:], broadcast)
	if err := unix.Sendto(fd, gratuitousARP(addr), 0, to); err != nil {
		return fmt.Errorf("announce %s: %w", addr, err)
	}
	return nil
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func gratuitousARP(addr netip.Addr) []byte {
	mac := hardwareAddr(addr)
	frame := append([]byte{}, broadcast...)
	frame = append(frame, mac...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_ARP)
	// Ethernet, IPv4, the lengths of their addresses, request.
	frame = append(frame, 0, 1, 8, 0, 6, 4, 0, 1)
	frame = append(frame, mac...)
	frame = append(frame, addr.AsSlice()...)
	frame = append(frame, make([]byte, 6)...)
	return append(frame, addr.AsSlice()...)
}

// networkOrder turns a number around where the machine's order is not the
// network's.
func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}
