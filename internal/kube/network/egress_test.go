package network_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/server/egressselector"
)

// The API server's own client goes through the proxy.
func TestEgressForAPIServer(t *testing.T) {
	l := newLab(t, 1)
	a := l.startPod(1, "a")
	selector, err := egressselector.NewEgressSelector(&apiserver.EgressSelectorConfiguration{EgressSelections: []apiserver.EgressSelection{{
		Name: "cluster", Connection: apiserver.Connection{
			ProxyProtocol: apiserver.ProtocolHTTPConnect,
			Transport:     &apiserver.Transport{UDS: &apiserver.UDSTransport{UDSName: l.egress}},
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	dial, err := selector.Lookup(egressselector.Cluster.AsNetworkContext())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Exchange{
		{Network: "tcp", Address: a.at(echoPort), Bytes: 10 << 20, Parallel: 10},
		{Network: "tcp", Address: "10.244.1.1:7000", Bytes: 1000},
	} {
		if _, err := exchange(func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, network, address)
		}, e); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if _, err := dial(t.Context(), "tcp", a.at("9")); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("a closed port: %v", err)
	}
}

func TestEgressRefuses(t *testing.T) {
	l := newLab(t, 0)
	for request, want := range map[string]int{
		"CONNECT 10.96.9.9:80 HTTP/1.1\r\nHost: x\r\n\r\n":  http.StatusBadGateway,
		"CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: x\r\n\r\n":  http.StatusBadGateway,
		"CONNECT 10.96.9.9 HTTP/1.1\r\nHost: x\r\n\r\n":     http.StatusBadRequest,
		"GET http://10.96.9.9/ HTTP/1.1\r\nHost: x\r\n\r\n": http.StatusBadRequest,
		"nonsense\r\n\r\n": http.StatusBadRequest,
		"CONNECT 10.96.9.9:80 HTTP/1.1\r\nHost: x\r\n\r\nhello": http.StatusBadRequest,
		"CONNECT " + strings.Repeat("x", 100_000):               http.StatusBadRequest,
	} {
		conn, err := net.Dial("unix", l.egress)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(conn, request) }()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%.40q: %v", request, err)
		} else if response.StatusCode != want {
			t.Errorf("%.40q: status %d, want %d", request, response.StatusCode, want)
		}
		_ = conn.Close()
	}
}
