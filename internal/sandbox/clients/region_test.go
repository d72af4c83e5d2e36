//go:build clients

package clients

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/m3o/platform/internal/cloud"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/region"
)

// stageLimit is how long a stage of a region may take.
const stageLimit = 5 * time.Minute

// made is a region that is there.
type made struct {
	spec     region.Spec
	network  region.Net
	identity region.Identity
	cluster  region.Cluster
}

// build makes a region by our adapter, as small as it can be, and has it removed when the test ends.
func build(t *testing.T, p cloud.Provider, spec region.Spec) *made {
	t.Helper()
	spec.Kubernetes.Nodes.Count = 1
	spec.CIDR = "10.20.0.0/16"
	m := &made{spec: spec}
	t.Cleanup(func() { m.remove(t, p) })
	m.until(t, "network", func(hint string) (region.Condition, error) {
		var err error
		m.network, err = p.EnsureNetwork(t.Context(), spec.NetworkSpec(), hint)
		return m.network.Condition, err
	})
	m.until(t, "identity", func(hint string) (region.Condition, error) {
		var err error
		m.identity, err = p.EnsureIdentity(t.Context(), spec.IdentitySpec(m.network), hint)
		return m.identity.Condition, err
	})
	m.until(t, "cluster", func(hint string) (region.Condition, error) {
		var err error
		m.cluster, err = p.EnsureCluster(t.Context(), m.clusterSpec(), hint)
		return m.cluster.Condition, err
	})
	m.until(t, "trust", func(hint string) (region.Condition, error) {
		return p.EnsureTrust(t.Context(), spec.TrustSpec(m.cluster, m.identity), hint)
	})
	return m
}

func (m *made) clusterSpec() region.ClusterSpec {
	spec := m.spec.ClusterSpec(m.network)
	spec.Principals, spec.ID = m.identity.Principals, m.cluster.ID
	return spec
}

// until takes steps until one says that the stage is ready.
func (m *made) until(t *testing.T, stage string, step func(hint string) (region.Condition, error)) {
	t.Helper()
	began, hint := time.Now(), ""
	for {
		now, err := step(hint)
		switch {
		case err == nil && now.Ready:
			t.Logf("%s after %s", stage, time.Since(began).Round(time.Millisecond))
			return
		case err == nil && now.Broken, err != nil && !passes(err), time.Since(began) > stageLimit:
			t.Fatalf("%s: %+v, %v", stage, now, err)
		}
		hint = now.Operation
		time.Sleep(200 * time.Millisecond)
	}
}

// passes reports whether whoever repeats a step goes on after such an error.
func passes(err error) bool {
	for _, kind := range []fault.Kind{fault.Conflict, fault.Throttled, fault.Unavailable, fault.Unknown} {
		if fault.Is(err, kind) {
			return true
		}
	}
	return false
}

// remove takes the region down, so that the next cloud has the machine for itself. The test's own context has ended.
func (m *made) remove(t *testing.T, p cloud.Provider) {
	ctx := t.Context()
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	gone := func(stage string, step func(hint string) (region.Removal, error)) {
		m.until(t, "no "+stage, func(hint string) (region.Condition, error) {
			now, err := step(hint)
			return region.Condition{Ready: now.Gone, State: now.State, Operation: now.Operation}, err
		})
	}
	gone("cluster", func(hint string) (region.Removal, error) { return p.DeleteCluster(ctx, m.clusterSpec(), hint) })
	gone("trust", func(hint string) (region.Removal, error) {
		return p.DeleteTrust(ctx, m.spec.TrustSpec(m.cluster, m.identity), hint)
	})
	gone("identity", func(hint string) (region.Removal, error) {
		return p.DeleteIdentity(ctx, m.spec.IdentitySpec(m.network), hint)
	})
	gone("network", func(hint string) (region.Removal, error) { return p.DeleteNetwork(ctx, m.spec.NetworkSpec(), hint) })
	if left, err := p.Owned(ctx, m.spec.Key(), m.spec.Location, m.cluster.ID); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// expose has the cloud make a load balancer, for a Service of the region's cluster.
func (m *made) expose(t *testing.T, p cloud.Provider) {
	t.Helper()
	access, err := p.Access(t.Context(), m.clusterSpec())
	must(t, err)
	config, err := clientcmd.RESTConfigFromKubeConfig(access.Kubeconfig)
	must(t, err)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	_, err = client.CoreV1().Services("default").Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 8080}}}}, metav1.CreateOptions{})
	must(t, err)
}

// nodesBy has kubectl list the cluster's nodes by a kubeconfig that another client wrote, and what else kubectl is told.
func (s *sandboxed) nodesBy(kubeconfig, author string, more ...string) {
	s.t.Helper()
	what := "get nodes by the kubeconfig of " + author
	for _, kubectl := range s.find("kubectl", what) {
		kubectl.run(what, func(out string) error {
			if lines := strings.Fields(out); len(lines) != 1 || !strings.HasPrefix(lines[0], "node/") {
				return fmt.Errorf("want one node")
			}
			return nil
		}, append([]string{"--kubeconfig", kubeconfig, "get", "nodes", "-o", "name", "--cache-dir", filepath.Join(s.home, "cache")}, more...)...)
	}
}
