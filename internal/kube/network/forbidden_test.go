package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// dialled is a network whose sockets to the outside are only written down.
func dialled(t *testing.T, cfg Config) (*Network, *[]string) {
	t.Helper()
	cfg.APIServer = "127.0.0.1:1"
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	var addresses []string
	n.dialOutside = func(_ context.Context, _, address string) (net.Conn, error) {
		addresses = append(addresses, address)
		return nil, errors.New("not in a test")
	}
	return n, &addresses
}

// reach goes the way of a pod's connection up to the socket.
func (n *Network) reach(t *testing.T, protocol corev1.Protocol, address string) error {
	t.Helper()
	to, err := n.route(protocol, netip.MustParseAddrPort(address))
	if err == nil {
		_, _, _ = to.dial(t.Context(), netip.MustParseAddr("10.244.1.2"))
	}
	return err
}

func TestCloudsOwnAddressesAreNeverDialled(t *testing.T) {
	n, dialled := dialled(t, Config{OpenPorts: []uint16{80}})
	for _, address := range []string{
		"169.254.169.254:80", "169.254.169.253:53", "168.63.129.16:80", "168.63.129.16:32526", "100.100.100.200:80", "100.64.0.1:80", "100.127.255.254:80",
		"127.0.0.1:80", "127.206.1.1:80", "127.255.255.254:443", "0.0.0.0:80", "0.1.2.3:80", "255.255.255.255:80", "224.0.0.1:80", "239.1.1.1:80",
		"[::1]:80", "[fd00:ec2::254]:80", "[fe80::1]:80", "[::ffff:169.254.169.254]:80", "[::ffff:168.63.129.16]:80", "[::ffff:100.100.100.200]:80",
		"[::ffff:127.0.0.1]:80", "[2001:db8::1]:80",
	} {
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
			if err := n.reach(t, protocol, address); !errors.Is(err, errUnreachable) {
				t.Errorf("%s %s: %v", protocol, address, err)
			}
		}
	}
	if len(*dialled) > 0 {
		t.Errorf("dialled: %v", *dialled)
	}
	// Their neighbours are anybody's.
	for _, address := range []string{"168.63.129.15:80", "100.63.255.255:80", "100.128.0.1:80", "169.253.1.1:80"} {
		if err := n.reach(t, corev1.ProtocolTCP, address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(*dialled) != 4 {
		t.Errorf("dialled: %v", *dialled)
	}
}

func TestForbiddenInWhicheverForm(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "::ffff:a9fe:a9fe": true, "64:ff9b::a9fe:a9fe": true, "::169.254.169.254": true,
		"fe80::1%eth0": true, "fd00:ec2::254": true, "fd00:ec2::23": true, "::1": true, "::": true, "64:ff9b::100.64.0.1": true,
		"192.0.2.1": false, "::ffff:192.0.2.1": false, "64:ff9b::192.0.2.1": false, "2001:db8::1": false, "fd00:ec3::254": false,
	} {
		if got := forbidden(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is forbidden: %v", address, got)
		}
	}
}

// Only what was opened of the machine's loopback is dialled.
func TestMachineIsClosedButForOpenPorts(t *testing.T) {
	n, dialled := dialled(t, Config{OpenPorts: []uint16{5001}})
	for _, address := range []string{"10.244.0.2:7233", "10.244.0.2:5000", "10.244.0.2:5002", "10.244.0.2:0"} {
		if err := n.reach(t, corev1.ProtocolTCP, address); !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := n.reach(t, corev1.ProtocolUDP, "10.244.0.2:5001"); !errors.Is(err, errRefused) {
		t.Errorf("the open port, over UDP: %v", err)
	}
	if err := n.reach(t, corev1.ProtocolTCP, "10.244.0.2:5001"); err != nil || len(*dialled) != 1 || (*dialled)[0] != "127.0.0.1:5001" {
		t.Errorf("the open port: %v, dialled %v", err, *dialled)
	}
}
