package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/m3o/platform/internal/diagnosis"
	"github.com/m3o/platform/internal/region"
)

// State is how far a region's parts are. Waiting says what is not ready, and why; Gateway is the base URL of the gateway
// once it has an address.
type State struct {
	Ready   bool
	Waiting []string
	Gateway string
}

// PartsState looks at the parts of the spec without changing anything.
func (c *Client) PartsState(ctx context.Context, spec region.Spec) (State, error) {
	var state State
	for _, part := range wantedParts(spec) {
		waits, err := c.partWaits(ctx, part)
		if err != nil {
			return State{}, err
		}
		if waits != "" {
			state.Waiting = append(state.Waiting, waits)
		}
	}
	if spec.Wants(region.API) {
		address, waits, err := c.gatewayAddress(ctx)
		if err != nil {
			return State{}, err
		}
		if waits != "" {
			state.Waiting = append(state.Waiting, waits)
		}
		state.Gateway = address
	}
	state.Ready = len(state.Waiting) == 0
	return state, nil
}

// progress is how many of a workload's pods are as wanted.
type progress struct {
	desired, updated, ready int32
	seen                    bool // the controller has looked at what was applied last
}

func (p progress) done() bool { return p.seen && p.updated == p.desired && p.ready == p.desired }

// partWaits says why the part is not ready, or "".
func (c *Client) partWaits(ctx context.Context, part region.Part) (string, error) {
	at, selector, err := c.partProgress(ctx, part)
	if apierrors.IsNotFound(err) {
		return string(part) + ": it is not applied", nil
	}
	if err != nil {
		return "", explain(err, "read the state of %s", part)
	}
	if at.done() {
		return "", nil
	}
	namespace := ResourceNamespace
	if part == region.API {
		namespace = NetworkNamespace
	}
	why, err := c.worst(ctx, namespace, selector)
	if err != nil {
		return "", err
	}
	words := cmp.Or(why.OperatorWords(), "its instances are being made or replaced")
	return fmt.Sprintf("%s: %d of %d ready: %s", part, at.ready, at.desired, words), nil
}

func (c *Client) partProgress(ctx context.Context, part region.Part) (progress, map[string]string, error) {
	if part == region.API {
		d, err := c.typed.AppsV1().Deployments(NetworkNamespace).Get(ctx, gatewayName, metav1.GetOptions{})
		if err != nil {
			return progress{}, nil, err
		}
		return deploymentProgress(d), d.Spec.Selector.MatchLabels, nil
	}
	s, err := c.typed.AppsV1().StatefulSets(ResourceNamespace).Get(ctx, string(part), metav1.GetOptions{})
	if err != nil {
		return progress{}, nil, err
	}
	at := progress{desired: wantedReplicas(s.Spec.Replicas), updated: s.Status.UpdatedReplicas, ready: s.Status.ReadyReplicas,
		seen: s.Status.ObservedGeneration >= s.Generation && s.Status.CurrentRevision == s.Status.UpdateRevision}
	return at, s.Spec.Selector.MatchLabels, nil
}

// deploymentProgress counts a pod as ready when it is updated and available; old pods must be gone for it to be done.
func deploymentProgress(d *appsv1.Deployment) progress {
	old := d.Status.Replicas - d.Status.UpdatedReplicas
	return progress{desired: wantedReplicas(d.Spec.Replicas), updated: d.Status.UpdatedReplicas,
		ready: max(0, min(d.Status.AvailableReplicas-old, d.Status.UpdatedReplicas)),
		seen:  d.Status.ObservedGeneration >= d.Generation && old == 0}
}

func wantedReplicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// gatewayAddress is the gateway's base URL, or why it has none.
func (c *Client) gatewayAddress(ctx context.Context) (address, waits string, err error) {
	s, err := c.typed.CoreV1().Services(NetworkNamespace).Get(ctx, gatewayName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", "the gateway's address: it is not applied", nil
	}
	if err != nil {
		return "", "", explain(err, "read the gateway's address")
	}
	if address := baseURL(s.Status.LoadBalancer.Ingress); address != "" {
		return address, "", nil
	}
	why := c.warning(ctx, NetworkNamespace, string(s.UID), "", "")
	if why == "" {
		why = addressWords(s, time.Now())
	}
	return "", "the gateway's address: " + diagnosis.Short(why), nil
}

// unclaimedLimit is how long a load balancer may go without a mark of a controller that makes it: those leave one at once.
const unclaimedLimit = 20 * time.Second

// addressWords say why the Service has no address while nobody warns of anything: it is on its way, or nothing in the
// cluster makes load balancers, as in a plain kind.
func addressWords(s *corev1.Service, now time.Time) string {
	if len(s.Finalizers) == 0 && now.Sub(s.CreationTimestamp.Time) > unclaimedLimit {
		return "the cluster gives load balancers no address: install what does, such as cloud-provider-kind or MetalLB; it is waited for"
	}
	return "the cloud has not given its load balancer one yet"
}

// baseURL is where a load balancer's address leads; some clouds give numbers, others names.
func baseURL(given []corev1.LoadBalancerIngress) string {
	for _, in := range given {
		if host := cmp.Or(in.IP, in.Hostname); host != "" {
			return "http://" + net.JoinHostPort(host, strconv.Itoa(gatewayPort)) + "/"
		}
	}
	return ""
}
