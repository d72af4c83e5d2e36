package balancer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Reasons of events.
const (
	reasonReady  = "EnsuredLoadBalancer"
	reasonFailed = "SyncLoadBalancerFailed"
)

// reconcile makes sockets and status agree with what the Service says now.
func (b *Balancer) reconcile(ctx context.Context, name types.NamespacedName) error {
	svc, err := b.Services.Lister().Services(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		b.drop(name)
		return nil
	}
	if err != nil {
		return err
	}
	if !ours(svc) {
		b.drop(name)
		return b.withdraw(ctx, svc)
	}
	addr, err := b.address(svc)
	if err != nil {
		b.complain(svc, err)
		return errTryLater
	}
	f := b.served[name]
	if f == nil || f.addr != addr {
		b.stop(name)
		f = newFrontend(b, name, addr)
		b.served[name] = f
	}
	failures := f.update(wantedPorts(svc))
	if err := b.publish(ctx, svc, f, failures); err != nil {
		return err
	}
	if len(failures) > 0 {
		b.complain(svc, joinFailures(failures))
		return errTryLater
	}
	delete(b.complaints, name)
	return nil
}

// address is the one that the Service asks for, the one it has, or a free one.
func (b *Balancer) address(svc *corev1.Service) (netip.Addr, error) {
	name := nameOf(svc)
	if wanted := svc.Spec.LoadBalancerIP; wanted != "" {
		addr, err := netip.ParseAddr(wanted)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("loadBalancerIP %q is not an address", wanted)
		}
		return addr, b.addresses.reserve(name, addr)
	}
	if addr, ok := current(svc); ok && b.addresses.reserve(name, addr) == nil {
		return addr, nil
	}
	return b.addresses.allocate(name)
}

func wantedPorts(svc *corev1.Service) []socket {
	var wanted []socket
	for _, port := range svc.Spec.Ports {
		protocol := port.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		wanted = append(wanted, socket{protocol, port.Port})
	}
	return wanted
}

// publish writes the address into the Service's status, and which ports it
// could not have. A Service of which nothing works stays pending.
func (b *Balancer) publish(ctx context.Context, svc *corev1.Service, f *frontend, failures map[socket]error) error {
	if len(f.open) == 0 {
		return b.writeStatus(ctx, svc, nil)
	}
	mode := corev1.LoadBalancerIPModeProxy
	ingress := corev1.LoadBalancerIngress{IP: f.addr.String(), IPMode: &mode}
	if len(failures) > 0 {
		for _, s := range wantedPorts(svc) {
			status := corev1.PortStatus{Port: s.port, Protocol: s.protocol}
			if failures[s] != nil {
				reason := "m3o.dev/CannotListen"
				status.Error = &reason
			}
			ingress.Ports = append(ingress.Ports, status)
		}
	}
	before, had := current(svc)
	if err := b.writeStatus(ctx, svc, []corev1.LoadBalancerIngress{ingress}); err != nil {
		return err
	}
	if !had || before != f.addr {
		b.events.Eventf(svc, corev1.EventTypeNormal, reasonReady, "The load balancer has the address %s", f.addr)
	}
	return nil
}

// withdraw clears the status of a Service that is no longer ours, if what it
// says came from us.
func (b *Balancer) withdraw(ctx context.Context, svc *corev1.Service) error {
	addr, ok := current(svc)
	if !ok || !b.Prefix.Contains(addr) || svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		return nil
	}
	return b.writeStatus(ctx, svc, nil)
}

func (b *Balancer) writeStatus(ctx context.Context, svc *corev1.Service, ingress []corev1.LoadBalancerIngress) error {
	if len(ingress) == 0 && len(svc.Status.LoadBalancer.Ingress) == 0 || reflect.DeepEqual(ingress, svc.Status.LoadBalancer.Ingress) {
		return nil
	}
	changed := svc.DeepCopy()
	changed.Status.LoadBalancer.Ingress = ingress
	_, err := b.Client.CoreV1().Services(svc.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the status of service %s: %w", nameOf(svc), err)
	}
	return nil
}

// complain tells the Service's owner, once for every new reason.
func (b *Balancer) complain(svc *corev1.Service, reason error) {
	name := nameOf(svc)
	if b.complaints[name] == reason.Error() {
		return
	}
	b.complaints[name] = reason.Error()
	b.events.Eventf(svc, corev1.EventTypeWarning, reasonFailed, "%s", reason)
	b.Logger.Warn("a load balancer is not complete", "service", name, "error", reason)
}

func joinFailures(failures map[socket]error) error {
	var errs []error
	for _, err := range failures {
		errs = append(errs, err)
	}
	// Always in the same order, so that the same failures read the same.
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// drop forgets a Service and its address.
func (b *Balancer) drop(name types.NamespacedName) {
	b.stop(name)
	b.addresses.release(name)
	delete(b.complaints, name)
}

// stop closes the Service's sockets and waits until they are free.
func (b *Balancer) stop(name types.NamespacedName) {
	if f := b.served[name]; f != nil {
		f.update(nil)
		delete(b.served, name)
	}
}
