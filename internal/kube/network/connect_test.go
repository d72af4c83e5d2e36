package network

import (
	"net"
	"strings"
	"testing"
)

// Whatever a client sends, a CONNECT request names a host and a port.
func FuzzReadConnect(f *testing.F) {
	for _, request := range []string{
		"CONNECT 10.244.1.2:10250 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
		"CONNECT [::1]:1 HTTP/1.1\r\nHost:\r\n\r\n", "CONNECT  HTTP/1.1\r\n\r\n", "CONNECT a:b:c HTTP/1.0\r\n\r\n",
	} {
		f.Add(request)
	}
	f.Fuzz(func(t *testing.T, request string) {
		address, err := readConnect(strings.NewReader(request))
		if err != nil {
			return
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			t.Errorf("%q leads to %q", request, address)
		}
	})
}

func TestReadConnect(t *testing.T) {
	got, err := readConnect(strings.NewReader("CONNECT 10.244.1.2:10250 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
	if err != nil || got != "10.244.1.2:10250" {
		t.Errorf("got %q %v", got, err)
	}
}
