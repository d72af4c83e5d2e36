package mirror

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/m3o/platform/internal/gateway/registry"
	"github.com/m3o/platform/internal/release"
)

func pod(namespace, name string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid", Labels: map[string]string{
		release.LabelProject: "shop", release.LabelService: "till", release.LabelRelease: "7", release.LabelAccess: "public", release.MarkTimeout: "5s"}},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "till"}}},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	if change != nil {
		change(p)
	}
	return p
}

func endpoint(name string, address string) discoveryv1.Endpoint {
	yes := true
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &yes},
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name, UID: "uid"}}
}

func port(name string, number int32, protocol corev1.Protocol) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol}
}

func slice(namespace, name string, change func(*discoveryv1.EndpointSlice), endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{release.LabelManaged: "true", release.LabelProject: "shop", release.LabelService: "till"}},
		Ports:      []discoveryv1.EndpointPort{port("metrics", 9090, corev1.ProtocolTCP), port("http", 8080, corev1.ProtocolTCP)}}
	if change != nil {
		change(s)
	}
	return s
}

// read mirrors the objects once.
func read(t *testing.T, objects ...runtime.Object) *Mirror {
	t.Helper()
	m, err := New(fake.NewClientset(objects...), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	for deadline := time.Now().Add(10 * time.Second); !m.Synced(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cluster is never read")
		}
	}
	return m
}

const shop = "project-shop"

var till = release.Key{Project: "shop", Name: "till"}

func TestReadyEndpointsBecomeInstances(t *testing.T) {
	m := read(t, pod(shop, "a", nil), slice(shop, "one", nil, endpoint("a", "10.0.0.1")))
	instances, known, synced := m.Services()
	if !synced || len(instances) != 1 || len(known) != 1 {
		t.Fatalf("got %+v, %v, %t", instances, known, synced)
	}
	i := instances[0]
	if i.Service != till || i.ID != "a" || i.Address != "10.0.0.1:8080" || i.Release != 7 || i.Access != release.Public || i.Timeout != 5*time.Second || !i.Mirrored {
		t.Errorf("got %+v", i)
	}
}

func TestWhatIsNotReadyOrNotAllowedIsLeftOut(t *testing.T) {
	no, yes := false, true
	for name, c := range map[string]struct {
		pod   *corev1.Pod
		slice *discoveryv1.EndpointSlice
		known int
	}{
		"unready in the slice": {pod(shop, "a", nil), slice(shop, "s", nil, func() discoveryv1.Endpoint {
			e := endpoint("a", "10.0.0.1")
			e.Conditions.Ready = &no
			return e
		}()), 1},
		"terminating in the slice": {pod(shop, "a", nil), slice(shop, "s", nil, func() discoveryv1.Endpoint {
			e := endpoint("a", "10.0.0.1")
			e.Conditions.Terminating = &yes
			return e
		}()), 1},
		"being deleted": {pod(shop, "a", func(p *corev1.Pod) {
			p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
			p.Finalizers = []string{"m3o.dev/test"}
		}), slice(shop, "s", nil, endpoint("a", "10.0.0.1")), 1},
		"unready pod": {pod(shop, "a", func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }),
			slice(shop, "s", nil, endpoint("a", "10.0.0.1")), 1},
		"pod that is gone":     {pod(shop, "b", nil), slice(shop, "s", nil, endpoint("a", "10.0.0.1")), 1},
		"earlier pod":          {pod(shop, "a", func(p *corev1.Pod) { p.UID = "another" }), slice(shop, "s", nil, endpoint("a", "10.0.0.1")), 1},
		"another's namespace":  {pod("project-evil", "a", nil), slice("project-evil", "s", nil, endpoint("a", "10.0.0.1")), 0},
		"not managed":          {pod(shop, "a", nil), slice(shop, "s", func(s *discoveryv1.EndpointSlice) { delete(s.Labels, release.LabelManaged) }, endpoint("a", "10.0.0.1")), 0},
		"names, not addresses": {pod(shop, "a", nil), slice(shop, "s", func(s *discoveryv1.EndpointSlice) { s.AddressType = discoveryv1.AddressTypeFQDN }, endpoint("a", "x.y")), 0},
		"UDP alone": {pod(shop, "a", nil), slice(shop, "s", func(s *discoveryv1.EndpointSlice) {
			s.Ports = []discoveryv1.EndpointPort{port("http", 53, corev1.ProtocolUDP)}
		}, endpoint("a", "10.0.0.1")), 1},
	} {
		if instances, known, _ := read(t, c.pod, c.slice).Services(); len(instances) != 0 || len(known) != c.known {
			t.Errorf("%s: got %+v, known %v", name, instances, known)
		}
	}
}

func TestPodInSeveralSlicesCountsOnce(t *testing.T) {
	six := slice(shop, "a-six", func(s *discoveryv1.EndpointSlice) { s.AddressType = discoveryv1.AddressTypeIPv6 }, endpoint("a", "fd00::1"))
	m := read(t, pod(shop, "a", nil), pod(shop, "b", nil), six, slice(shop, "four", nil, endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2")),
		slice(shop, "moved", nil, endpoint("b", "10.0.0.2")))
	instances, _, _ := m.Services()
	var all []string
	for _, i := range instances {
		all = append(all, i.ID+" "+i.Address)
	}
	slices.Sort(all)
	if !slices.Equal(all, []string{"a 10.0.0.1:8080", "b 10.0.0.2:8080"}) {
		t.Errorf("got %v", all)
	}
}

func TestPodsOfTheProjectAreVouchedFor(t *testing.T) {
	at := func(namespace string, change func(*corev1.Pod)) *corev1.Pod {
		return pod(namespace, "a", func(p *corev1.Pod) {
			p.Labels, p.Annotations = nil, map[string]string{release.LabelAccess: "public"}
			p.Status.Phase, p.Status.PodIPs = corev1.PodRunning, []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}}
			if change != nil {
				change(p)
			}
		})
	}
	ours := func(access string) *corev1.Pod {
		return at(shop, func(p *corev1.Pod) {
			p.Labels = map[string]string{release.LabelService: "till", release.LabelAccess: access}
		})
	}
	for name, c := range map[string]struct {
		pod     *corev1.Pod
		address string
		access  release.Access // empty: it is not vouched for
	}{
		"a pod of the project":     {at(shop, nil), "10.0.0.1:80", release.Public},
		"its other address":        {at(shop, nil), "[fd00::1]:80", release.Public},
		"one of a public release":  {ours("public"), "10.0.0.1:80", release.Public},
		"one of a release by key":  {ours("key"), "10.0.0.1:80", release.ByKey},
		"one that says nothing":    {at(shop, func(p *corev1.Pod) { p.Annotations = nil }), "10.0.0.1:80", release.ByKey},
		"another project's":        {at("project-bank", nil), "10.0.0.1:80", ""},
		"a part of the platform":   {at("m3o-resource", nil), "10.0.0.1:80", ""},
		"nobody's address":         {at(shop, nil), "10.0.0.2:80", ""},
		"a name":                   {at(shop, nil), "a.shop:80", ""},
		"the network of its node":  {at(shop, func(p *corev1.Pod) { p.Spec.HostNetwork = true }), "10.0.0.1:80", ""},
		"an address given back":    {at(shop, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), "10.0.0.1:80", ""},
		"an address not yet given": {at(shop, func(p *corev1.Pod) { p.Status.PodIPs = nil }), "10.0.0.1:80", ""},
	} {
		m := read(t, c.pod)
		claimed := registry.Instance{Service: till, ID: "a", Address: c.address, Access: release.Public}
		if got, ok := m.Vouch(claimed); ok != (c.access != "") || ok && got.Access != c.access {
			t.Errorf("%s: got %+v, %t", name, got, ok)
		}
		claimed.Mirrored = true
		if _, ok := m.Vouch(claimed); ok {
			t.Errorf("%s: a forged mark is believed", name)
		}
	}
}
