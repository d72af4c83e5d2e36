package network_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func loadBalancer(svc *corev1.Service) {
	svc.Spec.Type = corev1.ServiceTypeLoadBalancer
	for i, port := range []int32{8080, 8081, 8082, 8080, 8081} {
		svc.Spec.Ports[i].Port = port
	}
}

// ingress waits for the Service's address.
func (l *lab) ingress(name string) string {
	l.Helper()
	var addr string
	l.eventually("service "+name+" gets an address", func() error {
		svc, err := l.api.CoreV1().Services("default").Get(l.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(svc.Status.LoadBalancer.Ingress) == 0 {
			return errors.New("it is pending")
		}
		addr = svc.Status.LoadBalancer.Ingress[0].IP
		return nil
	})
	return addr
}

func direct() dialer { return (&net.Dialer{}).DialContext }

func TestLoadBalancer(t *testing.T) {
	l := newLab(t, 2)
	one, two := l.startPod(1, "one"), l.startPod(2, "two")
	l.service("app", "10.96.3.4", loadBalancer)
	l.endpoints("app", endpoint(one, true), endpoint(two, true))
	addr := l.ingress("app")
	if !strings.HasPrefix(addr, "127.18.77.") {
		t.Fatalf("the address is %s", addr)
	}
	var names []string
	l.eventually("both pods answer", func() error {
		text, err := exchange(direct(), Exchange{Network: "tcp", Address: addr + ":8081", Text: true})
		if err == nil && !slices.Contains(names, text) {
			names = append(names, text)
		}
		if len(names) < 2 {
			return fmt.Errorf("%v answered, %v", names, err)
		}
		return nil
	})
	for _, e := range []Exchange{
		{Network: "tcp", Address: addr + ":8080", Bytes: 20 << 20},
		{Network: "tcp", Address: addr + ":8082", Bytes: 50 << 20, Hash: true},
		{Network: "tcp", Address: addr + ":8080", Bytes: 20000, Parallel: 200},
		{Network: "udp", Address: addr + ":8080", Bytes: 1400},
		{Network: "udp", Address: addr + ":8080", Bytes: 30000},
		{Network: "udp", Address: addr + ":8080", Bytes: 100, Parallel: 20},
	} {
		if _, err := exchange(direct(), e); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
	}
	l.endpoints("app", endpoint(one, true))
	l.eventually("UDP goes to the endpoint that is left", func() error {
		text, err := exchange(direct(), Exchange{Network: "udp", Address: addr + ":8081", Bytes: 1, Text: true})
		if err == nil && text != "one" {
			err = fmt.Errorf("%s answered", text)
		}
		return err
	})
}

func TestLoadBalancerWithoutEndpoints(t *testing.T) {
	l := newLab(t, 1)
	l.service("app", "10.96.3.4", loadBalancer)
	addr := l.ingress("app")
	if _, err := exchange(direct(), Exchange{Network: "tcp", Address: addr + ":8081", Text: true}); err == nil {
		t.Error("a service without endpoints answered")
	}
}

// While pods are replaced one by one, no request is lost.
func TestRollingUpdateLosesNothing(t *testing.T) {
	l := newLab(t, 2)
	l.service("app", "10.96.3.4", loadBalancer)
	old := l.startPod(1, "pod0")
	l.endpoints("app", endpoint(old, true))
	addr := l.ingress("app")
	settle(l, addr, old.name)
	stop, done := make(chan struct{}), make(chan error)
	requests := 0
	go func() {
		var errs []error
		for {
			select {
			case <-stop:
				done <- errors.Join(errs...)
				return
			default:
			}
			requests++
			if _, err := exchange(direct(), Exchange{Network: "tcp", Address: addr + ":8080", Bytes: 1000, Parallel: 4}); err != nil {
				errs = append(errs, fmt.Errorf("round %d: %w", requests, err))
			}
		}
	}()
	for i := 1; i <= 5; i++ {
		fresh := l.startPod(1+i%2, fmt.Sprintf("pod%d", i))
		l.endpoints("app", endpoint(old, true), endpoint(fresh, true))
		l.endpoints("app", endpoint(old, false), endpoint(fresh, true))
		settle(l, addr, fresh.name)
		if err := l.nodes[old.node].Call("Lab.KillPod", old.name, &struct{}{}); err != nil {
			t.Fatal(err)
		}
		if err := l.nodes[old.node].Call("Lab.Detach", old.name, &struct{}{}); err != nil {
			t.Fatal(err)
		}
		l.endpoints("app", endpoint(fresh, true))
		old = fresh
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	t.Logf("%d rounds of 4 requests, none lost", requests)
}

// settle waits until the load balancer has seen that only one pod is ready, and
// the requests that run to the other are through. A pod has that time too: its
// grace period.
func settle(l *lab, addr, name string) {
	l.Helper()
	for range 20 {
		l.eventually("the new pod answers", func() error {
			text, err := exchange(direct(), Exchange{Network: "tcp", Address: addr + ":8081", Text: true})
			if err == nil && text != name {
				err = fmt.Errorf("%s answered", text)
			}
			return err
		})
	}
}
