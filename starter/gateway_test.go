package main

import (
	"net/netip"
	"slices"
	"testing"
)

func TestTheGatewayTakesNetworksOfTrustedProxies(t *testing.T) {
	user(t)
	for _, wrong := range []string{"10.0.0.1", "10.0.0.0/33", "everybody", "::ffff:10.0.0.0/104", ""} {
		m3o("gateway", "--region", "micro/lon1", "--etcd", "http://127.0.0.1:1", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", wrong+",192.0.2.0/24").
			fails(t, exitMisused, "--trusted-proxy", "10.0.0.0/8")
	}
	m3o("gateway", "--region", "lon1", "--etcd", "http://127.0.0.1:1").fails(t, exitMisused, `--region: "lon1" is not the full name of a region`)
	got, err := networks("trusted-proxy", []string{"10.1.2.3/8", "2001:db8::/32"})
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}
