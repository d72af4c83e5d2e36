package network_test

import (
	"context"
	"net"
	"testing"
	"time"
)

const benchBytes = 64 << 20

// Throughput: bytes that a pod, the machine or a client of a load balancer
// moves. Latency: a connection, one byte each way, and its end.
func BenchmarkNetwork(b *testing.B) {
	outside := &lab{TB: b}
	machine, flood := outside.server(hashFree), outside.server(floodStream)
	echoAt := outside.server(func(c *net.TCPConn) { _ = echoBack(c) })
	l := newLab(b, 2, opened(machine, flood, echoAt))
	a, same, other := l.startPod(1, "a"), l.startPod(1, "same"), l.startPod(2, "other")
	l.service("app", "10.96.3.4", loadBalancer)
	l.endpoints("app", endpoint(a, true))
	addr := l.ingress("app")
	l.eventually("the load balancer answers", func() error {
		_, err := exchange(direct(), Exchange{Network: "tcp", Address: addr + ":8080", Bytes: 1})
		return err
	})

	upload := func(to string) func(*testing.B) {
		return func(b *testing.B) { a.bench(b, "Lab.Upload", Exchange{Address: to, Bytes: benchBytes}) }
	}
	download := func(from string) func(*testing.B) {
		return func(b *testing.B) { a.bench(b, "Lab.Download", Exchange{Address: from, Bytes: benchBytes}) }
	}
	b.Run("pod to machine", upload("10.244.0.2:"+machine))
	b.Run("machine to pod", download("10.244.0.2:"+flood))
	b.Run("pod from pod, same node", download(same.at(floodPort)))
	b.Run("pod from pod, other node", download(other.at(floodPort)))
	b.Run("load balancer to pod", func(b *testing.B) { benchUpload(b, direct(), addr+":8082") })
	b.Run("into the cluster", func(b *testing.B) { benchUpload(b, l.net.DialContext, a.at(hashPort)) })

	b.Run("latency/pod to machine", func(b *testing.B) { a.benchLatency(b, "10.244.0.2:"+echoAt) })
	b.Run("latency/pod to pod, same node", func(b *testing.B) { a.benchLatency(b, same.at(echoPort)) })
	b.Run("latency/pod to pod, other node", func(b *testing.B) { a.benchLatency(b, other.at(echoPort)) })
	b.Run("latency/pod to service", func(b *testing.B) { a.benchLatency(b, "10.96.3.4:8080") })
	b.Run("latency/load balancer", func(b *testing.B) {
		for b.Loop() {
			if _, err := exchange(direct(), Exchange{Network: "tcp", Address: addr + ":8080", Bytes: 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// bench lets the pod run one transfer per iteration.
func (p *sandbox) bench(b *testing.B, call string, e Exchange) {
	b.SetBytes(int64(e.Bytes))
	for b.Loop() {
		var r Result
		if err := p.Call(call, e, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func (p *sandbox) benchLatency(b *testing.B, to string) {
	const rounds = 50
	var took time.Duration
	n := 0
	for b.Loop() {
		for range rounds {
			took += p.must(Exchange{Network: "tcp", Address: to, Bytes: 1}).Took
			n++
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took.Microseconds())/float64(n), "µs/request")
}

func benchUpload(b *testing.B, dial dialer, to string) {
	b.SetBytes(benchBytes)
	for b.Loop() {
		conn, err := dial(context.Background(), "tcp", to)
		if err != nil {
			b.Fatal(err)
		}
		if err := upload(conn, benchBytes); err != nil {
			b.Fatal(err)
		}
		_ = conn.Close()
	}
}
