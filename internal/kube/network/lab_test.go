package network_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/m3o/platform/internal/kube/network"
)

// lab is a cluster's network with real nodes and pods, and a pretended API.
type lab struct {
	testing.TB
	net    *network.Network
	api    *fake.Clientset
	dir    string
	uplink string
	egress string
	nodes  map[int]*machine

	started int // nodes ever
}

type machine struct {
	*rpc.Client
	cmd *exec.Cmd
}

type sandbox struct {
	*rpc.Client
	lab  *lab
	node int
	name string
	addr string
}

const lbPrefix = "127.18.77.0/24"

// newLab starts a network with nodes 1 to count.
func newLab(t testing.TB, count int, change ...func(*network.Config)) *lab {
	t.Helper()
	l := &lab{TB: t, api: fake.NewClientset(), dir: shortDir(t), nodes: map[int]*machine{}}
	cfg := network.Config{APIServer: "127.0.0.1:1", LoadBalancerCIDR: netip.MustParsePrefix(lbPrefix)}
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, f := range change {
		f(&cfg)
	}
	n, err := network.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.net = n
	l.uplink, l.egress = filepath.Join(l.dir, "uplink"), filepath.Join(l.dir, "egress")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	uplinks, egress := listen(t, l.uplink), listen(t, l.egress)
	go func() { ended <- n.ServeUplinks(ctx, uplinks) }()
	go func() { ended <- n.ServeEgress(ctx, egress) }()
	go func() { ended <- n.Run(ctx, l.api) }()
	t.Cleanup(func() {
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		n.Close()
	})
	for index := 1; index <= count; index++ {
		l.startNode(index)
	}
	return l
}

func listen(t testing.TB, path string) net.Listener {
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func (l *lab) startNode(index int) {
	l.Helper()
	l.started++
	socket := filepath.Join(l.dir, fmt.Sprintf("node%d.%d", index, l.started))
	cmd, err := child("node", socket, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNET|syscall.CLONE_NEWNS,
		uplinkVariable+"="+l.uplink, indexVariable+"="+strconv.Itoa(index))
	if err != nil {
		l.Fatal("start a node in user and network namespaces: ", err)
	}
	l.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	client, err := reach(socket)
	if err != nil {
		l.Fatal(err)
	}
	l.nodes[index] = &machine{client, cmd}
}

func (l *lab) startPod(node int, name string) *sandbox {
	l.Helper()
	socket := filepath.Join(l.dir, name)
	var started PodStarted
	if err := l.nodes[node].Call("Lab.StartPod", [2]string{name, socket}, &started); err != nil {
		l.Fatal("start a pod: ", err)
	}
	client, err := reach(socket)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = client.Close(); _ = syscall.Kill(started.Pid, syscall.SIGKILL) })
	p := &sandbox{Client: client, lab: l, node: node, name: name, addr: started.Addr}
	p.await()
	return p
}

// await waits until the pod's servers listen.
func (p *sandbox) await() {
	p.lab.Helper()
	p.lab.eventually("pod "+p.name+" serves", func() error {
		var r Result
		err := p.Call("Lab.Exchange", Exchange{Network: "tcp", Address: "127.0.0.1:" + namePort, Text: true}, &r)
		if err == nil && r.Err != "" {
			err = fmt.Errorf("%s", r.Err)
		}
		return err
	})
}

// try lets the pod exchange bytes with a server.
func (p *sandbox) try(e Exchange) Result {
	p.lab.Helper()
	var r Result
	if err := p.Call("Lab.Exchange", e, &r); err != nil {
		p.lab.Fatal(err)
	}
	return r
}

// must is try, where failure is not expected.
func (p *sandbox) must(e Exchange) Result {
	p.lab.Helper()
	r := p.try(e)
	if r.Err != "" {
		p.lab.Errorf("pod %s: %s %s, %d bytes: %s", p.name, e.Network, e.Address, e.Bytes, r.Err)
	}
	return r
}

func (l *lab) eventually(what string, check func() error) {
	l.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			l.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// service makes a Service with the usual ports and waits until it is known.
func (l *lab) service(name, clusterIP string, change ...func(*corev1.Service)) *corev1.Service {
	l.Helper()
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: clusterIP, Ports: []corev1.ServicePort{
			{Name: "echo", Port: 80, Protocol: corev1.ProtocolTCP},
			{Name: "name", Port: 81, Protocol: corev1.ProtocolTCP},
			{Name: "hash", Port: 82, Protocol: corev1.ProtocolTCP},
			{Name: "echo-udp", Port: 80, Protocol: corev1.ProtocolUDP},
			{Name: "name-udp", Port: 81, Protocol: corev1.ProtocolUDP},
		},
	}}
	for _, f := range change {
		f(svc)
	}
	svc, err := l.api.CoreV1().Services("default").Create(l.Context(), svc, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return svc
}

// endpoints sets who is behind a Service.
func (l *lab) endpoints(service string, endpoints ...discoveryv1.Endpoint) {
	l.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: service + "-1", Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		Ports: []discoveryv1.EndpointPort{
			slicePort("echo", corev1.ProtocolTCP, 7000), slicePort("hash", corev1.ProtocolTCP, 7001),
			slicePort("name", corev1.ProtocolTCP, 7003), slicePort("echo-udp", corev1.ProtocolUDP, 7000),
			slicePort("name-udp", corev1.ProtocolUDP, 7003),
		},
	}
	slices := l.api.DiscoveryV1().EndpointSlices("default")
	_, err := slices.Update(l.Context(), slice, metav1.UpdateOptions{})
	if err != nil {
		_, err = slices.Create(l.Context(), slice, metav1.CreateOptions{})
	}
	if err != nil {
		l.Fatal(err)
	}
}

func slicePort(name string, protocol corev1.Protocol, port int32) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &port}
}

func endpoint(p *sandbox, ready bool) discoveryv1.Endpoint {
	terminating := !ready
	return discoveryv1.Endpoint{Addresses: []string{p.addr}, Conditions: discoveryv1.EndpointConditions{
		Ready: &ready, Serving: &ready, Terminating: &terminating,
	}}
}

// address joins a pod's address with a port.
func (p *sandbox) at(port string) string { return net.JoinHostPort(p.addr, port) }

// server serves on the machine's loopback and returns its port.
func (l *lab) server(handle func(*net.TCPConn)) string {
	l.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); handle(conn.(*net.TCPConn)) }()
		}
	}()
	_, port, _ := strings.Cut(listener.Addr().String(), ":")
	return port
}

// shortDir is a temporary directory whose path leaves room for socket names,
// which may have 107 bytes.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
