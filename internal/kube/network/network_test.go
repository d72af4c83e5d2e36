package network_test

import (
	"net"
	"testing"
)

func TestPodsReachEachOther(t *testing.T) {
	l := newLab(t, 2)
	a, b, c := l.startPod(1, "a"), l.startPod(1, "b"), l.startPod(2, "c")
	for _, to := range []*sandbox{b, c} {
		t.Run("from a to "+to.name, func(t *testing.T) {
			a.must(Exchange{Network: "tcp", Address: to.at(echoPort), Bytes: 5 << 20})
			a.must(Exchange{Network: "tcp", Address: to.at(hashPort), Bytes: 50 << 20, Hash: true})
			for _, size := range []int{1, 1472, 1473, 9000, 60000} {
				a.must(Exchange{Network: "udp", Address: to.at(echoPort), Bytes: size})
			}
			a.must(Exchange{Network: "tcp", Address: to.at(echoPort), Bytes: 10000, Parallel: 100})
		})
	}
	if got := a.must(Exchange{Network: "tcp", Address: c.at(namePort), Text: true}).Text; got != "c" {
		t.Errorf("pod c says its name is %q", got)
	}
}

func TestPodReachesMachine(t *testing.T) {
	l := newLab(t, 1)
	a := l.startPod(1, "a")
	port := l.server(hashStream)
	a.must(Exchange{Network: "tcp", Address: "10.244.0.2:" + port, Bytes: 100 << 20, Hash: true})
	echoAt := l.server(func(c *net.TCPConn) { _ = echoBack(c) })
	a.must(Exchange{Network: "tcp", Address: "10.244.0.2:" + echoAt, Bytes: 20 << 20})
	a.must(Exchange{Network: "tcp", Address: "10.244.0.2:" + echoAt, Bytes: 10000, Parallel: 200})
}
